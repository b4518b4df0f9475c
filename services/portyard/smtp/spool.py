"""A hop's queue in mail.db: messages, and for each recipient where it stands. Large messages lie as files in `spool/`.

Invariants: commit, then answer; a (hop, id, recipient) is taken once, and a repeat changes nothing; a file is removed after its row.
What is delivered stays known at the MTA for as long as the hop before could hand it over again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from portyard.commons.database.engine import Database, Row, StorageError, StorageFullError, Transaction
from portyard.commons.mailstore.bodies import BodyFiles
from portyard.commons.mailstore.model import StoreFullError
from portyard.smtp.core.grammar import parse_mailbox, print_mailbox
from portyard.smtp.core.model import NULL_PATH, Mailbox, Taker
from portyard.smtp.core.stores import Arrival
from portyard.smtp.spooled import Desk, Entry, Letter, Queued, Turn, Verdict

INLINE: Final = 64 * 1024
"""Octets of a message that lies in its row; larger ones are files."""

_TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS spool_messages (
        hop TEXT NOT NULL, id TEXT NOT NULL, reverse_path TEXT NOT NULL, eight_bit INTEGER NOT NULL, smtputf8 INTEGER NOT NULL,
        size BIGINT NOT NULL, accepted_at DOUBLE PRECISION NOT NULL, octets BLOB, file TEXT,
        PRIMARY KEY (hop, id))""",
    """CREATE TABLE IF NOT EXISTS spool_recipients (
        hop TEXT NOT NULL, id TEXT NOT NULL, recipient TEXT NOT NULL, address TEXT NOT NULL, sandbox TEXT NOT NULL,
        generation BIGINT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL, due DOUBLE PRECISION NOT NULL, reason TEXT NOT NULL,
        since DOUBLE PRECISION NOT NULL DEFAULT 0, taker TEXT NOT NULL DEFAULT '', taker_generation BIGINT NOT NULL DEFAULT 0,
        PRIMARY KEY (hop, id, recipient))""",
    "DROP INDEX IF EXISTS spool_queued",
    "CREATE INDEX IF NOT EXISTS spool_waiting ON spool_recipients (hop, sandbox, generation, due) WHERE state = 'queued'",
)

_ADDED: Final = {
    "since": "DOUBLE PRECISION NOT NULL DEFAULT 0",
    "taker": "TEXT NOT NULL DEFAULT ''",
    "taker_generation": "BIGINT NOT NULL DEFAULT 0",
}
"""Columns that the tables of earlier versions lack."""
_INSERT_RECIPIENT: Final = (
    "INSERT INTO spool_recipients (hop, id, recipient, address, sandbox, generation, state, attempts, due, reason, since,"
    " taker, taker_generation) VALUES (?, ?, ?, ?, ?, ?, 'queued', 0, ?, '', ?, ?, ?) ON CONFLICT DO NOTHING RETURNING 1"
)
_INSERT_MESSAGE: Final = (
    "INSERT INTO spool_messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING 1"
)
_FORGET_DELIVERIES: Final = (
    "DELETE FROM deliveries WHERE message_id = ? AND NOT EXISTS (SELECT 1 FROM spool_recipients r"
    " WHERE r.hop IN ('msa', 'mta') AND r.id = deliveries.delivery_id AND r.state = 'queued')"
)
_STILL_SPENT: Final = (
    "INSERT INTO spent (message_id, since) SELECT DISTINCT message_id, CAST(? AS BIGINT) FROM deliveries"
    " WHERE message_id = ?"
)
SPENT_S: Final = 3600
"""Seconds that a delivery is known after its message: longer than a transaction that nobody waits for any more may stand at the MDA."""
SLICE: Final = 200
"""Rows of one write job, so that others have their turns."""
IN_HAND: Final = -1.0
"""`due` of a new recipient that the relay has in memory: it needn't be found."""

QUEUE_COUNTER: Final = "queue"
"""The generation counter that moves whenever a queue of any hop looks different."""


class SqlSpool:
    """One hop's spool; made by `SqlSpool.open`. Implements the core's `Spool`.

    Args:
        database: mail.db.
        hop: "msa" or "mta".
        files: Where large messages lie.
        now: A sandbox's time in seconds since 1970.
        desk: Where new messages go.
        committed: Called in the loop after each commit of this process.
    """

    def __init__(
        self,
        database: Database,
        hop: str,
        files: BodyFiles,
        now: Callable[[str], float],
        desk: Desk,
        committed: Callable[[], None],
    ) -> None:
        self._database = database
        self._hop = hop
        self._files = files
        self._now = now
        self._desk = desk
        self._committed = committed
        self._counter = f"spool.{hop}"

    @classmethod
    async def open(
        cls,
        database: Database,
        hop: str,
        folder: Path,
        now: Callable[[str], float],
        desk: Desk,
        committed: Callable[[], None],
    ) -> SqlSpool:
        """The spool, its tables made where they are missing, its orphaned files swept."""
        await _prepare(database)
        files = BodyFiles(folder)
        rows = await database.read("SELECT file FROM spool_messages WHERE file IS NOT NULL")
        old = await asyncio.to_thread(files.old_files)
        await asyncio.to_thread(files.remove_all, set(old) - {str(row[0]) for row in rows})
        return cls(database, hop, files, now, desk, committed)

    @property
    def generation(self) -> int:
        """A number that moves with each commit of any process; a memory read."""
        return self._database.generation(self._counter)

    async def commit(self, arrival: Arrival) -> None:
        """See the core's `Spool`."""
        file = None
        if len(arrival.octets) > INLINE:
            file = await asyncio.to_thread(self._files.write, arrival.octets)
        reserved = self._desk.reserve(arrival.id)
        try:
            times = {recipient.sandbox: self._now(recipient.sandbox) for recipient in arrival.recipients}
            job = partial(self._insert, arrival, file, IN_HAND if reserved else 0.0, times)
            taken, first = await self._database.write(job)
        except Exception as error:
            self._let_go(arrival.id, file, reserved)
            if isinstance(error, StorageFullError):
                raise StoreFullError(str(error)) from error
            raise
        # Whoever is cancelled doesn't know whether the commit came to pass, so nothing is let go then.
        if not first:
            self._let_go(arrival.id, file, reserved and not taken)
        if reserved and taken:
            letter = Letter(arrival.reverse_path, arrival.eight_bit, arrival.smtputf8, arrival.octets)
            self._desk.take(arrival.id, taken, None if file else letter)
        self._committed()

    def _let_go(self, delivery_id: str, file: str | None, reserved: bool) -> None:
        if file:
            self._files.remove(file)
        if reserved:
            self._desk.release(delivery_id)

    def _insert(
        self, arrival: Arrival, file: str | None, due: float, times: Mapping[str, float], transaction: Transaction
    ) -> tuple[list[Queued], bool]:
        """Take over what is new: those recipients, and whether the message is (one with many recipients comes in several transactions)."""
        transaction.bump(self._counter)
        transaction.bump(QUEUE_COUNTER)
        taken = []
        for r in arrival.recipients:
            address = print_mailbox(r.mailbox)
            key = (self._hop, arrival.id, canonical(r.mailbox))
            since = times[r.sandbox]
            other = (r.taker.sandbox, r.taker.generation) if r.taker else ("", 0)
            if transaction.execute(_INSERT_RECIPIENT, (*key, address, r.sandbox, r.generation, due, since, *other)):
                taken.append(Queued(arrival.id, r.mailbox, r.sandbox, r.generation, 0, since, r.taker))
        if not taken:
            return taken, False
        facts = (int(arrival.eight_bit), int(arrival.smtputf8), len(arrival.octets), taken[0].since)
        body = (None, file) if file else (arrival.octets, None)
        path = print_mailbox(arrival.reverse_path)
        return taken, bool(transaction.execute(_INSERT_MESSAGE, (self._hop, arrival.id, path, *facts, *body)))

    async def recover(self) -> None:
        """What another process had in hand when it ended is in nobody's hand now. Called by whoever begins to relay."""

        def job(transaction: Transaction) -> None:
            transaction.execute(
                "UPDATE spool_recipients SET due = 0 WHERE hop = ? AND state = 'queued' AND due < 0", (self._hop,)
            )

        await self._database.write(job)

    async def turns(self) -> list[Turn]:
        """When something of each sandbox that has something waiting is due, without what is in hand since its commit."""
        rows = await self._database.read(
            "SELECT sandbox, generation, MIN(due), MAX(due) FROM spool_recipients WHERE hop = ? AND state = 'queued' AND due >= 0"
            " GROUP BY sandbox, generation ORDER BY MIN(due)",
            (self._hop,),
        )
        return [Turn(*row) for row in rows]

    async def due(self, turn: Turn, now: float, latest: float, limit: int) -> list[Queued]:
        """A sandbox's recipients whose turn has come, the longest due first, without those in hand.

        Args:
            turn: Whose, of which generation.
            now: The sandbox's time.
            latest: No entry may be due later than this: one that is was dated by a clock that was set back, and is due.
            limit: How many at most.
        """
        rows = await self._database.read(
            "SELECT id, address, attempts, since, taker, taker_generation FROM spool_recipients"
            " WHERE hop = ? AND state = 'queued' AND sandbox = ?"
            " AND generation = ? AND due >= 0 AND (due <= ? OR due > ?) ORDER BY due LIMIT ?",
            (self._hop, turn.sandbox, turn.generation, now, latest, limit),
        )
        return [
            Queued(row[0], _mailbox(row[1]), turn.sandbox, turn.generation, row[2], row[3], _taker(row[4], row[5]))
            for row in rows
        ]

    async def letter(self, delivery_id: str) -> Letter | None:
        """A spooled message, or None when it is gone."""
        rows = await self._database.read(
            "SELECT reverse_path, eight_bit, smtputf8, octets, file, size FROM spool_messages WHERE hop = ? AND id = ?",
            (self._hop, delivery_id),
        )
        if not rows:
            return None
        path, eight_bit, smtputf8, octets, file, size = rows[0]
        if file:
            octets = await asyncio.to_thread(self._files.read, file, 0, size)
        return Letter(_mailbox(path), bool(eight_bit), bool(smtputf8), bytes(octets))

    async def settle(self, delivery_id: str, verdicts: Sequence[Verdict]) -> None:
        """Write down what became of recipients; a message that nobody waits for any more is removed."""
        rows = [
            (v.state.value, v.attempts, v.due, v.reason, self._hop, delivery_id, canonical(v.mailbox)) for v in verdicts
        ]

        def job(transaction: Transaction) -> None:
            transaction.bump(QUEUE_COUNTER)
            transaction.execute_many(
                "UPDATE spool_recipients SET state = ?, attempts = ?, due = ?, reason = ? WHERE hop = ? AND id = ? AND recipient = ?",
                rows,
            )
            self._tidy(transaction, delivery_id)

        await self._database.write(job)

    async def forget(self) -> None:
        """Let go of delivered recipients that the hop before can't hand over again: it has settled them itself."""

        def job(transaction: Transaction) -> None:
            transaction.execute(
                "DELETE FROM spool_recipients WHERE hop = ? AND state IN ('delivered', 'dropped') AND NOT EXISTS"
                " (SELECT 1 FROM spool_recipients AS before WHERE before.hop <> spool_recipients.hop"
                " AND before.id = spool_recipients.id AND before.state = 'queued')",
                (self._hop,),
            )

        await self._database.write(job)

    async def forget_deliveries(self) -> None:
        """Let go of what the MDA knows of messages that are gone since long, where no hop may hand them over again.

        The hop before has settled them, so it won't; and what it gave up on in the midst has ended long ago.
        """

        def job(transaction: Transaction) -> bool:
            now_s = int(time.time())  # the machine's own: this goes on while the testbed's clock is frozen
            rows = transaction.execute(
                "SELECT message_id FROM spent WHERE since <= ? LIMIT ?", (now_s - SPENT_S, SLICE)
            )
            transaction.execute_many(_FORGET_DELIVERIES, rows)
            transaction.execute_many("DELETE FROM spent WHERE message_id = ?", rows)
            transaction.execute_many(_STILL_SPENT, [(now_s, *row) for row in rows])
            return len(rows) == SLICE

        while await self._database.write(job):
            pass

    async def failures(self) -> list[tuple[str, int]]:
        """The sandboxes, each with a generation, of whose recipients some have failed."""
        rows = await self._database.read(
            "SELECT DISTINCT sandbox, generation FROM spool_recipients WHERE hop = ? AND state = 'failed'", (self._hop,)
        )
        return [(sandbox, generation) for sandbox, generation in rows]

    async def discard(self, sandbox: str, generation: int) -> None:
        """Let go of a sandbox's failed recipients of a generation that a reset has ended: nobody sees them any more."""

        def job(transaction: Transaction) -> None:
            gone = transaction.execute(
                "DELETE FROM spool_recipients WHERE hop = ? AND state = 'failed' AND sandbox = ? AND generation = ? RETURNING id",
                (self._hop, sandbox, generation),
            )
            for delivery_id in {row[0] for row in gone}:
                self._tidy(transaction, delivery_id)

        await self._database.write(job)

    def _tidy(self, transaction: Transaction, delivery_id: str) -> None:
        key = (self._hop, delivery_id)
        kept = "SELECT 1 FROM spool_recipients WHERE hop = ? AND id = ? AND state IN ('queued', 'failed') LIMIT 1"
        if transaction.execute(kept, key):
            return
        gone = transaction.execute("DELETE FROM spool_messages WHERE hop = ? AND id = ? RETURNING file", key)
        if self._hop == "msa":  # nobody hands over to it, so nothing can come again
            transaction.execute("DELETE FROM spool_recipients WHERE hop = ? AND id = ?", key)
        for (file,) in gone:
            if file:
                transaction.after_commit(lambda name=file: self._files.remove(name))  # type: ignore[misc]


async def queue(database: Database, sandbox: str | None = None) -> list[Entry]:
    """What waits and what failed, oldest first, in one sandbox or all."""
    rows: list[Row] = await database.read(
        "SELECT r.hop, r.id, r.address, r.sandbox, r.state, r.attempts, r.due, r.reason FROM spool_recipients r"
        " JOIN spool_messages m ON m.hop = r.hop AND m.id = r.id"
        " WHERE r.state IN ('queued', 'failed') AND (? IS NULL OR r.sandbox = ?) ORDER BY m.accepted_at, r.address",
        (sandbox, sandbox),
    )
    return [Entry(*row) for row in rows]


def canonical(mailbox: Mailbox) -> str:
    """The address as deliveries are told apart: the domain without case."""
    return print_mailbox(Mailbox(mailbox.local_part, mailbox.domain.lower()))


async def _prepare(database: Database) -> None:
    await database.write(_make_tables)
    for column, kind in _ADDED.items():
        await _add_where_missing(database, column, kind)


async def _add_where_missing(database: Database, column: str, kind: str) -> None:
    look = f"SELECT {column} FROM spool_recipients LIMIT 1"  # noqa: S608 - a name of ours
    try:
        await database.read(look)
    except StorageError:  # made by an earlier version
        add = f"ALTER TABLE spool_recipients ADD COLUMN {column} {kind}"
        with contextlib.suppress(Exception):  # another process adds it at the same time
            await database.write(lambda transaction: transaction.execute(add))
        await database.read(look)


def _make_tables(transaction: Transaction) -> None:
    for table in _TABLES:
        transaction.execute(table)


def _taker(sandbox: str, generation: int) -> Taker | None:
    return Taker(sandbox, generation) if sandbox else None


def _mailbox(address: str) -> Mailbox:
    return parse_mailbox(address) or NULL_PATH
