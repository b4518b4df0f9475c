"""What went over the wire, for captures: messages that the store still has, as they were sent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from portyard.commons.journal.export_piece import Piece
from portyard.commons.journal.export_stored import Known, Stored
from portyard.commons.journal.model import JournalEvent
from portyard.smtp.core.framing import stuff

_BLOCK: Final = re.compile(r"«message, (\d+) octets»")
_FROM_STORE: Final = "from the mail store, with dots doubled and the end mark as RFC 5321 §4.5.2 wants it: the journal has its size alone"


async def known(events: Sequence[JournalEvent], stored: Stored) -> Known:
    """The messages of a session that were delivered and are still there."""
    found: dict[int, list[Piece]] = {}
    sent: JournalEvent | None = None
    for event in events:
        if event.kind == "command":
            sent = event if _BLOCK.fullmatch(str(event.fields.get("text", ""))) else None
        elif event.kind == "data" and sent is not None:
            octets = await _message(event, sent, stored)
            if octets is not None:
                found[sent.seq] = [Piece(sent.at, False, stuff(octets), notes=(_FROM_STORE,))]
    return found


async def _message(event: JournalEvent, sent: JournalEvent, stored: Stored) -> bytes | None:
    """The message as it came here: every hop adds fields above it, and nothing else (RFC 5321 §4.4)."""
    size = event.fields.get("octets")
    block = _BLOCK.fullmatch(str(sent.fields["text"]))
    if not isinstance(size, int) or block is None or int(block[1]) != size:
        return None
    octets = await stored.delivered(str(event.fields.get("id")))
    if octets is None or len(octets) <= size:
        return None
    added = octets[: len(octets) - size]
    # a field's end, and no empty line: it begins where the fields end that were added
    return octets[len(added) :] if added.endswith(b"\r\n") and not added.endswith(b"\r\n\r\n") else None
