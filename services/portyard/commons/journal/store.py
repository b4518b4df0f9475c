"""The journal over a database: pens that note in memory, and one task that writes behind them.

A session's events become readable within FLUSH_S, LOADED_S while they come fast; `flush` waits for it. What was noted when a process is
killed and not yet written is lost: the journal tells what happened, it is not what must not be lost.

What a session noted between two writes is one row, a page: noting an event costs a tuple of texts, or its JSON, and a busy session a few
rows a second. Neither is anything that the garbage collector has to look at; and while they come fast, writes come seldom: each takes the
interpreter away from the sessions a few dozen times.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec

from portyard.commons.clock import Clock
from portyard.commons.database.embedded import Schema
from portyard.commons.database.engine import Database, Row, Transaction
from portyard.commons.journal.model import JournalEvent, SessionRecord, Tally
from portyard.commons.journal.pruning import OVERHEAD, prune
from portyard.commons.sandbox.model import DEFAULT

FLUSH_S: Final = 0.03  # how long a note may wait for company
LOADED_S: Final = 0.12  # the same while events come fast
LOADED_RATE: Final = 2000  # events a second from which on they do
HURRY_S: Final = 0.002  # how long the end of a session may
GRAIN_NS: Final = 100_000  # events this close to each other share their time
PAGE_EVENTS: Final = 1000  # of one row at most
PRUNE_EVENTS: Final = 20_000  # written between two looks at the bounds
PRUNE_OCTETS: Final = 16 << 20  # and no more octets than these
QUEUE_LIMIT: Final = 200_000  # notes that may wait for a slow disk; with so many, newer ones are dropped and counted
COUNTER: Final = "journal"

SCHEMA = Schema(
    "journal",
    (
        """
        CREATE TABLE sessions (
            id TEXT PRIMARY KEY, room TEXT NOT NULL, service TEXT NOT NULL, sandbox TEXT NOT NULL, peer TEXT NOT NULL,
            local TEXT NOT NULL, port TEXT NOT NULL, opened_at TEXT NOT NULL, closed_at TEXT, account TEXT,
            events INTEGER NOT NULL DEFAULT 0, octets INTEGER NOT NULL DEFAULT 0);
        CREATE INDEX sessions_by_sandbox ON sessions (sandbox, id);
        CREATE TABLE events (
            session_id TEXT NOT NULL, seq INTEGER NOT NULL, at TEXT NOT NULL, kind TEXT NOT NULL, fields TEXT NOT NULL,
            PRIMARY KEY (session_id, seq)) WITHOUT ROWID;
        """,
        """
        ALTER TABLE sessions ADD COLUMN generation BIGINT NOT NULL DEFAULT 1;
        """,
        # An older journal isn't worth the time of carrying it over: it begins anew.
        """
        DROP TABLE events;
        DELETE FROM sessions;
        CREATE TABLE pages (
            session_id TEXT NOT NULL, seq INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (session_id, seq));
        CREATE TABLE guests (
            sandbox TEXT NOT NULL, session_id TEXT NOT NULL, generation BIGINT NOT NULL, PRIMARY KEY (sandbox, session_id));
        CREATE INDEX guests_by_session ON guests (session_id);
        """,
        # Who follows the journal asks for the sessions of later batches than the last one that it saw.
        """
        ALTER TABLE sessions ADD COLUMN batch BIGINT NOT NULL DEFAULT 0;
        CREATE INDEX sessions_by_batch ON sessions (batch);
        CREATE TABLE batches (one INTEGER PRIMARY KEY, last BIGINT NOT NULL);
        INSERT INTO batches VALUES (1, 0);
        CREATE TABLE tallies (
            room TEXT NOT NULL, service TEXT NOT NULL, kind TEXT NOT NULL, events BIGINT NOT NULL,
            PRIMARY KEY (room, service, kind)) WITHOUT ROWID;
        """,
        # Of sessions that run, events may have gone: they count among the session's, and no longer among the journal's.
        """
        ALTER TABLE sessions ADD COLUMN gone BIGINT NOT NULL DEFAULT 0;
        """,
    ),
)

_logger = logging.getLogger(__name__)
_encode = msgspec.json.Encoder(enc_hook=str).encode
_monotonic_ns = time.monotonic_ns


def _octets(noted: object) -> bytes:
    """An event as JSON."""
    try:
        return _encode(noted)
    except (ValueError, OverflowError):  # half of a surrogate pair, which a lax decoder left, or a giant number
        return json.dumps(noted, default=_lax).encode()


def _lax(value: object) -> object:
    """What JSON can show of a value that it can't hold."""
    if isinstance(value, datetime):
        return value.isoformat()
    return json.loads(bytes(value)) if isinstance(value, msgspec.Raw) else str(value)


class Pen:
    """One session's SessionLog.

    Attributes:
        record: What is known of the session since it was opened.
        page: What it noted since the last write: when, the kind, and the fields. Those that are text alone as that text, else as JSON.
        kinds: The kinds of these.
        sandbox: The sandbox that it belongs to.
        guests: The generations of others in which it shows, too, by their names; those that aren't written yet.
        written: Events that are.
        stirred: It waits to be written.
    """

    __slots__ = (
        "_joined",
        "_journal",
        "_note",
        "_on_close",
        "account",
        "closed_at",
        "generation",
        "guests",
        "kinds",
        "local",
        "page",
        "port",
        "record",
        "sandbox",
        "stirred",
        "written",
    )

    def __init__(
        self,
        journal: StoredJournal,
        record: SessionRecord,
        local: str,
        port: str,
        closed: Callable[[], None] | None,
    ) -> None:
        self._journal = journal
        self._note = journal.note
        self._on_close = closed
        self._joined = False
        self.record = record
        self.local = local
        self.port = port
        self.page: list[object] = []
        self.kinds: list[str] = []
        self.sandbox = record.sandbox
        self.generation = journal.generation_of(record.sandbox)
        self.guests: dict[str, int] = {}
        self.account: str | None = None
        self.closed_at: datetime | None = None
        self.written = 0
        self.stirred = False

    @property
    def id(self) -> str:
        """See SessionLog."""
        return self.record.id

    def event(self, kind: str, **fields: object) -> None:
        """See SessionLog."""
        self._note(self, kind, fields)

    def told(self, kind: str, fields: msgspec.Raw) -> None:
        """See SessionLog."""
        self._note(self, kind, fields)

    def command(self, text: str) -> None:
        """See SessionLog."""
        self._note(self, "command", text)

    def reply(self, text: str) -> None:
        """See SessionLog."""
        self._note(self, "reply", text)

    def join(self, sandbox: str, *, also: bool = False) -> None:
        """See SessionLog."""
        generation = self._journal.generation_of(sandbox)  # who claims a name again after a reset is seen again
        if also and self._joined and sandbox != self.sandbox:
            self.guests[sandbox] = generation
        else:
            self._joined = True
            self.sandbox = sandbox
            self.generation = generation
        self._journal.stir(self)

    def authenticated(self, account: str, mechanism: str) -> None:
        """See SessionLog."""
        self.account = account
        self.event("auth", account=account, mechanism=mechanism)

    def close(self, reason: str = "") -> None:
        """See SessionLog."""
        if self.closed_at is None:
            self.closed_at = self._journal.clock.now()
            self.event("closed", reason=reason)
            self._journal.stir(self)  # the end is written, also where the disk is too slow for its event
            self._journal.hurry()
            if self._on_close is not None:
                self._on_close()


class StoredJournal:
    """The Journal over a database.

    Args:
        database: journal.db.
        clock: The testbed's time.
        most_events: Events kept; the oldest sessions that have ended go first.
        most_octets: Octets of events kept.
        generation_of: A sandbox's generation at this moment. A session belongs to that in which it joined
            last, and only the present one shows.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        most_events: int,
        most_octets: int,
        generation_of: Callable[[str], int] = lambda _: 1,
    ) -> None:
        self._database = database
        self.generation_of = generation_of
        self.clock = clock
        self._most_events = most_events
        self._most_octets = most_octets
        self._loop = asyncio.get_running_loop()
        self._pens: list[Pen] = []  # those that are stirred
        self._waiting = 0
        self._dropped = 0
        self._events_since = 0
        self._octets_since = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._wrote_at = 0.0
        self._pause_s = FLUSH_S
        self._serial = itertools.count()
        self._nonce = time.time_ns()
        self._looked_ns = 0
        self._now = clock.now()

    def open_session(
        self, *, room: str, service: str, peer: str, local: str, port: str, closed: Callable[[], None] | None = None
    ) -> Pen:
        """See Journal."""
        session_id = f"{time.time_ns():016x}{self._nonce & 0xFFFF:04x}{next(self._serial) & 0xFFFF:04x}"
        record = SessionRecord(session_id, room, service, DEFAULT, peer, self.clock.now(), None, None)
        pen = Pen(self, record, local, port, closed)
        pen.event("opened", service=service, port=port, peer=peer, local=local)
        return pen

    def note(self, pen: Pen, kind: str, what: object) -> None:
        """Put one event on the pen's page, to be written within LOADED_S; text stands for `{"text": text}`, and JSON for itself."""
        if self._waiting >= QUEUE_LIMIT:
            self._dropped += 1
            return
        now_ns = _monotonic_ns()
        if now_ns - self._looked_ns > GRAIN_NS:
            self._now = self.clock.now()
            self._looked_ns = now_ns
        if not pen.stirred:
            self.stir(pen)
        # A tuple of texts, or of JSON, is nothing to the garbage collector; a table would be, so it waits as octets.
        noted = (self._now, kind, what)
        pen.page.append(_octets(noted) if type(what) is dict else noted)
        pen.kinds.append(kind)
        self._waiting += 1

    def stir(self, pen: Pen) -> None:
        """Have the session written within LOADED_S: something of it changed."""
        if pen.stirred:
            return
        pen.stirred = True
        self._pens.append(pen)
        if self._timer is None and self._writing is None:
            self._timer = self._loop.call_later(self._pause_s, self._start_writing)

    def hurry(self) -> None:
        """Write soon: whoever ended a session asks for its transcript next. Many that end at once wait for each other."""
        if self._writing is not None:
            return
        due = max(self._loop.time() + HURRY_S, self._wrote_at + self._pause_s)
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._start_writing)

    async def flush(self) -> None:
        """See Journal."""
        while self._pens or self._writing is not None:
            if self._writing is None:
                self._start_writing()
            assert self._writing is not None
            await asyncio.shield(self._writing)

    async def close(self) -> None:
        """Write what was noted."""
        await self.flush()
        if self._timer is not None:
            self._timer.cancel()

    def _start_writing(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is None and self._pens:
            self._writing = self._loop.create_task(self._write())

    async def _write(self) -> None:
        try:
            if self._dropped:
                _logger.warning("the journal dropped %s events: the disk is too slow", self._dropped)
                self._dropped = 0
            await self._database.write(self._job())
            if self._events_since >= PRUNE_EVENTS or self._octets_since >= PRUNE_OCTETS:
                self._events_since = self._octets_since = 0
                await self._database.write(self._prune)
        except Exception:
            _logger.exception("the journal could not be written")
        finally:
            self._writing = None
            self._wrote_at = self._loop.time()
            if (
                self._pens and self._timer is None
            ):  # a write costs as much as many events: it waits for company each time
                self._timer = self._loop.call_later(self._pause_s, self._start_writing)

    def _job(self) -> Callable[[Transaction], None]:
        """A write job for all that waits."""
        fast = self._waiting > LOADED_RATE * (self._loop.time() - self._wrote_at)
        self._pause_s = LOADED_S if fast else FLUSH_S
        pens, self._pens, self._waiting = self._pens, [], 0
        pages: list[tuple[str, int, str]] = []
        guests: list[tuple[str, str, int]] = []
        sessions = []
        tally: Counter[tuple[str, str, str]] = Counter()
        for pen in pens:
            pen.stirred = False
            for kind, count in Counter(pen.kinds).items():
                tally[pen.record.room, pen.record.service, kind] += count
            events, octets = len(pen.page), 0
            for seq, body in _pages(pen):
                pages.append((pen.id, seq, body))
                octets += len(body) + OVERHEAD
            sessions.append(_row(pen, events, octets))
            guests += [(name, pen.id, generation) for name, generation in pen.guests.items()]
            pen.guests.clear()
            self._events_since += events
            self._octets_since += octets

        def job(transaction: Transaction) -> None:
            ((batch,),) = transaction.execute("UPDATE batches SET last = last + 1 WHERE one = 1 RETURNING last")
            transaction.execute_many(_PUT_SESSION, [(*row, batch) for row in sessions])
            transaction.execute_many(_PUT_TALLY, [(*counted, events) for counted, events in tally.items()])
            transaction.execute_many("INSERT INTO pages (session_id, seq, body) VALUES (?, ?, ?)", pages)
            if guests:
                transaction.execute_many(_PUT_GUEST, guests)
            transaction.bump(COUNTER)

        return job

    def _prune(self, transaction: Transaction) -> None:
        prune(transaction, self._most_events, self._most_octets)

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
        part = [sandbox, self.generation_of(sandbox), *more, limit]
        rows = await self._database.read(_SESSIONS.format(where=where), [*part, *part, limit])
        return [_record(row) for row in rows]

    async def session(self, session_id: str, sandbox: str | None = None) -> SessionRecord | None:
        """See Journal."""
        rows = await self._database.read(_SESSION, (session_id, session_id))
        for row in rows:
            record = _record(row[:-1])
            if sandbox in (None, record.sandbox) and row[-1] == self.generation_of(record.sandbox):
                return record
        return None

    async def events(self, session_id: str, after: int = 0) -> list[JournalEvent]:
        """See Journal."""
        rows = await self._database.read(
            "SELECT seq, body FROM pages WHERE session_id = ? AND seq > ? ORDER BY seq",
            (session_id, after - PAGE_EVENTS),
        )
        return [event for row in rows for event in _events(row) if event.seq > after]

    async def mark(self) -> int:
        """See Journal."""
        rows = await self._database.read("SELECT last FROM batches")
        return int(rows[0][0]) if rows else 0

    async def changed(self, sandbox: str, mark: int) -> list[SessionRecord]:
        """See Journal."""
        part = [sandbox, self.generation_of(sandbox), mark]
        return [_record(row) for row in await self._database.read(_CHANGED, [*part, *part])]

    async def standing(self, sandbox: str) -> dict[str, int]:
        """See Journal."""
        part = [sandbox, self.generation_of(sandbox)]
        return dict(await self._database.read(_STANDING, [*part, *part]))

    async def tallies(self) -> list[Tally]:
        """See Journal."""
        rows = await self._database.read("SELECT room, service, kind, events FROM tallies ORDER BY room, service, kind")
        return [Tally(*row) for row in rows]

    @property
    def waiting(self) -> int:
        """See Journal."""
        return self._waiting


_PUT_SESSION: Final = (
    "INSERT INTO sessions (id, room, service, peer, local, port, opened_at, sandbox, generation, account, closed_at, events, gone, "
    "octets, batch) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET sandbox = excluded.sandbox, "
    "batch = excluded.batch, generation = excluded.generation, account = excluded.account, closed_at = excluded.closed_at, "
    "events = excluded.events, octets = sessions.octets + excluded.octets"
)
_PUT_TALLY: Final = (
    "INSERT INTO tallies (room, service, kind, events) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (room, service, kind) DO UPDATE SET events = tallies.events + excluded.events"
)
_PUT_GUEST: Final = (
    "INSERT INTO guests (sandbox, session_id, generation) VALUES (?, ?, ?) "
    "ON CONFLICT (sandbox, session_id) DO UPDATE SET generation = excluded.generation"
)
_OWN: Final = "s.id, s.room, s.service, s.sandbox, s.peer, s.opened_at, s.closed_at, s.account"
_AS_GUEST: Final = "s.id, s.room, s.service, g.sandbox, s.peer, s.opened_at, s.closed_at, s.account"
_SESSIONS: Final = (
    f"SELECT * FROM (SELECT * FROM (SELECT {_OWN} FROM sessions s WHERE s.sandbox = ? AND s.generation = ?{{where}} "  # noqa: S608
    "ORDER BY s.id DESC LIMIT ?) AS own UNION ALL "
    f"SELECT * FROM (SELECT {_AS_GUEST} FROM guests g JOIN sessions s ON s.id = g.session_id AND s.sandbox <> g.sandbox "
    "WHERE g.sandbox = ? AND g.generation = ?{where} ORDER BY s.id DESC LIMIT ?) AS guest) AS found ORDER BY id DESC LIMIT ?"
)
_SESSION: Final = (
    f"SELECT {_OWN}, s.generation FROM sessions s WHERE s.id = ? UNION ALL "  # noqa: S608 - our own words
    f"SELECT {_AS_GUEST}, g.generation FROM guests g JOIN sessions s ON s.id = g.session_id WHERE g.session_id = ?"
)
_CHANGED: Final = (
    f"SELECT {_OWN} FROM sessions s WHERE s.sandbox = ? AND s.generation = ? AND s.batch > ? UNION ALL "  # noqa: S608 - our own words
    f"SELECT {_AS_GUEST} FROM guests g JOIN sessions s ON s.id = g.session_id AND s.sandbox <> g.sandbox "
    "WHERE g.sandbox = ? AND g.generation = ? AND s.batch > ? ORDER BY 1"
)
_STANDING: Final = (
    "SELECT s.id, s.events FROM sessions s WHERE s.sandbox = ? AND s.generation = ? AND s.closed_at IS NULL UNION ALL "
    "SELECT s.id, s.events FROM guests g JOIN sessions s ON s.id = g.session_id AND s.sandbox <> g.sandbox "
    "WHERE g.sandbox = ? AND g.generation = ? AND s.closed_at IS NULL"
)


def _row(pen: Pen, events: int, octets: int) -> tuple[object, ...]:
    """The session's row: what is known of it, and by how much it grows. One that was pruned begins anew, its events' numbers go on."""
    record = pen.record
    fixed = (pen.id, record.room, record.service, record.peer, pen.local, pen.port, record.opened_at.isoformat())
    closed_at = pen.closed_at.isoformat() if pen.closed_at else None
    return (*fixed, pen.sandbox, pen.generation, pen.account, closed_at, pen.written, pen.written - events, octets)


def _pages(pen: Pen) -> list[tuple[int, str]]:
    """What the pen noted, by the number of its first event; its page is empty then."""
    noted, pen.page, pen.kinds = pen.page, [], []
    found = []
    for start in range(0, len(noted), PAGE_EVENTS):
        some = noted[start : start + PAGE_EVENTS]
        octets = [each if type(each) is bytes else _octets(each) for each in some]
        found.append((pen.written + 1, f"[{b','.join(octets).decode()}]"))
        pen.written += len(some)
    return found


def _events(row: Row) -> list[JournalEvent]:
    seq, body = row
    return [
        JournalEvent(number, datetime.fromisoformat(at), kind, {"text": what} if isinstance(what, str) else what)
        for number, (at, kind, what) in enumerate(json.loads(body), seq)
    ]


def _record(row: Row) -> SessionRecord:
    session_id, room, service, sandbox, peer, opened, closed, account = row
    return SessionRecord(
        session_id,
        room,
        service,
        sandbox,
        peer,
        datetime.fromisoformat(opened),
        datetime.fromisoformat(closed) if closed else None,
        account,
    )
