"""What went over the wire, for captures: messages that the store still has, as RETR and TOP sent them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from portyard.commons.journal.export_piece import Piece
from portyard.commons.journal.export_stored import Known, Stored
from portyard.commons.journal.model import JournalEvent
from portyard.pop3.core.maildrop import PIECE, HeadCutter, Stuffer, numbered

_ASKED: Final = re.compile(r"\s*(?:RETR\s+(\d{1,9})|TOP\s+(\d{1,9})\s+(\d{1,9}))\s*", re.IGNORECASE | re.ASCII)
_SENT: Final = re.compile(r"(\+OK[^\r\n]*\r\n)«message, (\d+) octets»((?:\r\n)*?)(\r\n\.)?", re.ASCII)
_BROKEN_OFF: Final = "it was broken off here; the last of it may not have gone out"
_FROM_STORE: Final = "from the mail store, as RFC 1939 §3 wants it sent: the journal has its size alone"


async def known(events: Sequence[JournalEvent], stored: Stored) -> Known:
    """The messages of a session that are still there or went just now."""
    found: dict[int, list[Piece]] = {}
    mailbox, uids, asked = 0, list[int](), ""
    for event in events:
        fields, text = event.fields, str(event.fields.get("text", ""))
        if event.kind == "data" and "maildrop" in fields and isinstance(fields.get("mailbox"), int):
            mailbox, uids = int(str(fields["mailbox"])), numbered(str(fields["maildrop"]))
        elif event.kind == "command":
            asked = text
        elif event.kind == "reply" and "unkept" not in fields and (reply := _SENT.fullmatch(text)) is not None:
            wanted = _ASKED.fullmatch(asked)
            number = int(wanted[1] or wanted[2]) if wanted is not None else 0
            octets = await stored.message(mailbox, uids[number - 1]) if 1 <= number <= len(uids) else None
            if wanted is not None and octets is not None and len(octets) == int(reply[2]):
                lines = None if wanted[1] else int(wanted[3])
                pieces = None if reply[4] else 1 + len(reply[3]) // 2  # the journal has a line end for each
                notes = (_FROM_STORE,) if reply[4] else (_FROM_STORE, _BROKEN_OFF)
                status = Piece(event.at, True, reply[1].encode())
                found[event.seq] = [status, Piece(event.at, True, _sent(octets, lines, pieces), notes=notes)]
    return found


def _sent(octets: bytes, lines: int | None, pieces: int | None) -> bytes:
    """A message as multi-line data (RFC 1939 §3).

    Args:
        octets: The message.
        lines: So many behind its header (§7); None for all.
        pieces: So many of those in which it was sent, without the end; None for all.
    """
    stuffer = Stuffer()
    sent = stuffer.feed(HeadCutter(lines).feed(octets if pieces is None else octets[: pieces * PIECE]))
    return sent + stuffer.end() if pieces is None else sent
