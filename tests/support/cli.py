"""The command line in a test: every command as a process, at a testbed's URL."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.support.process import portyard

Run = Callable[..., subprocess.CompletedProcess[str]]


def command_at(url: str, folder: Path) -> Run:
    """Runs a command to its end; `status` is the one that it must end with."""

    def command(*words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = portyard(*words, cwd=folder, PORTYARD_URL=url)
        assert done.returncode == status, done.stdout + done.stderr
        return done

    return command


def the_line(text: str) -> str:
    """The only line."""
    (line,) = text.strip().splitlines()
    return line
