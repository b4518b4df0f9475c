"""The mailstore over a Database: reads and their caches here, write jobs in `hierarchy` and `writing`.

Invariants are the model's; besides: no read holds more than a slice of messages, and no large file is written in the loop.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from portyard.commons.clock import Clock
from portyard.commons.database.engine import Database, StorageFullError, Transaction
from portyard.commons.mailstore import hierarchy, mime, structure, writing
from portyard.commons.mailstore.bodies import BodyFiles
from portyard.commons.mailstore.model import (
    Appended,
    Changes,
    Copied,
    Entry,
    FlagChange,
    Mailbox,
    Message,
    MessageGoneError,
    NoSuchMailboxError,
    StoreFullError,
)
from portyard.commons.mailstore.rows import (
    MAILBOX_COLUMNS,
    MAILBOX_FROM,
    MESSAGE_COLUMNS,
    MESSAGE_FROM,
    canonical,
    flags_of,
    flags_text,
    mailbox_of,
    message_of,
    micros_of,
)
from portyard.commons.mailstore.schema import UID_MASK, message_key
from portyard.commons.mailstore.writing import SLICE, Body, Delivery, marks, slices

INLINE = 64 * 1024  # octets: larger bodies are files
_HEAD = 64 * 1024  # octets of a header kept beside the row, for searches that read no bodies
_KNOWN = 20_000  # accounts, and mailboxes, of which something is remembered: each test has its own, and they go
T = TypeVar("T")


class SqlMailstore:
    """Every account's mailboxes. Implements `model.Mailstore`.

    Args:
        database: mail.db, with MAIL_SCHEMA.
        folder: `bodies/` of the state directory.
        clock: Stamps messages.
    """

    def __init__(self, database: Database, folder: Path, clock: Clock) -> None:
        self._database = database
        self._files = BodyFiles(folder)
        self._clock = clock
        self._known_accounts: dict[int, int] = {}
        self._modseqs: dict[int, tuple[int, int]] = {}

    async def start(self) -> None:
        """Remove what killed processes left behind. Called once at open; several processes may."""
        names = await asyncio.to_thread(self._files.old_files)
        orphans: list[str] = []
        for some in slices(names, SLICE):
            rows = await self._database.read(f"SELECT file FROM bodies WHERE file IN ({marks(some)})", some)  # noqa: S608
            orphans.extend(set(some) - {row[0] for row in rows})
        await asyncio.to_thread(self._files.remove_all, orphans)
        await self.sweep()

    async def sweep(self, keep_s: int = writing.KEEP_UNREFERENCED_S) -> bool:
        """Remove bodies that no message references; whether there was something to look at. Where room is short none is kept."""
        swept = False
        keep_s = 0 if self._files.is_short() else keep_s
        if await self._database.read("SELECT 1 FROM garbage LIMIT 1"):
            folder, now_s = self._files.folder, self._seconds()
            while await self._write(lambda work: writing.sweep(work, folder, now_s, keep_s)):
                swept = True
        self._files.take_ballast()
        return swept

    def drop_ballast(self) -> bool:
        """Give a full disk room for what makes more; whether there was some. The next sweep takes it again."""
        return self._files.drop_ballast()

    async def mailboxes(self, account_id: int) -> list[Mailbox]:
        """See `Mailstore.mailboxes`."""
        await self._ensure(account_id)
        rows = await self._database.read(
            f"SELECT {MAILBOX_COLUMNS} FROM {MAILBOX_FROM} WHERE m.account_id = ? ORDER BY m.name",  # noqa: S608
            (account_id,),
        )
        return [mailbox_of(row) for row in rows]

    async def mailbox(self, account_id: int, name: str) -> Mailbox | None:
        """See `Mailstore.mailbox`."""
        await self._ensure(account_id)
        rows = await self._database.read(
            f"SELECT {MAILBOX_COLUMNS} FROM {MAILBOX_FROM} WHERE m.account_id = ? AND m.name = ?",  # noqa: S608
            (account_id, canonical(name)),
        )
        return mailbox_of(rows[0]) if rows else None

    async def mailbox_by_id(self, mailbox_id: int) -> Mailbox | None:
        """See `Mailstore.mailbox_by_id`."""
        rows = await self._database.read(
            f"SELECT {MAILBOX_COLUMNS} FROM {MAILBOX_FROM} WHERE m.id = ?",  # noqa: S608
            (mailbox_id,),
        )
        return mailbox_of(rows[0]) if rows else None

    async def create(self, account_id: int, name: str, special_use: str | None = None) -> Mailbox:
        """See `Mailstore.create`."""
        seconds = self._seconds()
        return await self._write(lambda work: hierarchy.create(work, account_id, name, special_use, seconds))

    async def delete(self, account_id: int, name: str) -> None:
        """See `Mailstore.delete`."""
        await self._ensure(account_id)
        seconds = self._seconds()
        await self._write(lambda work: hierarchy.delete(work, account_id, name, seconds))

    async def rename(self, account_id: int, name: str, new_name: str) -> None:
        """See `Mailstore.rename`."""
        await self._ensure(account_id)
        seconds = self._seconds()
        await self._write(lambda work: hierarchy.rename(work, account_id, name, new_name, seconds))

    async def subscribe(self, account_id: int, name: str, subscribed: bool) -> None:
        """See `Mailstore.subscribe`."""
        await self._ensure(account_id)
        await self._write(lambda work: hierarchy.subscribe(work, account_id, name, subscribed))

    async def subscriptions(self, account_id: int) -> list[str]:
        """See `Mailstore.subscriptions`."""
        await self._ensure(account_id)
        rows = await self._database.read(
            "SELECT name FROM subscriptions WHERE account_id = ? ORDER BY name", (account_id,)
        )
        return [row[0] for row in rows]

    async def forget(self, account_id: int) -> None:
        """See `Mailstore.forget`."""
        seconds = self._seconds()
        await self._making_room(lambda work: hierarchy.forget(work, account_id, seconds))

    async def _ensure(self, account_id: int) -> None:
        """Make the account's standing mailboxes unless it has them; looked at again when any process changed the account's set."""
        generation = self._database.generation(hierarchy.mailboxes_counter(account_id))
        if self._known_accounts.get(account_id) == generation:
            return
        rows = await self._database.read(
            "SELECT 1 FROM mailboxes WHERE account_id = ? AND name = 'INBOX'", (account_id,)
        )
        if not rows:
            seconds = self._seconds()
            await self._write(lambda work: hierarchy.ensure_account(work, account_id, seconds))
        if len(self._known_accounts) >= _KNOWN:
            self._known_accounts.clear()
        self._known_accounts[account_id] = generation

    async def append(
        self,
        account_id: int,
        mailbox: str,
        octets: bytes,
        *,
        flags: Iterable[str] = (),
        internal_date: datetime | None = None,
        delivery_id: str | None = None,
        recipient: str | None = None,
    ) -> Appended:
        """See `Mailstore.append`."""
        await self._ensure(account_id)
        chosen = flags_of(flags_text(flags))
        date = micros_of(internal_date or self._clock.now())
        delivery = Delivery(delivery_id, recipient) if delivery_id is not None and recipient is not None else None
        job = partial(
            writing.append,
            account_id=account_id,
            name=canonical(mailbox),
            flags=chosen,
            date=date,
            delivery=delivery,
            delivery_id=delivery_id,
        )
        try:
            return await self._append(octets, job)
        except StoreFullError:
            if not await self.sweep(keep_s=0):  # what was expunged is kept for its readers, but not at this price
                raise
            return await self._append(octets, job)

    async def _append(self, octets: bytes, job: Callable[..., tuple[Appended, bool]]) -> Appended:
        body = await self._body(octets)
        stored = False
        try:
            appended, stored = await self._write(partial(job, body=body))
        except asyncio.CancelledError:
            stored = True  # perhaps; a file that isn't referenced is swept later
            raise
        finally:
            if body.file is not None and not stored:
                self._files.remove(body.file)
        return appended

    async def _body(self, octets: bytes) -> Body:
        if len(octets) <= INLINE:
            parsed = mime.parse(octets)
            split = parsed.part.body_start
            return Body(len(octets), None, structure.encode(parsed), octets[:split], octets[split:])
        return await asyncio.to_thread(self._large_body, octets)

    def _large_body(self, octets: bytes) -> Body:
        parsed = mime.parse(octets)
        head = octets[: min(parsed.part.body_start, _HEAD)]
        return Body(len(octets), self._files.write(octets), structure.encode(parsed), head, None)

    async def claim_recent(self, mailbox_id: int) -> int:
        """See `Mailstore.claim_recent`."""
        rows = await self._database.read("SELECT recent_from, uid_next FROM mailboxes WHERE id = ?", (mailbox_id,))
        if rows and rows[0][0] == rows[0][1]:
            uid_next: int = rows[0][1]
            return uid_next
        return await self._write(lambda work: writing.take_recent(work, mailbox_id))

    async def entries(self, mailbox_id: int) -> list[Entry]:
        """See `Mailstore.entries`."""
        rows = await self._database.read(
            "SELECT uid, flags, modseq FROM messages WHERE id > ? AND id <= ? ORDER BY id",
            (message_key(mailbox_id, 0), message_key(mailbox_id, UID_MASK)),
        )
        return [Entry(uid, flags_of(flags), modseq) for uid, flags, modseq in rows]

    async def changes(self, mailbox_id: int, since_modseq: int) -> Changes:
        """See `Mailstore.changes`. Asks SQL only when the mailbox's counter moved."""
        generation = self.generation(mailbox_id)  # before the SQL: a change in between is then seen twice, never missed
        known = self._modseqs.get(mailbox_id)
        if known is not None and known[0] == generation and since_modseq >= known[1]:
            return Changes(known[1], (), ())
        rows = await self._database.read("SELECT highest_modseq FROM mailboxes WHERE id = ?", (mailbox_id,))
        if not rows:
            self._modseqs.pop(mailbox_id, None)
            raise NoSuchMailboxError("the mailbox was deleted")
        highest: int = rows[0][0]
        if len(self._modseqs) >= _KNOWN:
            self._modseqs.clear()
        self._modseqs[mailbox_id] = (generation, highest)
        if highest <= since_modseq:
            return Changes(highest, (), ())
        # A commit between the two reads would show changes beyond `highest`: they are left for the next call.
        changed = await self._database.read(
            "SELECT uid, flags, modseq FROM messages WHERE mailbox_id = ? AND modseq > ? AND modseq <= ? ORDER BY uid",
            (mailbox_id, since_modseq, highest),
        )
        vanished = await self._database.read(
            "SELECT uid FROM tombstones WHERE mailbox_id = ? AND modseq > ? AND modseq <= ? ORDER BY uid",
            (mailbox_id, since_modseq, highest),
        )
        return Changes(
            highest,
            tuple(Entry(uid, flags_of(flags), modseq) for uid, flags, modseq in changed),
            tuple(row[0] for row in vanished),
        )

    async def messages(self, mailbox_id: int, uids: Sequence[int]) -> AsyncIterator[Message]:
        """See `Mailstore.messages`."""
        for some in slices(uids, SLICE):
            wanted = [message_key(mailbox_id, uid) for uid in some if 0 < uid <= UID_MASK]
            rows = await self._database.read(
                f"SELECT {MESSAGE_COLUMNS} FROM {MESSAGE_FROM} WHERE m.id IN ({marks(wanted)})",  # noqa: S608
                wanted,
            )
            found = {row[0]: row for row in rows}
            for key in wanted:
                if key in found:
                    yield message_of(found[key])

    async def message(self, message_id: int) -> Message | None:
        """See `Mailstore.message`."""
        rows = await self._database.read(
            f"SELECT {MESSAGE_COLUMNS} FROM {MESSAGE_FROM} WHERE m.id = ?",  # noqa: S608
            (message_id,),
        )
        return message_of(rows[0]) if rows else None

    async def octets(self, message: Message, start: int = 0, length: int | None = None) -> bytes:
        """See `Mailstore.octets`."""
        end = message.size if length is None else min(message.size, start + length)
        if start < 0 or start >= end:
            return b""
        rows = await self._database.read(
            "SELECT file, head, CASE WHEN ? <= length(head) THEN NULL ELSE rest END FROM bodies WHERE id = ?",
            (end, message.body_id),
        )
        if not rows:
            raise MessageGoneError("the message's octets are gone")
        file, head, rest = rows[0]
        if end <= len(head):
            return bytes(head[start:end])
        if file is not None:
            return self._files.read(file, start, end - start)
        if start >= len(head):
            return bytes(rest[start - len(head) : end - len(head)])
        return bytes(head[start:] + rest[: end - len(head)])

    async def change_flags(
        self,
        mailbox_id: int,
        uids: Sequence[int],
        how: FlagChange,
        flags: frozenset[str],
        unchanged_since: int | None = None,
    ) -> tuple[list[Entry], list[int]]:
        """See `Mailstore.change_flags`."""
        chosen = flags_of(flags_text(flags))
        return await self._write(
            lambda work: writing.change_flags(work, mailbox_id, uids, how, chosen, unchanged_since)
        )

    async def expunge(self, mailbox_id: int, uids: Sequence[int]) -> list[int]:
        """See `Mailstore.expunge`."""
        if not uids:
            return []
        folder, now_s = self._files.folder, self._seconds()

        def job(work: Transaction) -> list[int]:
            gone = writing.expunge(work, mailbox_id, uids, now_s)
            writing.sweep(work, folder, now_s)
            return gone

        return await self._making_room(job)

    async def copy(self, mailbox_id: int, uids: Sequence[int], account_id: int, target: str) -> Copied:
        """See `Mailstore.copy`."""
        return await self._transfer(mailbox_id, uids, account_id, target, remove=False)

    async def move(self, mailbox_id: int, uids: Sequence[int], account_id: int, target: str) -> Copied:
        """See `Mailstore.move`."""
        return await self._transfer(mailbox_id, uids, account_id, target, remove=True)

    async def _transfer(
        self, mailbox_id: int, uids: Sequence[int], account_id: int, target: str, *, remove: bool
    ) -> Copied:
        await self._ensure(account_id)

        def job(work: Transaction) -> Copied:
            mailbox = hierarchy.find(work, account_id, target)
            if mailbox is None:
                raise NoSuchMailboxError(f"no mailbox {target}")
            return writing.transfer(work, mailbox_id, uids, mailbox, remove=remove)

        return await self._write(job)

    async def search_headers(self, mailbox_id: int, uids: Sequence[int], name: str) -> AsyncIterator[tuple[int, bytes]]:
        """See `Mailstore.search_headers`."""
        field = re.compile(rb"^" + re.escape(name.encode()) + rb"[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)", re.I | re.M)
        for some in slices(writing.real_uids(uids), SLICE):
            rows = await self._database.read(
                f"SELECT m.uid, b.head FROM {MESSAGE_FROM} WHERE m.id IN ({marks(some)}) ORDER BY m.id",  # noqa: S608
                [message_key(mailbox_id, uid) for uid in some],
            )
            for uid, head in rows:
                for found in field.finditer(head):
                    yield uid, found[1].strip()

    def generation(self, mailbox_id: int) -> int:
        """See `Mailstore.generation`."""
        return self._database.generation(f"mailbox:{mailbox_id}")

    @staticmethod
    def _seconds() -> int:
        return int(time.time())  # the machine's own: UIDVALIDITY and sweeping go on while the testbed's clock is frozen

    async def _making_room(self, job: Callable[[Transaction], T]) -> T:
        """Write what makes room, also where there is none; the octets go at once then."""
        try:
            return await self._write(job)
        except StoreFullError:
            if not self._files.drop_ballast():
                raise
            done = await self._write(job)
            await self.sweep(keep_s=0)
            return done

    async def _write(self, job: Callable[[Transaction], T]) -> T:
        try:
            return await self._database.write(job)
        except StorageFullError as error:
            raise StoreFullError(str(error)) from error
