"""Chooses what is measured, shows progress, and reports."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.status import Status

from benchmarks import containers, imap, journal, kit, machine, memory, report, rules, smtp, startup
from benchmarks.figures import Outcome, Table
from benchmarks.plan import FULL, QUICK, Plan
from benchmarks.processes import HOME, BenchmarkError

MEASUREMENTS: dict[str, Callable[[Plan, Path, Callable[[str], None]], Outcome]] = {
    "smtp": smtp.measure,
    "startup": startup.measure,
    "memory": memory.measure,
    "containers": containers.measure,
    "imap": imap.measure,
    "journal": journal.measure,
    "kit": kit.measure,
    "rules": rules.measure,
}


def main(argv: Sequence[str]) -> int:
    """Measure; 1 when something could not be measured."""
    options = _parse(argv)
    plan = replace(QUICK if options.quick else FULL, rooms=tuple(options.rooms), room_s=options.seconds)
    screen = Console()
    if not screen.is_terminal:
        screen = Console(width=150)
    HOME.mkdir(parents=True, exist_ok=True)
    facts = machine.facts()
    outcomes: dict[str, Outcome] = {}
    failed = False
    busy: list[str] = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    for name in options.only:
        neighbours = machine.Neighbours()
        try:
            outcomes[name] = _one(name, plan, screen)
        except (BenchmarkError, OSError, RuntimeError, TimeoutError) as error:
            failed = True
            outcomes[name] = Outcome((Table(name, ("failed", ""), (("not measured", str(error)),)),))
        report.show(outcomes[name], screen)
        if name != "containers":
            busy.append(f"{name} {neighbours.share():.0%}")
    facts["others' share of the processors meanwhile"] = ", ".join(busy) or "–"
    path = report.write(facts, outcomes, publish=options.publish)
    screen.print(f"written to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
    return int(failed)


def _one(name: str, plan: Plan, screen: Console) -> Outcome:
    """One measurement in a folder of its own, with a line that changes (or one line a step where there is no terminal)."""
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="portyard-bench-", ignore_cleanup_errors=True) as folder,
        Status(name, console=screen) as status,
    ):

        def tell(text: str) -> None:
            if screen.is_terminal:
                status.update(text)
            else:
                print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)

        return MEASUREMENTS[name](plan, Path(folder), tell)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure the testbed beside other servers.",
        epilog="One room's journal or rules: python -m benchmarks --only journal --rooms websocket --seconds 20",
    )
    parser.add_argument("--quick", action="store_true", help="a small version: a few minutes, coarse figures")
    parser.add_argument("--publish", action="store_true", help="write docs/benchmarks.md, too")
    parser.add_argument(
        "--only",
        type=_names,
        default=list(MEASUREMENTS),
        metavar="NAME,…",
        help=f"only these of {', '.join(MEASUREMENTS)}",
    )
    parser.add_argument(
        "--rooms",
        type=lambda text: text.split(","),
        default=[],
        metavar="ROOM,…",
        help="journal and rules: only these; a word chooses all that begin with it (http: http, http-varied)",
    )
    parser.add_argument("--seconds", type=float, default=0.0, help="journal and rules: so long for each room")
    return parser.parse_args(argv)


def _names(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in MEASUREMENTS:
            raise argparse.ArgumentTypeError(f"{name}: expected some of {', '.join(MEASUREMENTS)}")
    return names
