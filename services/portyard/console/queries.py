"""What no mail client asks the stores: the messages of a whole sandbox, across accounts and mailboxes. Portable SQL."""

from __future__ import annotations

import asyncio
import heapq
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from portyard.commons.accounts.model import Account
from portyard.commons.accounts.sql import COUNTER
from portyard.commons.database.engine import Row, StorageError
from portyard.commons.mailstore.model import Message, MessageGoneError
from portyard.commons.mailstore.schema import COUNTER as MAIL_COUNTER
from portyard.commons.mailstore.schema import UID_MASK, message_key
from portyard.commons.mailstore.structure import decode
from portyard.commons.mailstore.summary import bare, summarise
from portyard.commons.yard import Yard
from portyard.console import contents, shapes

QUEUE_LIMIT = 1000  # recipients that one look at the queue shows
_TURN = 32  # messages that are read in one go
_SLICE = 500  # parameters of one statement
_NO_TABLE = re.compile("no such table|does not exist")  # the engines' words for it

Place = tuple[int, int]  # when a message came, in microseconds, and its key: where it stands in a list


@dataclass(frozen=True, slots=True)
class Found:
    """A message with whose it is."""

    message: Message
    account: Account
    mailbox: str


@dataclass(frozen=True, slots=True)
class Box:
    """A mailbox with whose it is, and the UID that its next message will get."""

    account: Account
    name: str
    uid_next: int


Boxes = Mapping[int, Box]


class MailQueries:
    """The mail of sandboxes.

    Args:
        yard: The yard.
    """

    def __init__(self, yard: Yard) -> None:
        self._yard = yard
        self._database = yard.mail_database
        self._accounts: dict[str, dict[int, Account]] = {}
        self._seen: int | None = None
        self._boxes: dict[str, tuple[Mapping[int, Account], Boxes]] = {}
        self._boxes_at: object = None

    async def token(self) -> object:
        """Something that is another once any mailbox has changed, whichever process changed it: a memory read."""
        return self._database.generation(MAIL_COUNTER)

    async def mailboxes(self, sandbox: str) -> Boxes:
        """The mailboxes of a sandbox that hold messages, by id; read once for all who ask while none changes."""
        token = await self.token()  # before the SQL: what changes in between is read twice, never missed
        accounts = await self._accounts_of(sandbox)
        if token != self._boxes_at:
            self._boxes.clear()
            self._boxes_at = token
        owners, boxes = self._boxes.get(sandbox, (None, {}))
        if owners is not accounts:
            rows = await self._rows_of(accounts)
            boxes = {key: Box(accounts[owner], name, following) for key, owner, name, following in rows}
            if token == self._boxes_at:  # else somebody knows of a change that isn't in these
                self._boxes[sandbox] = accounts, boxes
        return boxes

    async def _rows_of(self, accounts: Mapping[int, Account]) -> list[Row]:
        columns = "SELECT id, account_id, name, uid_next FROM mailboxes"
        if not accounts:
            return []  # an empty list is no SQL elsewhere than in SQLite
        if len(accounts) > _SLICE:
            rows = await self._database.read(f"{columns} WHERE messages > 0")
            return [row for row in rows if row[1] in accounts]
        marks = ",".join("?" * len(accounts))
        return await self._database.read(f"{columns} WHERE account_id IN ({marks}) AND messages > 0", [*accounts])

    async def _accounts_of(self, sandbox: str) -> dict[int, Account]:
        """A sandbox's accounts by id, read again only when any account changed."""
        generation = self._yard.control_database.generation(COUNTER)
        if generation != self._seen:
            self._accounts.clear()
            self._seen = generation
        known = self._accounts.get(sandbox)
        if known is None:
            known = {account.id: account for account in await self._yard.accounts.list(sandbox)}
            if generation == self._seen:
                self._accounts[sandbox] = known
        return known

    async def since(self, mailbox_id: int, since_uid: int) -> list[Place]:
        """The messages of a mailbox with this UID or a later one."""
        rows = await self._database.read(
            "SELECT internal_date, id FROM messages WHERE id >= ? AND id <= ?",
            (message_key(mailbox_id, since_uid), message_key(mailbox_id, UID_MASK)),
        )
        return [(date, key) for date, key in rows]

    async def newest(self, mailboxes: Iterable[int], limit: int, before: Place | None = None) -> list[Place]:
        """The newest messages of these mailboxes, newest first."""
        where, bounds = "", []
        if before is not None:
            where = " AND (internal_date < ? OR (internal_date = ? AND id < ?))"
            bounds = [before[0], before[0], before[1]]
        found: list[Place] = []
        for some in _slices(sorted(mailboxes), _SLICE):
            marks = ",".join("?" * len(some))
            rows = await self._database.read(
                f"SELECT internal_date, id FROM messages WHERE mailbox_id IN ({marks}){where} "  # noqa: S608 - question marks
                "ORDER BY internal_date DESC, id DESC LIMIT ?",
                [*some, *bounds, limit],
            )
            found = heapq.nlargest(limit, [*found, *((date, key) for date, key in rows)])
        return found

    async def listed(self, mailboxes: Boxes, ids: Iterable[int]) -> AsyncIterator[shapes.Message]:
        """These messages as a list shows them; those that are gone meanwhile are passed over."""
        for number, key in enumerate(ids):
            if number % _TURN == _TURN - 1:
                await asyncio.sleep(0)  # the stores answer without ever waiting: others want their turn
            message = await self._yard.mail.message(key)
            box = mailboxes.get(message.mailbox_id) if message else None
            if message is not None and box is not None:
                yield await self.shown(Found(message, box.account, box.name))

    async def find(self, sandbox: str, message_id: str) -> Found | None:
        """A message of the sandbox, or None."""
        if not message_id.isdecimal() or len(message_id) > 18:
            return None
        message = await self._yard.mail.message(int(message_id))
        mailbox = await self._yard.mail.mailbox_by_id(message.mailbox_id) if message else None
        if message is None or mailbox is None:
            return None
        account = (await self._accounts_of(sandbox)).get(mailbox.account_id)
        return Found(message, account, mailbox.name) if account else None

    async def arrived(self, listed: shapes.Message) -> shapes.Arrived:
        """A listed message with its links and codes; without them when it is gone by now."""
        await asyncio.sleep(0)  # its text is read and looked through: others want their turn
        message = await self._yard.mail.message(int(listed.id))
        try:
            if message is not None:
                return await contents.arrived(self._yard.mail, message, listed)
        except MessageGoneError:
            pass
        return shapes.Arrived(**msgspec.structs.asdict(listed))

    async def queue(self, sandbox: str) -> list[shapes.QueueEntry]:
        """What the mail hops hold for a sandbox, oldest first; nothing where no hop has ever run."""
        try:
            rows = await self._database.read(
                "SELECT r.id, r.hop, m.reverse_path, r.address, r.state, r.attempts, m.accepted_at, r.due, m.size, r.reason "
                "FROM spool_recipients r JOIN spool_messages m ON m.hop = r.hop AND m.id = r.id "
                "WHERE r.state IN ('queued', 'failed') AND r.sandbox = ? AND r.generation = ? "
                "ORDER BY m.accepted_at, r.address LIMIT ?",
                (sandbox, self._yard.sandboxes.generation_now(sandbox), QUEUE_LIMIT),
            )
        except StorageError as error:
            if _NO_TABLE.search(str(error)):
                return []
            raise
        return [_queue_entry(row) for row in rows]

    async def shown(self, found: Found) -> shapes.Message:
        """The message as a list shows it."""
        message, structure = found.message, decode(found.message.structure)
        summary, recipient = summarise(structure), await self._recipient(found)
        senders = structure.envelope.from_
        return shapes.Message(
            id=str(message.id),
            account=found.account.address,
            mailbox=found.mailbox,
            uid=message.uid,
            flags=sorted(message.flags),
            from_=bare(senders[0]) if senders else "",
            to=summary.to or ((recipient,) if recipient else ()),
            cc=summary.cc,
            recipient=recipient,
            subject=summary.subject,
            message_id=summary.message_id,
            received_at=message.internal_date.astimezone(UTC),
            size=message.size,
        )

    async def _recipient(self, found: Found) -> str | None:
        """To whom the envelope sent it: as delivered, or for a copy of that the one that is its account."""
        if found.message.delivery_id is None:
            return None
        rows = await self._database.read(
            "SELECT recipient, message_id FROM deliveries WHERE delivery_id = ? ORDER BY recipient",
            (found.message.delivery_id,),
        )
        exact = [str(recipient) for recipient, key in rows if key == found.message.id]
        own = [str(recipient) for recipient, _ in rows if str(recipient).lower() == found.account.address.lower()]
        return next(iter([*exact, *own]), None)


def _queue_entry(row: Row) -> shapes.QueueEntry:
    key, hop, path, address, state, attempts, accepted, due, size, reason = row
    return shapes.QueueEntry(
        id=key,
        hop=hop,
        sender=path.strip("<>"),
        recipient=address.strip("<>"),
        state=state,
        attempts=attempts,
        accepted_at=datetime.fromtimestamp(accepted, UTC),
        due_at=datetime.fromtimestamp(due, UTC) if state == "queued" and due > 0 else None,
        size=size,
        reason=reason,
    )


def _slices(items: Sequence[int], size: int) -> Iterable[Sequence[int]]:
    return (items[start : start + size] for start in range(0, len(items), size))
