"""A testbed with a sandbox of its own that is reset or deleted while somebody is in it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from portyard.commons.accounts.model import Account
from portyard.commons.card import Card
from portyard.commons.yard import Yard
from tests.support.yard import Served, open_yard, serve

LOGIN, PASSWORD = "u@t1.test", "pw"


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
