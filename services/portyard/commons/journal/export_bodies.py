"""What stands behind heads: bodies as an HTTP head frames them, and WebSocket frames, as far as the journal kept them."""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import dataclass
from typing import Final

from portyard.commons.journal.export_piece import (
    SECRET_SIZE,
    Piece,
    gap_of,
    kept_by,
    octets_of,
    shown_of,
    size_of,
    stars,
)
from portyard.commons.journal.model import JournalEvent

_FRAME: Final = re.compile(r"[A-Z]+…? \d+ ?", re.DOTALL)  # what stands before a frame's own text
_OPCODES: Final = {"continuation": 0, "text": 1, "binary": 2, "close": 8, "ping": 9, "pong": 10}
_LAST_CHUNK: Final = 5  # octets of the shortest body that comes in chunks


@dataclass(frozen=True, slots=True)
class Content:
    """What stands behind a head: octets, how many more, and what to know of them."""

    kept: bytes = b""
    more: int = 0
    notes: tuple[str, ...] = ()


def content_behind(fields: dict[str, str], told: object, body: JournalEvent | None) -> Content:
    """A body as its head frames it.

    Args:
        fields: The head's, their names small.
        told: How long the head says that it is, where it does.
        body: What was noted of it.
    """
    kept = kept_by(body)
    octets = size_of(body) or (told if isinstance(told, int) else 0)
    length = fields.get("content-length", "")
    if "content-encoding" in fields and body is not None and body.fields.get("direction") == "in":
        kept = b""  # it was decoded before it was noted
        octets = int(length) if length.isascii() and length.isdecimal() else octets
    gap = octets - len(kept)
    notes = ("bodies show «*» for each octet of a secret",) if kept and SECRET_SIZE.search(shown_of(body)) else ()
    if "transfer-encoding" in fields:
        return _in_chunks(kept, gap, octets, notes)
    if octets or "content-length" in fields or told == 0:
        return Content(kept, gap, (*notes, *gap_of(gap, "the rest of the body" if kept else "the body")))
    return Content(notes=("a body that ends with the connection was neither kept nor counted",))


def _in_chunks(kept: bytes, gap: int, octets: int, notes: tuple[str, ...]) -> Content:
    """A body as one chunk (RFC 9112 §7.1), since where its own began and ended isn't known."""
    if not octets:
        return Content(
            more=_LAST_CHUNK, notes=(f"the body's chunks weren't kept, nor counted; at least {_LAST_CHUNK} octets",)
        )
    head, end = b"%x\r\n" % octets, b"\r\n0\r\n\r\n"
    notes = (*notes, "the body is shown as one chunk: where its own began wasn't kept")
    if gap:
        return Content(head + kept, gap + len(end), (*notes, *gap_of(gap, "the rest of the body")))
    return Content(head + kept + end, notes=notes)


def frame_of(event: JournalEvent, ours: bool, octets: int) -> Piece:
    """A frame (RFC 6455 §5.2): the head follows from its parts; the content is there as far as it was kept."""
    fields = event.fields
    first = (0x80 if fields.get("fin") else 0) | (0x40 if fields.get("compressed") else 0)
    first |= _OPCODES.get(str(fields.get("opcode")), 0)
    mask = 0 if ours else 0x80
    if octets < 126:
        head = bytes([first, mask | octets])
    elif octets <= 0xFFFF:
        head = bytes([first, mask | 126]) + octets.to_bytes(2, "big")
    else:
        head = bytes([first, mask | 127]) + octets.to_bytes(8, "big")
    notes: tuple[str, ...] = ()
    if "deflated" in fields:
        notes = (f"it was compressed, to {fields['deflated']} octets, and stands here as it reads",)
    if not ours:
        head += bytes(4)
        notes += ("the masking key wasn't kept: zero stands for it, so that the content reads as it is",)
    content = _content(fields, octets)
    gap = octets - len(content)
    return Piece(event.at, ours, head + content, gap, (*notes, *gap_of(gap, "the frame's content")))


def _content(fields: dict[str, object], octets: int) -> bytes:
    if fields.get("opcode") == "close" and isinstance(code := fields.get("code"), int):
        content = code.to_bytes(2, "big") + octets_of(str(fields.get("reason", "")))
    elif "base64" in fields:
        return b64decode(str(fields["base64"]))[:octets]
    elif fields.get("opcode") == "text" and not fields.get("compressed"):
        content = octets_of(stars(_FRAME.sub("", str(fields.get("text", "")), count=1)))
    else:
        return b""
    return content if len(content) == octets else b""
