"""A full disk: the typed error, nothing stored by halves, and work goes on once there is room."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SIZE = "4m"


def shell(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", command], input="go\n", capture_output=True, text=True, cwd=ROOT, timeout=120)


def check(outcome: subprocess.CompletedProcess[str]) -> None:
    assert outcome.returncode == 0, outcome.stderr
    lines = outcome.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["ready", "full", "full", "intact", "files", "again"], lines
    assert lines[3:] == ["intact True True True", "files True", "again True"]
    for line in lines[1:3]:
        assert "no room to write" in line, line


def test_no_file_may_grow_any_more(engine: str, tmp_path: Path) -> None:
    check(shell(f"exec {shlex.quote(sys.executable)} -m tests.contracts.child fill-limited {engine} {tmp_path}"))


def test_a_small_disk_is_full(engine: str, tmp_path: Path) -> None:
    mount = f"mount -t tmpfs -o size={SIZE} none {tmp_path}"
    if os.geteuid() != 0 or shell(f"exec unshare -m sh -c '{mount}'").returncode != 0:
        pytest.skip("mounting a small tmpfs needs root and mount namespaces")
    errand = f"exec {shlex.quote(sys.executable)} -m tests.contracts.child fill {engine} {tmp_path}"
    check(shell(f"exec unshare -m sh -c {shlex.quote(mount + ' && ' + errand)}"))
