"""A stretch of octets that went over the wire, as an export tells it, and what journal events say of octets.

Where octets weren't kept there is a gap of that many, and a note that says so; nothing is made up.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from portyard.commons.journal.model import JournalEvent

_SECRET: Final = re.compile(r"«(secret, \d+ bytes)»")
SECRET_SIZE: Final = re.compile(r"«secret, (\d+) bytes»")


@dataclass(frozen=True, slots=True)
class Piece:
    """Octets of one direction that belong together.

    Attributes:
        at: When.
        ours: Whether the server sent them.
        kept: The first of them.
        more: How many followed that weren't kept.
        notes: What a reader should know.
        afresh: A TLS handshake after plaintext stands before this piece.
    """

    at: datetime
    ours: bool
    kept: bytes
    more: int = 0
    notes: tuple[str, ...] = field(default=())
    afresh: bool = False


def size_of(event: JournalEvent | None) -> int:
    """How many octets an event tells of; 0 where it tells none."""
    octets = event.fields.get("octets") if event is not None else None
    return octets if isinstance(octets, int) else 0


def shown_of(event: JournalEvent | None) -> str:
    """The text of an event."""
    return str(event.fields.get("text", "")) if event is not None else ""


def kept_by(event: JournalEvent | None) -> bytes:
    """The octets that an event tells; see `kept_of`."""
    return kept_of(event.fields, size_of(event)) if event is not None else b""


def kept_of(fields: Mapping[str, object], size: int) -> bytes:
    """The octets that fields tell, secrets as so many stars; none where that isn't as many as they say.

    Args:
        fields: `text` or `base64`, and where there were more octets `unkept`, how many.
        size: How many there were.
    """
    coded, unkept = fields.get("base64"), fields.get("unkept")
    text = stars(str(fields.get("text", "")))
    kept = text.encode("utf-8", "backslashreplace") if coded is None else b64decode(str(coded))
    return kept if len(kept) == size - (unkept if isinstance(unkept, int) else 0) else b""


def stars(text: str) -> str:
    """As long as it was: a star for each octet of a secret."""
    return SECRET_SIZE.sub(lambda found: "*" * int(found[1]), text) if "«" in text else text


def gap_of(octets: int, what: str) -> tuple[str, ...]:
    """The note of octets that weren't kept."""
    return (f"{what} wasn't kept: {octets} octets",) if octets else ()


def blanked(text: str) -> tuple[str, ...]:
    """The note of a text in which a secret stood."""
    return ("a secret is blanked here, so lengths differ from what was sent",) if "«secret" in text else ()


def octets_of(text: str) -> bytes:
    """Text as octets; the marks about a secret become such as every analyser shows."""
    text = _SECRET.sub(r"<\1>", text) if "«" in text else text
    return text.encode("utf-8", "backslashreplace")
