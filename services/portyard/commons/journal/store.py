"""The journal over a database: pens that note in memory, and one task that writes behind them.

A session's events become readable within FLUSH_S; `flush` waits for it. What was noted when a process is killed and not yet written is
lost: the journal tells what happened, it is not what must not be lost.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import time
from collections.abc import Callable
from datetime import datetime

from portyard.commons.clock import Clock
from portyard.commons.database.embedded import Schema
from portyard.commons.database.engine import Database, Transaction
from portyard.commons.journal.model import JournalEvent, SessionRecord
from portyard.commons.sandbox.model import DEFAULT

FLUSH_S = 0.02  # how long a note may wait for company
PRUNE_EVERY = 20_000  # events between two looks at the bounds
QUEUE_LIMIT = 200_000  # notes that may wait for a slow disk; older than these, newer ones are dropped and counted
COUNTER = "journal"

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
    ),
)

_logger = logging.getLogger(__name__)


class Pen:
    """One session's SessionLog."""

    def __init__(self, journal: StoredJournal, record: SessionRecord, closed: Callable[[], None] | None) -> None:
        self._journal = journal
        self._on_close = closed
        self._seq = 0
        self.record = record
        self.sandbox = record.sandbox
        self.generation = journal.generation_of(record.sandbox)
        self.account: str | None = None
        self.closed_at: datetime | None = None
        self.octets = 0
        self.events = 0

    @property
    def id(self) -> str:
        """See SessionLog."""
        return self.record.id

    def event(self, kind: str, **fields: object) -> None:
        """See SessionLog."""
        self._seq += 1
        self._journal.note(self, self._seq, kind, fields)

    def command(self, text: str) -> None:
        """See SessionLog."""
        self.event("command", text=text)

    def reply(self, text: str) -> None:
        """See SessionLog."""
        self.event("reply", text=text)

    def join(self, sandbox: str) -> None:
        """See SessionLog."""
        self.sandbox = sandbox
        self.generation = self._journal.generation_of(sandbox)  # who claims a name again after a reset is seen again

    def authenticated(self, account: str, mechanism: str) -> None:
        """See SessionLog."""
        self.account = account
        self.event("auth", account=account, mechanism=mechanism)

    def close(self, reason: str = "") -> None:
        """See SessionLog."""
        if self.closed_at is None:
            self.closed_at = self._journal.clock.now()
            self.event("closed", reason=reason)
            self._journal.hurry()
            if self._on_close is not None:
                self._on_close()


class StoredJournal:
    """The Journal over a database.

    Args:
        database: journal.db.
        clock: The testbed's time.
        most_events: Events kept; the oldest sessions go first.
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
        self._pending: list[tuple[Pen, int, datetime, str, dict[str, object]]] = []
        self._dropped = 0
        self._since_prune = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._serial = itertools.count()
        self._nonce = time.time_ns()

    def open_session(
        self, *, room: str, service: str, peer: str, local: str, port: str, closed: Callable[[], None] | None = None
    ) -> Pen:
        """See Journal."""
        now = self.clock.now()
        session_id = f"{time.time_ns():016x}{self._nonce & 0xFFFF:04x}{next(self._serial) & 0xFFFF:04x}"
        pen = Pen(self, SessionRecord(session_id, room, service, DEFAULT, peer, now, None, None), closed)
        pen.event("opened", service=service, port=port, peer=peer, local=local)
        return pen

    def note(self, pen: Pen, seq: int, kind: str, fields: dict[str, object]) -> None:
        """Queue one event; written within FLUSH_S."""
        if len(self._pending) >= QUEUE_LIMIT:
            self._dropped += 1
            return
        self._pending.append((pen, seq, self.clock.now(), kind, fields))
        if self._timer is None and self._writing is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self._start_writing)

    def hurry(self) -> None:
        """Write now: whoever ended a session asks for its transcript next."""
        self._start_writing()

    async def flush(self) -> None:
        """See Journal."""
        while self._pending or self._writing is not None:
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
        if self._writing is None and self._pending:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        try:
            while self._pending:
                batch, self._pending = self._pending, []
                if self._dropped:
                    _logger.warning("the journal dropped %s events: the disk is too slow", self._dropped)
                    self._dropped = 0
                await self._database.write(_job(batch))
                self._since_prune += len(batch)
                if self._since_prune >= PRUNE_EVERY:
                    self._since_prune = 0
                    await self._database.write(self._prune)
        except Exception:
            _logger.exception("the journal could not be written")
        finally:
            self._writing = None

    def _prune(self, transaction: Transaction) -> None:
        """Drop the oldest sessions until both bounds hold again."""
        ((events, octets),) = transaction.execute(
            "SELECT COALESCE(SUM(events), 0), COALESCE(SUM(octets), 0) FROM sessions"
        )
        if events <= self._most_events and octets <= self._most_octets:
            return
        rows = transaction.execute("SELECT id, events, octets FROM sessions ORDER BY id")
        for session_id, its_events, its_octets in rows:
            if events <= self._most_events and octets <= self._most_octets:
                break
            transaction.execute("DELETE FROM events WHERE session_id = ?", (session_id,))
            transaction.execute("DELETE FROM sessions WHERE id = ?", (session_id,))
            events -= its_events
            octets -= its_octets

    async def sessions(
        self, sandbox: str, *, room: str | None = None, limit: int = 100, before: str | None = None
    ) -> list[SessionRecord]:
        """See Journal."""
        where = "sandbox = ? AND generation = ?"
        parameters: list[object] = [sandbox, self.generation_of(sandbox)]
        if room is not None:
            where, parameters = where + " AND room = ?", [*parameters, room]
        if before is not None:
            where, parameters = where + " AND id < ?", [*parameters, before]
        rows = await self._database.read(
            f"SELECT {_COLUMNS} FROM sessions WHERE {where} ORDER BY id DESC LIMIT ?",  # noqa: S608 - our own words
            [*parameters, limit],
        )
        return [_record(row) for row in rows]

    async def session(self, session_id: str) -> SessionRecord | None:
        """See Journal."""
        rows = await self._database.read(f"SELECT {_COLUMNS}, generation FROM sessions WHERE id = ?", (session_id,))  # noqa: S608
        if not rows:
            return None
        record = _record(rows[0][:-1])
        return record if rows[0][-1] == self.generation_of(record.sandbox) else None

    async def events(self, session_id: str) -> list[JournalEvent]:
        """See Journal."""
        rows = await self._database.read(
            "SELECT seq, at, kind, fields FROM events WHERE session_id = ? ORDER BY seq", (session_id,)
        )
        return [
            JournalEvent(seq, datetime.fromisoformat(at), kind, json.loads(fields)) for seq, at, kind, fields in rows
        ]


_COLUMNS = "id, room, service, sandbox, peer, opened_at, closed_at, account"


def _record(row: tuple[str | None, ...]) -> SessionRecord:
    session_id, room, service, sandbox, peer, opened, closed, account = row
    return SessionRecord(
        session_id or "",
        room or "",
        service or "",
        sandbox or "",
        peer or "",
        datetime.fromisoformat(opened or ""),
        datetime.fromisoformat(closed) if closed else None,
        account,
    )


def _job(batch: list[tuple[Pen, int, datetime, str, dict[str, object]]]) -> Callable[[Transaction], None]:
    """A write job for the batch: sessions first, so that no event lacks its session."""
    rows = []
    pens: dict[str, Pen] = {}
    tally: dict[tuple[str, str, str], int] = {}
    opened: dict[str, tuple[str, str]] = {}
    for pen, seq, at, kind, fields in batch:
        text = json.dumps(fields, default=str)
        pens[pen.id] = pen
        counted = (pen.record.room, pen.record.service, kind)
        tally[counted] = tally.get(counted, 0) + 1
        pen.events += 1
        pen.octets += len(text) + 32
        if kind == "opened":
            opened[pen.id] = (str(fields["local"]), str(fields["port"]))
        rows.append((pen.id, seq, at.isoformat(), kind, text))
    fresh = [
        (
            p.id,
            p.record.room,
            p.record.service,
            p.sandbox,
            p.record.peer,
            *opened[i],
            p.record.opened_at.isoformat(),
            p.generation,
        )
        for i, p in pens.items()
        if i in opened
    ]
    state = [
        (p.sandbox, p.generation, p.account, p.closed_at.isoformat() if p.closed_at else None, p.events, p.octets, i)
        for i, p in pens.items()
    ]

    def job(transaction: Transaction) -> None:
        transaction.execute_many(
            "INSERT INTO sessions (id, room, service, sandbox, peer, local, port, opened_at, generation) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            fresh,
        )
        transaction.execute_many("INSERT INTO events (session_id, seq, at, kind, fields) VALUES (?, ?, ?, ?, ?)", rows)
        ((number,),) = transaction.execute("UPDATE batches SET last = last + 1 WHERE one = 1 RETURNING last")
        transaction.execute_many(
            "UPDATE sessions SET sandbox = ?, generation = ?, account = ?, closed_at = ?, events = ?, octets = ?, batch = ? "
            "WHERE id = ?",
            [(*fields, number, key) for *fields, key in state],
        )
        transaction.execute_many(
            "INSERT INTO tallies (room, service, kind, events) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (room, service, kind) DO UPDATE SET events = tallies.events + excluded.events",
            [(*counted, count) for counted, count in tally.items()],
        )
        transaction.bump(COUNTER)

    return job
