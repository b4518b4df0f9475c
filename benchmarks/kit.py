"""The kit: `testbed` (embedded) until its first sandbox stands, `sandbox` made and taken away, and a testbed in a container."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.figures import Outcome, Table, median, shown, spread, verdict
from benchmarks.plan import Plan
from benchmarks.processes import BenchmarkError, clean_environment

TESTBED_MS = 300.0
SANDBOX_MS = 3.0
"""Wanted of the fixtures."""
LIMIT_S = 60.0
SANDBOXES = 200
CONTAINERS = 3
IMAGE = os.environ.get("PORTYARD_IMAGE", "portyard:local")
# A process of its own each time: what is imported once costs nothing the second time. pytest is there before, as for every user.
EMBEDDED = f"""
import json, socket, time
import pytest
began = time.perf_counter()
from portyard.testing.testbed import Testbed
with Testbed.embedded() as testbed:
    ready = time.perf_counter()
    with testbed.own_sandbox() as first:
        first.account("somebody")
        usable = time.perf_counter()
        with socket.create_connection((first.smtp.host, first.smtp.port), 30) as client:
            client.recv(1)
        greeted = time.perf_counter()
    testbed.wait_until_open()
    spent = []
    for _ in range({SANDBOXES}):
        moment = time.perf_counter()
        with testbed.own_sandbox():
            pass
        spent.append(time.perf_counter() - moment)
told = {{"ready": ready - began, "usable": usable - began, "greeted": greeted - began}}
print(json.dumps({{**told, "sandbox": spent}}))
"""
CONTAINER = f"""
import json, time
import pytest
began = time.perf_counter()
from portyard.testing.container import PortyardContainer
with PortyardContainer({IMAGE!r}) as container:
    ready = time.perf_counter()
    container.get_testbed().sandbox().account("somebody")
    usable = time.perf_counter()
    ports = sum(map(bool, container.get_wrapped_container().attrs["HostConfig"]["PortBindings"].values()))
print(json.dumps({{"ready": ready - began, "usable": usable - began, "ports": ports}}))
"""


def measure(plan: Plan, folder: Path, tell: Callable[[str], None]) -> Outcome:
    """Start it again and again, each time in a new process."""
    found: list[dict[str, Any]] = []
    for number in range(plan.starts + 1):
        tell(f"kit: {number} of {plan.starts}")
        found.append(_told(EMBEDDED, folder))
    del found[0]  # the first one compiles
    ready, usable, greeted = ([told[name] * 1000 for told in found] for name in ("ready", "usable", "greeted"))
    sandbox = [median([each * 1000 for each in told["sandbox"]]) for told in found]
    rows = (
        ("testbed: every port listens", *_cells(ready, TESTBED_MS)),
        ("testbed: its first sandbox stands, with an account", *_cells(usable, TESTBED_MS)),
        ("testbed: … and its mail server greets", shown(median(greeted)), spread(greeted), "–", "–"),
        ("sandbox: made and taken away", *_cells(sandbox, SANDBOX_MS, 2)),
    )
    columns = ("fixture", "ms", "lowest … highest", "of the wanted", "kept")
    note = "pytest is imported already; everything of Portyard is not. A sandbox is the median of 200 in a row."
    contained, times = _contained(plan, folder, tell)
    return Outcome(
        (Table("The kit's fixtures, embedded", columns, rows, note), contained),
        {"ready_ms": ready, "usable_ms": usable, "greeted_ms": greeted, "sandbox_ms": sandbox, "container": times},
    )


def _contained(plan: Plan, folder: Path, tell: Callable[[str], None]) -> tuple[Table, object]:
    """PortyardContainer's table, or why there are no figures."""
    title = "The kit's PortyardContainer"
    if why := _missing():
        return Table(title, ("PortyardContainer", ""), (("not measured", why),)), why
    found: list[dict[str, Any]] = []
    for number in range(min(plan.starts, CONTAINERS)):
        tell(f"kit's container: {number + 1} of {min(plan.starts, CONTAINERS)}")
        found.append(_told(CONTAINER, folder))
    ready, usable = ([told[name] for told in found] for name in ("ready", "usable"))
    rows = (
        ("every service is ready", shown(median(ready), 1), spread(ready, 1)),
        ("its first sandbox stands, with an account", shown(median(usable), 1), spread(usable, 1)),
    )
    note = f"The image is there already. {found[0]['ports']} published ports, of which the engine starts one after the other."
    return Table(title, ("PortyardContainer", "s", "lowest … highest"), rows, note), {
        "ready_s": ready,
        "usable_s": usable,
    }


def _missing() -> str:
    """What is missing to run a container; empty when nothing is."""
    docker = shutil.which("docker")
    if docker is None:
        return "no docker command"
    done = subprocess.run(
        [docker, "image", "inspect", IMAGE], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    return " ".join(done.stderr.split()) if done.returncode else ""


def _told(script: str, folder: Path) -> dict[str, Any]:
    """What a script prints.

    Raises:
        BenchmarkError: It failed.
    """
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=clean_environment() | {"TESTCONTAINERS_RYUK_DISABLED": "true"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode:
        raise BenchmarkError(f"the kit's testbed failed: {done.stderr[-500:]}")
    told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return told


def _cells(values: list[float], wanted: float, digits: int = 0) -> tuple[str, str, str, str]:
    middle = median(values)
    return shown(middle, digits), spread(values), f"{shown(middle / wanted, 2)} ×", verdict(middle, wanted)
