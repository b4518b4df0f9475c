"""What a sandbox's life costs: create, reset and delete it, and the fixture that does the first and the last.

In the process, over HTTP to an embedded testbed, and over HTTP to any other: `python -m benchmarks.sandboxes --url http://127.0.0.1:8025`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import Table, median, percentile, shown, verdict
from portyard.commons.clock import SystemClock
from portyard.commons.settings import Settings
from portyard.commons.stores import open_stores
from portyard.testing.control import ControlError
from portyard.testing.testbed import Testbed

LIMITS_MS = {"in the process": 5.0, "over HTTP": 20.0, "fixture `sandbox`": 3.0}
OPEN_S = 30.0
WARM = 50  # lives before those that count
_COLUMNS = ("where", "create, reset, delete", "wanted", "", "95 of 100", "create", "reset", "delete")

Life = tuple[float, float, float]
"""Milliseconds of create, reset and delete."""


async def in_process(folder: Path, lives: int) -> list[Life]:
    """Lives against the stores themselves."""
    stores = await open_stores(folder, Settings(), SystemClock())
    found: list[Life] = []
    try:
        for number in range(WARM + lives):
            name, began = f"bench-{number}", time.perf_counter()
            await stores.sandboxes.create(name)
            made = time.perf_counter()
            await stores.sandboxes.reset(name)
            emptied = time.perf_counter()
            await stores.sandboxes.delete(name)
            found.append(_life(began, made, emptied, time.perf_counter()))
    finally:
        await stores.close()
    return found[WARM:]


def over_http(testbed: Testbed, lives: int) -> list[Life]:
    """Lives through the control API."""
    found: list[Life] = []
    for _ in range(WARM + lives):
        began = time.perf_counter()
        sandbox = testbed.sandbox()
        made = time.perf_counter()
        sandbox.reset()
        emptied = time.perf_counter()
        sandbox.delete()
        found.append(_life(began, made, emptied, time.perf_counter()))
    return found[WARM:]


def fixtures(testbed: Testbed, lives: int) -> list[Life]:
    """What the fixture `sandbox` takes from a test; nothing is reset."""
    found: list[Life] = []
    for _ in range(lives):
        began = time.perf_counter()
        with testbed.own_sandbox():
            made = time.perf_counter()
        found.append(_life(began, made, made, time.perf_counter()))
    return found


def measure(lives: int, folder: Path, tell: Callable[[str], None], url: str = "", token: str | None = None) -> Table:
    """A table; of a testbed at a URL alone where one is given."""
    found: dict[str, list[Life]] = {}
    if not url:
        tell("sandboxes: in the process")
        found["in the process"] = asyncio.run(in_process(folder / "stores", lives))
    tell("sandboxes: over HTTP")
    with Testbed.connect(url, token) if url else Testbed.embedded() as testbed:
        _wait_open(testbed)
        # The kit asks an embedded testbed in its own process: by its URL it is asked as any other.
        with Testbed.connect(testbed.control.url, token) as connected:
            found["over HTTP"] = over_http(connected, lives)
        found["fixture `sandbox`"] = fixtures(testbed, lives)
    rows = tuple(_row(where, each) for where, each in found.items())
    at = f"a testbed at {url}" if url else "an embedded testbed"
    return Table(
        "A sandbox's life, in milliseconds (medians)", _COLUMNS, rows, f"Over HTTP: {at}, one kept connection."
    )


def _wait_open(testbed: Testbed) -> None:
    """Wait until every room is imported: meanwhile an embedded testbed shares its processor with that."""
    end = time.monotonic() + OPEN_S
    while time.monotonic() < end:
        with contextlib.suppress(ControlError):  # 503 until all are ready
            testbed.control.get("health")
            return
        time.sleep(0.05)


def _life(*moments: float) -> Life:
    began, made, emptied, gone = moments
    return (made - began) * 1000, (emptied - made) * 1000, (gone - emptied) * 1000


def _row(where: str, lives: list[Life]) -> tuple[str, ...]:
    sums, limit = [sum(life) for life in lives], LIMITS_MS[where]
    middle = median(sums)
    parts = (shown(median([life[part] for life in lives]), 2) for part in range(3))
    wanted = (f"< {limit:g} ms", verdict(middle, limit), shown(percentile(sums, 0.95), 2))
    return where, shown(middle, 2), *wanted, *parts


def main(argv: list[str]) -> int:
    """Print the table; 1 when a limit is passed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sandboxes", description=__doc__)
    parser.add_argument("--url", default="", help="the console of a running testbed; without it one is embedded")
    parser.add_argument("--token", help="its token, where it wants one")
    parser.add_argument("--lives", type=int, default=200, help="how many sandboxes")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="portyard-bench-") as folder:
        table = measure(options.lives, Path(folder), lambda _: None, options.url, options.token)
    for row in (table.columns, *table.rows):
        print("  ".join(cell.ljust(18) for cell in row))
    return int(any("NO" in row for row in table.rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
