"""What went over the wire, for captures: messages that the store still has, as RETR and TOP sent them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from portyard.commons.journal.export_octets import Piece
from portyard.commons.journal.export_stored import Known, Stored
from portyard.commons.journal.model import JournalEvent
from portyard.pop3.core.maildrop import HeadCutter, Stuffer, numbered

_ASKED: Final = re.compile(r"\s*(?:RETR\s+(\d{1,9})|TOP\s+(\d{1,9})\s+(\d{1,9}))\s*", re.IGNORECASE | re.ASCII)
_WHOLE: Final = re.compile(r"(\+OK[^\r\n]*\r\n)«message, (\d+) octets»(?:\r\n)+\.", re.ASCII)
_FROM_STORE: Final = "from the mail store, as RFC 1939 §3 wants it sent: the journal has its size alone"


async def known(events: Sequence[JournalEvent], stored: Stored) -> Known:
    """The messages of a session that were sent whole, and are still there or went just now."""
    found: dict[int, list[Piece]] = {}
    mailbox, uids, asked = 0, list[int](), ""
    for event in events:
        fields, text = event.fields, str(event.fields.get("text", ""))
        if event.kind == "data" and "maildrop" in fields and isinstance(fields.get("mailbox"), int):
            mailbox, uids = int(str(fields["mailbox"])), numbered(str(fields["maildrop"]))
        elif event.kind == "command":
            asked = text
        elif event.kind == "reply" and "unkept" not in fields and (whole := _WHOLE.fullmatch(text)) is not None:
            wanted = _ASKED.fullmatch(asked)
            number = int(wanted[1] or wanted[2]) if wanted is not None else 0
            octets = await stored.message(mailbox, uids[number - 1]) if 1 <= number <= len(uids) else None
            if wanted is not None and octets is not None and len(octets) == int(whole[2]):
                sent = _sent(octets, None if wanted[1] else int(wanted[3]))
                status = Piece(event.at, True, whole[1].encode())
                found[event.seq] = [status, Piece(event.at, True, sent, notes=(_FROM_STORE,))]
    return found


def _sent(octets: bytes, lines: int | None) -> bytes:
    """A message as multi-line data (RFC 1939 §3); with `lines` only so many behind its header (§7)."""
    stuffer = Stuffer()
    return stuffer.feed(HeadCutter(lines).feed(octets)) + stuffer.end()
