"""What lasts as long as its sandbox: a wait or a stream ends at once when the sandbox is deleted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from portyard.commons.sandbox.sql import COUNTER
from portyard.console.calls import Desk
from portyard.console.problems import ProblemError

Outcome = TypeVar("Outcome")


async def while_it_stands(desk: Desk, sandbox: str, work: Coroutine[Any, Any, Outcome]) -> Outcome:
    """What comes of it.

    Raises:
        ProblemError: 404, the sandbox was deleted meanwhile.
    """
    loop = asyncio.get_running_loop()
    working = loop.create_task(work)
    watching = loop.create_task(_deleted(desk, sandbox))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if not working.done() and (problem := watching.result()) is not None:
            raise problem
        return await working
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


@contextlib.asynccontextmanager
async def ending(desk: Desk, sandbox: str, end: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Have something end when the sandbox is deleted within the block."""

    async def watch() -> None:
        if await _deleted(desk, sandbox) is not None:
            await end()

    watching = asyncio.get_running_loop().create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _deleted(desk: Desk, sandbox: str) -> ProblemError | None:
    """Return once the sandbox is gone, with what is to be said of it; None when the yard closes."""
    watch = desk.yard.watcher.watch_counter(COUNTER)  # before the first look: a change in between wakes it
    while True:
        try:
            await desk.sandbox(sandbox)
            await anext(watch)
        except ProblemError as problem:
            return problem
        except StopAsyncIteration:
            return None
