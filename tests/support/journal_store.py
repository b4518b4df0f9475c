"""A journal on disk with nothing around it, and sessions in it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from portyard.commons.clock import SystemClock
from portyard.commons.database.embedded import SqliteDatabase
from portyard.commons.database.generations import Generations
from portyard.commons.journal.pen import Pen
from portyard.commons.journal.schema import SCHEMA
from portyard.commons.journal.store import StoredJournal


@contextlib.asynccontextmanager
async def journal_in(folder: Path, events: int = 100_000, octets: int = 1 << 24) -> AsyncIterator[StoredJournal]:
    """A journal in a folder, closed with the block; it keeps so many events, and so many octets."""
    with contextlib.closing(Generations(folder / "generations")) as generations:
        database = await SqliteDatabase.open(folder / "journal.db", SCHEMA, generations)
        journal = StoredJournal(database, SystemClock(), events, octets)
        yield journal
        await journal.close()
        await database.close()


def opened(journal: StoredJournal, room: str = "mail") -> Pen:
    """The pen of a session that begins."""
    return journal.open_session(room=room, service="s", peer="p", local="l", port="in")
