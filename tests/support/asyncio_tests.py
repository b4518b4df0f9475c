"""Runs a coroutine as a test: a fresh loop, debug checks on, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

LIMIT_S = 240.0  # no test may hang; a generous bound that only a bug meets

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def run(main: Coroutine[Any, Any, None], loop: str = "asyncio", limit_s: float = LIMIT_S) -> None:
    """Run to the end; a task that fails unseen, or a leaked one, fails the test."""
    problems: list[str] = []

    async def guarded() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: problems.append(f"{context.get('message')}: {context.get('exception')!r}")
        )
        async with asyncio.timeout(limit_s):
            await main

    with contextlib.closing(main), asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(guarded())
    assert not problems, problems
