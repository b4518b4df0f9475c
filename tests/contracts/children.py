"""Other processes on a state directory, each with an errand (see `child`), as a test speaks with them."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
BOUND_S = 60.0  # only a bug meets it


@contextlib.asynccontextmanager
async def child(errand: str, engine: str, state: Path) -> AsyncIterator[Process]:
    """A child that is ready; killed at the end when it still runs."""
    command = (sys.executable, "-m", "tests.contracts.child", errand, engine, str(state))
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, cwd=ROOT)
    try:
        assert await line_of(process) == "ready"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line_of(process: Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), BOUND_S)).decode().strip()


def go(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.write(b"go\n")
