"""What packet captures take from the mail store."""

from __future__ import annotations

from datetime import UTC, datetime

from portyard.commons.mailstore.model import Message, MessageGoneError
from portyard.commons.mailstore.schema import UID_BITS, UID_MASK, message_key
from portyard.commons.yard import Yard
from portyard.console.contents import pieces

MOST = 64 << 20
"""Octets of messages that one export takes: it is made as a whole."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class StoredMail:
    """The mail store as one export sees it; see `Stored`.

    Args:
        yard: The yard.
    """

    def __init__(self, yard: Yard) -> None:
        self._mail = yard.mail
        self._database = yard.mail_database
        self._found: dict[int, bytes | None] = {}
        self._left = MOST

    async def delivered(self, delivery_id: str) -> bytes | None:
        """See `Stored`."""
        rows = await self._database.read(
            "SELECT message_id FROM deliveries WHERE delivery_id = ? ORDER BY recipient", (delivery_id,)
        )
        for (key,) in rows:
            octets = await self._octets(key)
            if octets is not None:
                return octets
        return None

    async def message(self, mailbox_id: int, uid: int) -> bytes | None:
        """See `Stored`."""
        return await self._octets(message_key(mailbox_id, uid)) if 0 < uid <= UID_MASK else None

    async def mailbox(self, uid_validity: int) -> int | None:
        """See `Stored`."""
        rows = await self._database.read("SELECT id FROM mailboxes WHERE uid_validity = ?", (uid_validity,))
        return rows[0][0] if len(rows) == 1 else None

    async def uids(self, mailbox_id: int) -> list[int]:
        """See `Stored`."""
        rows = await self._database.read(
            "SELECT uid FROM messages WHERE id > ? AND id <= ? ORDER BY id",
            (message_key(mailbox_id, 0), message_key(mailbox_id, UID_MASK)),
        )
        return [uid for (uid,) in rows]

    async def _octets(self, key: int) -> bytes | None:
        if key not in self._found:
            self._found[key] = await self._read(key)
        return self._found[key]

    async def _read(self, key: int) -> bytes | None:
        message = await self._mail.message(key) or await self._expunged(key)
        if message is None or message.size > self._left:
            return None
        try:
            octets = b"".join([piece async for piece in pieces(self._mail, message)])
        except MessageGoneError:
            return None
        self._left -= len(octets)
        return octets if len(octets) == message.size else None

    async def _expunged(self, key: int) -> Message | None:
        """A message that is gone while its octets aren't yet: they have the key of the message that brought them."""
        rows = await self._database.read("SELECT size FROM bodies WHERE id = ?", (key,))
        if not rows:
            return None
        return Message(key, key >> UID_BITS, key & UID_MASK, frozenset(), 0, _EPOCH, rows[0][0], b"", None, key)
