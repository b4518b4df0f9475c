"""Reading a stored message: its structure, and the size of the pieces in which its octets are taken."""

from __future__ import annotations

from portyard.commons.mailstore import mime
from portyard.commons.mailstore.model import Mailstore, Message
from portyard.commons.mailstore.structure import Structure, StructureError, decode

PIECE = 64 * 1024  # octets of a message read and sent at once


async def structure_of(mail: Mailstore, message: Message) -> Structure:
    """The stored structure; made again when another version stored it."""
    try:
        return decode(message.structure)
    except StructureError:
        return mime.parse(await mail.octets(message))
