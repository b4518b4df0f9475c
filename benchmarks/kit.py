"""The kit's fixtures: `testbed` (embedded) until every port listens, and `sandbox`, made and taken away."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import Outcome, Table, median, shown, spread, verdict
from benchmarks.plan import Plan
from benchmarks.processes import BenchmarkError

TESTBED_MS = 300.0
SANDBOX_MS = 3.0
"""Wanted of the fixtures."""
LIMIT_S = 60.0
SANDBOXES = 200
# A process of its own each time: what is imported once costs nothing the second time. pytest is there before, as for every user.
SCRIPT = f"""
import time
import pytest
began = time.perf_counter()
from portyard.testing.testbed import Testbed
with Testbed.embedded() as testbed:
    ready = time.perf_counter()
    with testbed.own_sandbox() as first:
        usable = time.perf_counter()
        for service in (first.websocket, first.http, first.ssh, first.ftp):  # rooms open behind; wait for the last of them
            import socket
            with socket.create_connection((service.host, service.port), 30) as client:
                client.sendall(b"GET /get HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n")
                client.recv(1)
    spent = []
    for _ in range({SANDBOXES}):
        moment = time.perf_counter()
        with testbed.own_sandbox():
            pass
        spent.append(time.perf_counter() - moment)
import json
print(json.dumps({{"ready": ready - began, "usable": usable - began, "sandbox": spent}}))
"""


def measure(plan: Plan, folder: Path, tell: Callable[[str], None]) -> Outcome:
    """Start it again and again, each time in a new process."""
    ready: list[float] = []
    usable: list[float] = []
    sandbox: list[float] = []
    for number in range(plan.starts + 1):
        tell(f"kit: {number} of {plan.starts}")
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
        if done.returncode != 0:
            raise BenchmarkError(f"the kit's testbed failed: {done.stderr[-500:]}")
        if number:  # the first one compiles
            told = json.loads(done.stdout)
            ready.append(told["ready"] * 1000)
            usable.append(told["usable"] * 1000)
            sandbox.append(median([each * 1000 for each in told["sandbox"]]))
    rows = (
        ("testbed: every port listens", *_cells(ready, TESTBED_MS)),
        ("testbed: its first sandbox stands", shown(median(usable)), spread(usable), "–", "–"),
        ("sandbox: made and taken away", *_cells(sandbox, SANDBOX_MS, 2)),
    )
    columns = ("fixture", "ms", "lowest … highest", "of the wanted", "kept")
    note = "pytest is imported already; everything of Portyard is not. A sandbox is the median of 200 in a row."
    return Outcome(
        (Table("The kit's fixtures, embedded", columns, rows, note),),
        {"ready_ms": ready, "usable_ms": usable, "sandbox_ms": sandbox},
    )


def _cells(values: list[float], wanted: float, digits: int = 0) -> tuple[str, str, str, str]:
    middle = median(values)
    return shown(middle, digits), spread(values), f"{shown(middle / wanted, 2)} ×", verdict(middle, wanted)
