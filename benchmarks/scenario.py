"""What the gate costs an event; by itself: `python -m benchmarks.scenario [--seconds 0.5]`. Needs no testbed and opens no port.

Bounds: under 500 ns while no rule is set, under 5 µs beside 1,000 rules that don't match. Measured with values that repeat, with values
that never come twice, and with such values when the processor's nearest memory is full of other things, as it is in the midst of requests.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import tempfile
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import Table, shown, verdict
from portyard.commons.clock import SystemClock
from portyard.commons.scenario.engine import SessionGate
from portyard.commons.scenario.parsing import make_rule
from portyard.commons.settings import Settings
from portyard.commons.stores import Stores, open_stores

RULES = 1000
LIMIT_NONE_NS = 500
LIMIT_RULES_NS = 5000
_OTHERS = 2_000_000  # octets: as many as a processor keeps to itself
NONE = "no rule anywhere"
KINDS = {
    "exact text": lambda n: {"recipient": f"user{n}@slow{n % 7}.test"},
    "suffix": lambda n: {"recipient": f"*@slow{n}.test"},
    "prefix": lambda n: {"recipient": f"user{n}@*"},
    "two fields": lambda n: {"recipient": f"user{n}@*", "size": f">{n}"},
    "list": lambda n: {"recipient": [f"a{n}@x.test", f"*@y{n}.test"]},
    "numbers": lambda n: {"size": f">{100_000 + n}"},
    "star on both sides": lambda n: {"recipient": f"*slow{n}.*"},
    "regex": lambda n: {"recipient": f"/^user{n}@.*slow/"},
    "regex without case": lambda n: {"recipient": f"/@(slow|late){n}\\.(test|example)$/i"},
    "mixed": lambda n: _MIXED[n % 5](n),
}
_MIXED = (
    lambda n: {"recipient": f"*@slow{n}.test", "size": f">={n}"},
    lambda n: {"recipient": f"/^[a-z]+{n}@/", "sender": "*@elsewhere.test"},
    lambda n: {"sender": f"*list{n}-bounces@*"},
    lambda n: {"size": f">{n} <{n + 10}", "account": "?*"},
    lambda n: {"peer": f"10.0.{n % 256}.*", "recipient": "*.test"},
)


class Event(NamedTuple):
    """Nanoseconds of an event whose values repeat, of one whose values never came before, and of such a one among other work."""

    same: float
    fresh: float
    cold: float


async def per_event_ns(ask: Callable[[int], Awaitable[object]], seconds: float) -> float:
    """Nanoseconds of one event: the best of many short runs, because the machine may be busy with other things."""

    async def nothing(number: int) -> None:
        return None

    best = {ask: float("inf"), nothing: float("inf")}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for call in best:
            start = time.perf_counter_ns()
            for number in range(200):
                await call(number)
            best[call] = min(best[call], (time.perf_counter_ns() - start) / 200)
    return best[ask] - best[nothing]


async def cold_ns(ask: Callable[[int], Awaitable[object]], seconds: float) -> float:
    """Nanoseconds of one event after as much other memory was touched as the caches next to a processor hold: the median of many."""

    async def nothing(number: int) -> None:
        return None

    found: dict[Callable[[int], Awaitable[object]], list[int]] = {ask: [], nothing: []}
    others, end = bytes(_OTHERS), time.perf_counter() + seconds
    while time.perf_counter() < end or not found[nothing]:
        for call, times in found.items():
            zlib.adler32(others)
            start = time.perf_counter_ns()
            await call(0)
            times.append(time.perf_counter_ns() - start)
    return statistics.median(found[ask]) - statistics.median(found[nothing])


async def figures(folder: Path, seconds: float) -> dict[str, Event]:
    """Nanoseconds of an event, by what stands in the rule book.

    Args:
        folder: For the stores.
        seconds: How long each is measured.
    """
    stores = await open_stores(folder, Settings(), SystemClock())
    try:
        return await _figures(stores, stores.gate.session("smtp", role="mta", session="s1", peer="127.0.0.1"), seconds)
    finally:
        await stores.close()


async def _figures(stores: Stores, gate: SessionGate, seconds: float) -> dict[str, Event]:
    serial = itertools.count()
    found: dict[str, Event] = {}

    async def same(number: int) -> object:
        return await gate.ask("rcpt", recipient="someone@quiet.test", size=100_000, sender="me@here.test")

    async def fresh(number: int) -> object:
        return await gate.ask("rcpt", recipient=f"u{next(serial)}@quiet.test", size=100_000, sender="me@here.test")

    async def row(label: str) -> None:
        await fresh(0)  # the rules are read, and their index made
        found[label] = Event(
            *[await per_event_ns(ask, seconds) for ask in (same, fresh)], await cold_ns(fresh, seconds)
        )

    await row(NONE)
    await stores.sandboxes.create("other")
    await stores.rules.add("other", make_rule("smtp.rcpt", {"refuse": "550"}))
    await row("a rule in another sandbox")
    for kind, where in KINDS.items():
        rules = [make_rule("smtp.rcpt", {"refuse": "550"}, where=where(number)) for number in range(RULES)]
        await stores.rules.add("default", *rules)
        await row(f"{RULES} rules: {kind}")
        await stores.rules.clear("default")
    await stores.rules.add("default", *[make_rule("imap.fetch", {"hang_up": True}) for _ in range(RULES)])
    await row(f"{RULES} rules of other rooms")
    return found


def table(found: Mapping[str, Event]) -> Table:
    """The figures for people."""
    rows = []
    for label, (same, fresh, cold) in found.items():
        limit = LIMIT_NONE_NS if label == NONE else LIMIT_RULES_NS
        rows.append((label, shown(same), shown(fresh), shown(cold), f"< {limit:,}", verdict(fresh, limit)))
    columns = ("rule book", "values that repeat", "values never seen", "… among other work", "wanted", "")
    note = (
        f"The best of many short runs. Among other work: the median of single events, before each of which {_OTHERS / 1e6:.0f} MB of other "
        "memory are read."
    )
    return Table("An event that no rule matches, in nanoseconds", columns, tuple(rows), note)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.5, help="how long to measure each line")
    with tempfile.TemporaryDirectory(prefix="portyard-bench-") as state:
        for cells in table(asyncio.run(figures(Path(state), parser.parse_args().seconds))).rows:
            print(f"{cells[0]:<36}" + "".join(f"{cell:>16}" for cell in cells[1:]))
