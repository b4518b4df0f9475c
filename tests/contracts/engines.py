"""The engines that every contract is run against, by name."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from portyard.commons.clock import Clock, SystemClock
from portyard.commons.mailstore.model import Mailbox
from portyard.commons.settings import Settings
from portyard.commons.stores import Stores, open_stores

Opener = Callable[..., Awaitable[Stores]]
NOON = datetime(2024, 2, 29, 12, 0, tzinfo=UTC)


class FixedClock:
    """A testbed's clock that stands at noon."""

    def now(self) -> datetime:
        return NOON


async def open_sqlite(state: Path, settings: Settings | None = None, clock: Clock | None = None) -> Stores:
    return await open_stores(state, settings or Settings(), clock or FixedClock())


ENGINES: dict[str, Opener] = {"sqlite": open_sqlite}

MESSAGE = b"From: Alice <alice@portyard.test>\r\nTo: bob@portyard.test\r\nSubject: hello\r\n\r\nHow are you?\r\n"
LARGE = b"Subject: large\r\n\r\n" + b"0123456789abcdef" * 10_000


@contextlib.asynccontextmanager
async def opened(
    engine: str, state: Path, settings: Settings | None = None, clock: Clock | None = None
) -> AsyncIterator[Stores]:
    """The stores of a state directory, closed at the end."""
    stores = await ENGINES[engine](state, settings, clock)
    try:
        yield stores
    finally:
        await stores.close()


async def inbox(stores: Stores, account_id: int = 1) -> Mailbox:
    """An account's INBOX as it is now."""
    found = await stores.mail.mailbox(account_id, "INBOX")
    assert found is not None
    return found


__all__ = ["ENGINES", "LARGE", "MESSAGE", "NOON", "SystemClock", "inbox", "opened"]
