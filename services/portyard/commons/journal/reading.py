"""Reading the journal: sessions as a sandbox sees them, and their events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import datetime
from typing import Final

from portyard.commons.database.engine import Database, Row
from portyard.commons.journal.model import END, JournalEvent, SessionRecord, Stretch, Tally
from portyard.commons.journal.packing import unpacked
from portyard.commons.journal.pages import events as events_of
from portyard.commons.journal.pages import size_of
from portyard.commons.journal.pen import LEAF_EVENTS, PAGE_EVENTS
from portyard.commons.journal.visits import WHOLE, Span, shows, spans_of

STRETCH: Final = 1000  # events that `before` looks at in one go, and the rest of a page


class Readings:
    """What the journal answers; see `model.Journal`.

    Args:
        database: journal.db.
        generation_of: A sandbox's generation at this moment; only the present one shows.
    """

    def __init__(self, database: Database, generation_of: Callable[[str], int]) -> None:
        self._database = database
        self._generation_of = generation_of

    async def sessions(
        self, sandbox: str, *, room: str | None = None, limit: int = 100, before: str | None = None
    ) -> list[SessionRecord]:
        """See Journal."""
        where = ""
        more: list[object] = []
        if room is not None:
            where, more = f"{where} AND s.room = ?", [*more, room]
        if before is not None:
            where, more = f"{where} AND s.id < ?", [*more, before]
        part = [sandbox, self._generation_of(sandbox), *more, limit]
        rows = await self._database.read(_SESSIONS.format(where=where), [*part, *part, limit])
        return [_record(row) for row in rows]

    async def session(self, session_id: str, sandbox: str | None = None) -> SessionRecord | None:
        """See Journal."""
        rows = await self._database.read(_SESSION, (session_id, session_id))
        for row in rows:
            record = _record(row[:-1])
            if sandbox in (None, record.sandbox) and row[-1] == self._generation_of(record.sandbox):
                return record
        return None

    async def events(self, session_id: str, after: int = 0, shown: Sequence[Span] = WHOLE) -> list[JournalEvent]:
        """See Journal."""
        return [event async for page in self.paged(session_id, after, shown) for event in page]

    async def paged(
        self, session_id: str, after: int = 0, shown: Sequence[Span] = WHOLE
    ) -> AsyncGenerator[list[JournalEvent]]:
        """See Journal."""
        rows = await self._database.read(_PAGES, (session_id, after - PAGE_EVENTS - LEAF_EVENTS, END))
        last = 0
        if len(rows) == _ROWS:  # what is written while it is read isn't waited for: it may come as fast
            ((last,),) = await self._database.read("SELECT MAX(seq) FROM pages WHERE session_id = ?", (session_id,))
        while rows:
            for seq, body in rows:
                found = list(events_of(seq, unpacked(body), after))
                yield found if shown is WHOLE else [event for event in found if shows(shown, event.seq)]
                await asyncio.sleep(0)  # a page takes milliseconds: others want their turn
            if len(rows) < _ROWS:
                return
            rows = await self._database.read(_PAGES, (session_id, rows[-1][0], last or 0))

    async def before(
        self, session_id: str, number: int = END, shown: Sequence[Span] = WHOLE, only: str | None = None
    ) -> Stretch | None:
        """See Journal."""
        rows = await self._database.read(_BEFORE, (session_id, number))
        if not rows:
            return None
        pages: list[list[JournalEvent]] = []
        first = last = 0
        for seq, packed in rows:
            body = unpacked(packed)
            first, last = seq, last or min(seq + size_of(body), number)
            pages.append([event for event in events_of(seq, body, only=only) if event.seq < number])
            await asyncio.sleep(0)
            if last - first >= STRETCH:
                break
        found = [event for page in reversed(pages) for event in page]
        return Stretch(first, last, found if shown is WHOLE else [event for event in found if shows(shown, event.seq)])

    async def mark(self) -> int:
        """See Journal."""
        rows = await self._database.read("SELECT last FROM batches")
        return int(rows[0][0]) if rows else 0

    async def changed(self, sandbox: str, mark: int) -> list[SessionRecord]:
        """See Journal."""
        part = [sandbox, self._generation_of(sandbox), mark]
        return [_record(row) for row in await self._database.read(_CHANGED, [*part, *part])]

    async def standing(self, sandbox: str) -> dict[str, int]:
        """See Journal."""
        part = [sandbox, self._generation_of(sandbox)]
        return dict(await self._database.read(_STANDING, [*part, *part]))

    async def tallies(self) -> list[Tally]:
        """See Journal."""
        rows = await self._database.read("SELECT room, service, kind, events FROM tallies ORDER BY room, service, kind")
        return [Tally(*row) for row in rows]


_ROWS: Final = 16  # pages that are read in one go: of more, other requests would have to wait for the reading alone
_PAGES: Final = f"SELECT seq, body FROM pages WHERE session_id = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT {_ROWS}"  # noqa: S608
_BEFORE: Final = (
    "SELECT seq, body FROM pages WHERE session_id = ? AND seq < ? ORDER BY seq DESC LIMIT 32"  # of few events each
)
_WHAT: Final = "s.id, s.room, s.service, {name}.sandbox, s.peer, s.opened_at, s.closed_at, s.account, s.preamble, {since}.since, g.spans"
_OWN: Final = _WHAT.format(name="s", since="s")
_AS_GUEST: Final = _WHAT.format(name="g", since="g")
_SESSION_AND: Final = (  # what it is in now, and its earlier visits
    "sessions s LEFT JOIN guests g ON g.session_id = s.id AND g.sandbox = s.sandbox AND g.generation = s.generation"
)
_SESSIONS: Final = (
    f"SELECT * FROM (SELECT * FROM (SELECT {_OWN} FROM {_SESSION_AND} WHERE s.sandbox = ? AND s.generation = ?{{where}} "  # noqa: S608
    "ORDER BY s.id DESC LIMIT ?) AS own UNION ALL "
    f"SELECT * FROM (SELECT {_AS_GUEST} FROM guests g JOIN sessions s ON s.id = g.session_id AND s.sandbox <> g.sandbox "
    "WHERE g.sandbox = ? AND g.generation = ?{where} ORDER BY s.id DESC LIMIT ?) AS guest) AS found ORDER BY id DESC LIMIT ?"
)
_SESSION: Final = (
    f"SELECT {_OWN}, s.generation FROM {_SESSION_AND} WHERE s.id = ? UNION ALL "  # noqa: S608 - our own words
    f"SELECT {_AS_GUEST}, g.generation FROM guests g JOIN sessions s ON s.id = g.session_id AND s.sandbox <> g.sandbox "
    "WHERE g.session_id = ?"
)
_CHANGED: Final = (
    f"SELECT {_OWN} FROM {_SESSION_AND} WHERE s.sandbox = ? AND s.generation = ? AND s.batch > ? UNION ALL "  # noqa: S608 - our own words
    f"SELECT {_AS_GUEST} FROM guests g JOIN sessions s ON s.id = g.session_id AND s.sandbox <> g.sandbox "
    "WHERE g.sandbox = ? AND g.generation = ? AND s.batch > ? ORDER BY 1"
)
_STANDING: Final = (
    "SELECT s.id, s.events FROM sessions s WHERE s.sandbox = ? AND s.generation = ? AND s.closed_at IS NULL UNION ALL "
    "SELECT s.id, s.events FROM guests g JOIN sessions s ON s.id = g.session_id AND s.sandbox <> g.sandbox "
    "WHERE g.sandbox = ? AND g.generation = ? AND s.closed_at IS NULL"
)


def _record(row: Row) -> SessionRecord:
    session_id, room, service, sandbox, peer, opened, closed, account, preamble, since, spans = row
    return SessionRecord(
        session_id,
        room,
        service,
        sandbox,
        peer,
        datetime.fromisoformat(opened),
        datetime.fromisoformat(closed) if closed else None,
        account,
        spans_of(preamble, since, spans or ""),
    )
