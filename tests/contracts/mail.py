"""What the contracts put into a mailstore, and what they count in it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from portyard.commons.stores import Stores
from tests.contracts.engines import MESSAGE

ME, YOU = 1, 2


async def fill(stores: Stores, count: int, mailbox: str = "INBOX") -> None:
    await asyncio.gather(*(stores.mail.append(ME, mailbox, MESSAGE + b"%d\r\n" % n) for n in range(count)))


async def bodies(stores: Stores, state: Path) -> tuple[int, int]:
    """Rows, files."""
    rows = await stores.mail_database.read("SELECT count(*) FROM bodies")
    return rows[0][0], sum(1 for _ in (state / "bodies").iterdir())
