"""What the gate costs an event; by itself: `python -m benchmarks.scenario [--seconds 0.5]`. Needs no testbed and opens no port.

Bounds: under 500 ns while no rule is set, under 5 µs beside 1,000 rules that don't match. Measured with values that repeat and with values
that never come twice.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from benchmarks.figures import Table, shown, verdict
from portyard.commons.clock import SystemClock
from portyard.commons.scenario.engine import SessionGate
from portyard.commons.scenario.parsing import make_rule
from portyard.commons.settings import Settings
from portyard.commons.stores import Stores, open_stores

RULES = 1000
LIMIT_NONE_NS = 500
LIMIT_RULES_NS = 5000
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


async def figures(folder: Path, seconds: float) -> dict[str, tuple[float, float]]:
    """Nanoseconds of an event whose values repeat, and of one with values that never came before, by what stands in the rule book.

    Args:
        folder: For the stores.
        seconds: How long each is measured.
    """
    stores = await open_stores(folder, Settings(), SystemClock())
    try:
        return await _figures(stores, stores.gate.session("smtp", role="mta", session="s1", peer="127.0.0.1"), seconds)
    finally:
        await stores.close()


async def _figures(stores: Stores, gate: SessionGate, seconds: float) -> dict[str, tuple[float, float]]:
    serial = itertools.count()
    found: dict[str, tuple[float, float]] = {}

    async def same(number: int) -> object:
        return await gate.ask("rcpt", recipient="someone@quiet.test", size=100_000, sender="me@here.test")

    async def fresh(number: int) -> object:
        return await gate.ask("rcpt", recipient=f"u{next(serial)}@quiet.test", size=100_000, sender="me@here.test")

    async def row(label: str) -> None:
        await fresh(0)  # the rules are read, and their index made
        found[label] = await per_event_ns(same, seconds), await per_event_ns(fresh, seconds)

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


def table(found: Mapping[str, tuple[float, float]]) -> Table:
    """The figures for people."""
    rows = []
    for label, (same, fresh) in found.items():
        limit = LIMIT_NONE_NS if label == NONE else LIMIT_RULES_NS
        rows.append((label, shown(same), shown(fresh), f"< {limit:,}", verdict(fresh, limit)))
    columns = ("rule book", "values that repeat", "values never seen", "wanted", "")
    return Table("An event that no rule matches, in nanoseconds", columns, tuple(rows), "The best of many short runs.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.5, help="how long to measure each line")
    with tempfile.TemporaryDirectory(prefix="portyard-bench-") as state:
        for cells in table(asyncio.run(figures(Path(state), parser.parse_args().seconds))).rows:
            print(f"{cells[0]:<36}" + "".join(f"{cell:>16}" for cell in cells[1:]))
