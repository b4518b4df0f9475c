"""The containers: a warm `portyard up`, and each container's memory. A project, an image tag and ports of the benchmark's own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.figures import Outcome, Table, median, shown, spread, verdict
from benchmarks.memory import EACH_MB, resident_mb
from benchmarks.plan import Plan
from benchmarks.processes import ROOT, BenchmarkError, clean_environment, family, reserved_offset

PROJECT = "portyard-bench"
IMAGE = "portyard:bench"
WARM_S = 10.0
"""Wanted of `make up` when the image is built."""
LIMIT_S = 900.0
STARTS = 3
FILES = ("compose.yaml", "pyproject.toml", "README.md", ".dockerignore")
"""What beside services/, scripts/ and the locks the image and the command need."""
Tell = Callable[[str], None]


def measure(plan: Plan, folder: Path, tell: Tell) -> Outcome:
    """Up, down and up again."""
    if plan.quick:
        return _none("not measured in a quick run")
    checked = subprocess.run([ROOT / "scripts" / "engine", "--check"], capture_output=True, text=True, check=False)
    if checked.returncode:
        return _none(f"no Docker engine: {checked.stderr.strip()}")
    tree = _copy(folder)
    try:
        with reserved_offset() as offset:
            return _measure(tree, str(offset), tell)
    except BenchmarkError as error:
        return _none(str(error))
    finally:
        compose = ["docker", "compose", "--project-name", PROJECT]
        subprocess.run(
            [*compose, "down", "--volumes", "--remove-orphans"], cwd=tree, capture_output=True, check=False, timeout=120
        )
        subprocess.run(["docker", "image", "rm", IMAGE], capture_output=True, check=False, timeout=60)


def _measure(tree: Path, offset: str, tell: Tell) -> Outcome:
    tell("containers: building the image and starting once")
    cold = _portyard(tree, offset, "up")
    seconds = []
    for number in range(STARTS):
        tell(f"containers: warm start {number + 1} of {STARTS}")
        _portyard(tree, offset, "down")
        seconds.append(_portyard(tree, offset, "up"))
    tell("containers: memory")
    used = _memory()
    middle = median(seconds)
    start = Table(
        "Start-up, containers",
        ("portyard up", "of the wanted 10 s", "kept", "s, median", "lowest … highest", "first, with the build's check"),
        (
            (
                "warm, after down",
                f"{shown(middle / WARM_S, 2)} ×",
                verdict(middle, WARM_S),
                shown(middle, 1),
                spread(seconds, 1),
                shown(cold, 1),
            ),
        ),
        "From the command until every container is healthy and the endpoints are printed.",
    )
    rows = tuple(
        (name, f"{shown(rss / EACH_MB, 2)} ×", verdict(rss, EACH_MB), shown(rss, 1), shown(pss, 1))
        for name, (rss, pss) in sorted(used.items())
    )
    columns = ("container", "of the wanted 60 MB", "kept", "RSS MB", "PSS MB")
    memory = Table(
        "Memory of each container, idle", columns, rows, "Every process in it together, the init among them."
    )
    data: dict[str, Any] = {"up_s": seconds, "first_up_s": cold, "memory_mb": used}
    return Outcome((start, memory), data)


def _none(why: str) -> Outcome:
    return Outcome((Table("Containers", ("containers", ""), (("not measured", why),)),), {"not measured": why})


def _copy(folder: Path) -> Path:
    """The tree as the image sees it, so that notes under `.portyard` and edits under way don't meet a running testbed."""
    tree = folder / "tree"
    tree.mkdir()
    for name in ("services", "scripts"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for path in (*ROOT.glob("*.lock"), *(ROOT / name for name in FILES)):
        shutil.copy2(path, tree / path.name)
    return tree


def _portyard(tree: Path, offset: str, word: str) -> float:
    """Seconds that a command takes."""
    environment = clean_environment() | {
        "PORTYARD_PROJECT": PROJECT,
        "PORTYARD_PORT_OFFSET": offset,
        "PORTYARD_PASSIVE_PORTS": "31900-31919",
        "PORTYARD_IMAGE": IMAGE,
        "PORTYARD_ENGINE": "docker",
    }
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "portyard", word],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode:
        raise BenchmarkError(f"portyard {word}: {' | '.join(done.stderr.strip().splitlines()[-3:])}")
    return time.monotonic() - began


def _memory() -> dict[str, tuple[float, float]]:
    """RSS and PSS of each container's processes, in MB; needs the right to read them, which is root's."""
    listed = subprocess.run(
        ["docker", "ps", "--filter", f"label=com.docker.compose.project={PROJECT}", "--quiet"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    shape = '{{index .Config.Labels "com.docker.compose.service"}} {{.State.Pid}}'
    found = {}
    for container in listed:
        shown_as = subprocess.run(
            ["docker", "inspect", "--format", shape, container], capture_output=True, text=True, check=True
        ).stdout.split()
        found[shown_as[0]] = resident_mb(family(int(shown_as[1])))
    return found
