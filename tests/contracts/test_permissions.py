"""State that may not be read or written: one clear line that names the path and the remedy."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOBODY = 65534
# Imports first: somebody else may not be allowed to read the checkout.
SCRIPT = f"""
import asyncio, concurrent.futures.thread, os, sys
from pathlib import Path
from portyard.commons.database.engine import StateDirectoryError
from tests.contracts.engines import opened

async def main():
    async with opened(sys.argv[1], Path(sys.argv[2])):
        pass

os.geteuid() or os.setuid({NOBODY})
try:
    asyncio.run(main())
except StateDirectoryError as error:
    print(error)
"""


@pytest.fixture
def state() -> Iterator[Path]:
    """A state directory that somebody else can reach."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        path = Path(folder) / "state"
        path.mkdir()
        give(path)
        yield path
        for entry in (path, *path.iterdir()):
            entry.chmod(0o700)


def give(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)


def open_it(engine: str, state: Path) -> str:
    command = [sys.executable, "-c", SCRIPT, engine, str(state)]
    outcome = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout.strip()


@pytest.mark.parametrize("name", [".", "generations", "mail.db", "control.db", "mail.lock", "bodies"])
def test_what_may_not_be_written_is_named(name: str, engine: str, state: Path) -> None:
    assert open_it(engine, state) == ""
    (state / name).chmod(0o555 if (state / name).is_dir() else 0o444)
    said = open_it(engine, state)
    named = (
        "mail.db" if name == "." else name
    )  # every file is there already, save those that come and go beside the database
    assert said.startswith(f"{state / named}: ")
    assert said.count("\n") == 0
    assert "let uid " in said
    assert "set `state` to another directory" in said


def test_what_may_not_be_made_is_named(engine: str, state: Path) -> None:
    state.chmod(0o555)
    assert open_it(engine, state / "below").startswith(f"{state / 'below'}: permission denied; let uid")
