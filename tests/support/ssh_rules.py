"""What tests of rules do with the SSH room."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable
from typing import Any

import asyncssh

from portyard.commons.scenario.checking import check
from portyard.commons.scenario.parsing import parse_rule
from portyard.ssh.core.verbs import VOCABULARY
from tests.support import ssh_client
from tests.support.yard import Served

SOON_S = 0.15
LIMIT_S = 30.0
DATA = bytes(range(256)) * 1024


def connect(room: Served, **changes: Any) -> Any:
    """By a password, unless told otherwise."""
    return ssh_client.connect(room, **{"preferred_auth": "password", **changes})


async def rule(room: Served, on: str, sandbox: str = "default", **then: object) -> None:
    beside = {key: then.pop(key) for key in ("where", "times", "skip", "name") if key in then}
    made = parse_rule({"on": f"ssh.{on}", **beside, "then": then})
    check(made, {"ssh": VOCABULARY})
    await room.yard.rules.add(sandbox, made)


async def hangs(room: Served, work: Awaitable[object], client: asyncssh.SSHClientConnection | None = None) -> None:
    """It is never answered, within reason, once the newest rule was met: nobody else shall meet it."""
    task = asyncio.ensure_future(work)
    async with asyncio.timeout(LIMIT_S):
        while not await was_met(room) and not task.done():
            await asyncio.wait([task], timeout=0.01)
    done, _ = await asyncio.wait([task], timeout=SOON_S)
    assert not done
    if client is None:
        task.cancel()
    else:
        client.abort()
    with contextlib.suppress(asyncio.CancelledError, asyncssh.Error, ConnectionError):
        await asyncio.wait_for(task, LIMIT_S)


async def was_met(room: Served) -> bool:
    await room.yard.rules.flush()
    return (await room.yard.rules.load("default"))[-1].hits > 0


async def later(work: Awaitable[object], least: float = SOON_S) -> Any:
    began = time.monotonic()
    result = await work
    assert time.monotonic() - began >= least * 0.9  # clocks tick in milliseconds
    return result
