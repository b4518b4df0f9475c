"""What the gate costs an event: `python -m benchmarks.scenario [--seconds 0.5]`. Run by hand; needs no testbed and opens no port.

Bounds: under 500 ns while no rule is set, under 5 µs beside 1,000 rules that don't match. Measured with values that repeat and with values
that never come twice.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from portyard.commons.clock import SystemClock
from portyard.commons.scenario.engine import SessionGate
from portyard.commons.scenario.parsing import make_rule
from portyard.commons.settings import Settings
from portyard.commons.stores import Stores, open_stores

RULES = 1000
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


async def measure(stores: Stores, gate: SessionGate, seconds: float) -> None:
    """Print a table."""
    serial = itertools.count()

    async def same(number: int) -> object:
        return await gate.ask("rcpt", recipient="someone@quiet.test", size=100_000, sender="me@here.test")

    async def fresh(number: int) -> object:
        return await gate.ask("rcpt", recipient=f"u{next(serial)}@quiet.test", size=100_000, sender="me@here.test")

    async def row(label: str) -> None:
        repeated, unique = await per_event_ns(same, seconds), await per_event_ns(fresh, seconds)
        print(f"{label:<44}{repeated:>14.0f} ns{unique:>14.0f} ns", flush=True)

    print(f"{'':<44}{'same value':>17}{'new values':>17}")
    await row("no rule anywhere")
    await stores.sandboxes.create("other")
    await stores.rules.add("other", make_rule("smtp.rcpt", {"refuse": "550"}))
    await row("a rule in another sandbox")
    for kind, where in KINDS.items():
        rules = [make_rule("smtp.rcpt", {"refuse": "550"}, where=where(number)) for number in range(RULES)]
        await stores.rules.add("default", *rules)
        await row(f"{RULES} rules that don't match, {kind}")
        await stores.rules.clear("default")
    rules = [make_rule("imap.fetch", {"hang_up": True}) for _ in range(RULES)]
    await stores.rules.add("default", *rules)
    await row(f"{RULES} rules of other rooms")


async def lifecycle(stores: Stores, seconds: float) -> None:
    """Print what sandboxes and counted rules cost."""
    best = dict.fromkeys(("create", "reset", "delete", "claim"), float("inf"))
    rule = make_rule("smtp.rcpt", {"refuse": "550"}, times=1_000_000)
    for number in range(max(20, int(seconds * 100))):
        name = f"t{number}"
        moments = [time.perf_counter()]
        await stores.sandboxes.create(name)
        moments.append(time.perf_counter())
        await stores.accounts.create(name, f"u@{name}.test", "pw")
        (stored,) = await stores.rules.add(name, rule)
        moments.append(time.perf_counter())
        await stores.rules.claim(stored, "x", "", "s")
        moments.append(time.perf_counter())
        await stores.sandboxes.reset(name)
        moments.append(time.perf_counter())
        await stores.sandboxes.delete(name)
        moments.append(time.perf_counter())
        steps = [after - before for before, after in itertools.pairwise(moments)]
        for word, spent in zip(("create", "", "claim", "reset", "delete"), steps, strict=True):
            if word:
                best[word] = min(best[word], spent)
    print("  ".join(f"{word} {spent * 1000:.2f} ms" for word, spent in best.items()))


async def main(seconds: float) -> None:
    """Measure on a state directory of its own."""
    with tempfile.TemporaryDirectory(prefix="portyard-bench-") as folder:
        stores = await open_stores(Path(folder), Settings(), SystemClock())
        try:
            gate = stores.gate.session("smtp", role="mta", session="s1", peer="127.0.0.1", port="smtp")
            await measure(stores, gate, seconds)
            await lifecycle(stores, seconds)
        finally:
            await stores.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.5, help="how long to measure each line")
    asyncio.run(main(parser.parse_args().seconds))
