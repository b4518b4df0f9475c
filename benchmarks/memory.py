"""Resident memory of the embedded engine: idle with every room open, and after a load."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.figures import Outcome, Table, shown, verdict
from benchmarks.load import Job
from benchmarks.plan import Plan
from benchmarks.processes import Testbed, family
from benchmarks.smtp import READER, drive

EMBEDDED_MB = 120.0
"""Wanted of the embedded engine."""
EACH_MB = 60.0
"""Wanted of each container."""
Tell = Callable[[str], None]


def resident_mb(pids: Iterable[int]) -> tuple[float, float]:
    """RSS and PSS of processes together, in MB (millions of octets); pages that they share count once in PSS."""
    sums = {"Rss:": 0, "Pss:": 0}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                words = line.split()
                if words[0] in sums:
                    sums[words[0]] += int(words[1])
    return sums["Rss:"] * 1024 / 1e6, sums["Pss:"] * 1024 / 1e6


def measure(plan: Plan, folder: Path, tell: Tell) -> Outcome:
    """Idle, then after a load through the whole chain."""
    tell("memory: idle")
    testbed = Testbed(folder, str(folder / "state"))
    try:
        testbed.wait_open()
        found = {"idle, every room open": resident_mb(family(testbed.process.pid))}
        tell(f"memory: after {plan.loaded_messages} messages")
        drive(
            Job(
                port=testbed.port("smtp"),
                recipient=READER[0],
                messages=plan.loaded_messages,
                reader_port=testbed.port("imap"),
                reader_login=READER,
            )
        )
        found[f"after {shown(plan.loaded_messages)} messages of 4 KiB"] = resident_mb(family(testbed.process.pid))
    finally:
        testbed.stop()
    rows = tuple(
        (name, f"{shown(rss / EMBEDDED_MB, 2)} ×", verdict(rss, EMBEDDED_MB), shown(rss, 1), shown(pss, 1))
        for name, (rss, pss) in found.items()
    )
    columns = ("portyard serve all", "of the wanted 120 MB", "kept", "RSS MB", "PSS MB")
    return Outcome((Table("Memory, embedded", columns, rows),), {"memory_mb": found})
