"""A testbed with a sandbox of its own that is reset or deleted while somebody is in it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from portyard.commons.accounts.model import Account
from portyard.commons.card import Card
from portyard.commons.journal.schema import COUNTER
from portyard.commons.yard import Yard
from tests.support.yard import Served, open_yard, serve

LOGIN, PASSWORD = "u@t1.test", "pw"
HELD_S = 3600.0


@contextlib.asynccontextmanager
async def with_t1(state: Path, *cards: Card, **changes: object) -> AsyncIterator[Served]:
    """These rooms, and the sandbox t1 with an account."""
    async with open_yard(state, **changes) as yard, serve(yard, *cards) as served:
        await yard.sandboxes.create("t1")
        await yard.accounts.create("t1", LOGIN, PASSWORD)
        yield served


async def account_of(yard: Yard) -> Account:
    """That account."""
    account = await yard.accounts.find(LOGIN)
    assert account is not None
    return account


async def obeyed(yard: Yard, sandbox: str) -> None:
    """Return once a rule of a sandbox has been obeyed."""
    watch = yard.watcher.watch_counter(COUNTER)
    try:
        while not any([await faults_in(yard, record.id) for record in await yard.journal.sessions(sandbox)]):
            await anext(watch)
    finally:
        await watch.aclose()


async def faults_in(yard: Yard, session: str) -> int:
    """How often rules were obeyed in a session."""
    return sum(event.kind == "fault" for event in await yard.journal.events(session))


def held_delays(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """What ends a rule's delay of an hour: on a busy machine a short one may be over before anything was done in it."""
    event, sleep = asyncio.Event(), asyncio.sleep

    async def held(seconds: float) -> None:
        await (event.wait() if seconds == HELD_S else sleep(seconds))

    monkeypatch.setattr(asyncio, "sleep", held)
    return event
