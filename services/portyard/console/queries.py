"""What no mail client asks the stores: the messages of a whole sandbox, across accounts and mailboxes. Portable SQL."""

from __future__ import annotations

import heapq
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from portyard.commons.accounts.model import Account
from portyard.commons.database.engine import Row, StorageError
from portyard.commons.mailstore.model import Message
from portyard.commons.mailstore.structure import decode
from portyard.commons.mailstore.summary import bare, summarise
from portyard.commons.yard import Yard
from portyard.console import shapes

QUEUE_LIMIT = 1000  # recipients that one look at the queue shows
_SLICE = 500  # parameters of one statement
_NO_TABLE = re.compile("no such table|does not exist")  # the engines' words for it

Place = tuple[int, int]  # when a message came, in microseconds, and its key: where it stands in a list


@dataclass(frozen=True, slots=True)
class Found:
    """A message with whose it is."""

    message: Message
    account: Account
    mailbox: str


class MailQueries:
    """The mail of sandboxes.

    Args:
        yard: The yard.
    """

    def __init__(self, yard: Yard) -> None:
        self._yard = yard
        self._database = yard.mail_database

    async def token(self) -> object:
        """Something that is another once any mailbox has changed, whichever process changed it."""
        (row,) = await self._database.read("SELECT COUNT(*), COALESCE(SUM(highest_modseq), 0) FROM mailboxes")
        return row

    async def mailboxes(self, sandbox: str) -> dict[int, tuple[Account, str]]:
        """The mailboxes of a sandbox that hold messages, by id."""
        accounts = {account.id: account for account in await self._yard.accounts.list(sandbox)}
        rows = await self._database.read("SELECT id, account_id, name FROM mailboxes WHERE messages > 0")
        return {number: (accounts[owner], name) for number, owner, name in rows if owner in accounts}

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

    async def listed(
        self, sandbox: str, mailboxes: Mapping[int, tuple[Account, str]], ids: Iterable[int]
    ) -> AsyncIterator[shapes.Message]:
        """These messages as a list shows them; those that are gone meanwhile are passed over."""
        for key in ids:
            message = await self._yard.mail.message(key)
            if message is not None and message.mailbox_id in mailboxes:
                account, name = mailboxes[message.mailbox_id]
                yield await self.shown(Found(message, account, name))

    async def find(self, sandbox: str, message_id: str) -> Found | None:
        """A message of the sandbox, or None."""
        if not message_id.isdecimal() or len(message_id) > 18:
            return None
        message = await self._yard.mail.message(int(message_id))
        mailbox = await self._yard.mail.mailbox_by_id(message.mailbox_id) if message else None
        if message is None or mailbox is None:
            return None
        accounts = await self._yard.accounts.list(sandbox)
        account = next((account for account in accounts if account.id == mailbox.account_id), None)
        return Found(message, account, mailbox.name) if account else None

    async def queue(self, sandbox: str) -> list[shapes.QueueEntry]:
        """What the mail hops hold for a sandbox, oldest first; nothing where no hop has ever run."""
        try:
            rows = await self._database.read(
                "SELECT r.id, r.hop, m.reverse_path, r.address, r.state, r.attempts, m.accepted_at, r.due, m.size, r.reason "
                "FROM spool_recipients r JOIN spool_messages m ON m.hop = r.hop AND m.id = r.id "
                "WHERE r.state IN ('queued', 'failed') AND r.sandbox = ? ORDER BY m.accepted_at, r.address LIMIT ?",
                (sandbox, QUEUE_LIMIT),
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
