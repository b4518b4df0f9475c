"""What transcripts show of queries and replies, remembered by their octets: who asks mostly asks what was asked before.

Datagrams stand in the journal as they are, and become text when somebody reads it. All but a message's id (RFC 1035 §4.1.1), its first two
octets, is told, and nothing else: the same octets behind it are the same text.
"""

from __future__ import annotations

from typing import Final

from portyard.dns.core.grammar import MalformedError, parse
from portyard.dns.core.model import Message
from portyard.dns.core.presentation import query_text, reply_lines

KEPT: Final = 512
"""Texts of either kind; with more, all are forgotten."""
LONGEST: Final = 1024
"""Octets of a message and letters of its text, together, that are remembered: what is longer is rarely the same again."""
_ID: Final = 2

_asked: dict[bytes, str] = {}
_replied: dict[bytes, str] = {}


def told(kind: str, octets: bytes) -> str:
    """What the journal has of a query or a reply as a transcript shows it.

    Args:
        kind: "command" or "reply".
        octets: As they came, or went.
    """
    known = (_asked if kind == "command" else _replied).get(octets[_ID:])
    if known is not None:
        return known
    try:
        message = parse(octets)
    except MalformedError as error:
        return f"({len(octets)} octets, malformed: {error})"
    return asked_text(octets, message) if kind == "command" else reply_text(octets, message)


def asked_text(octets: bytes, query: Message | None = None) -> str:
    """A query as a transcript shows it; nothing where it isn't known by its octets alone and wasn't read.

    Args:
        octets: As they came.
        query: What they say.
    """
    what = octets[_ID:]
    text = _asked.get(what)
    if text is None:
        if query is None:
            return ""
        text = query_text(query)
        _keep(_asked, what, text)
    return text


def reply_text(octets: bytes, reply: Message) -> str:
    """A reply as a transcript shows it, its lines ended by CRLF but for the last.

    Args:
        octets: As they go.
        reply: What they say.
    """
    what = octets[_ID:]
    text = _replied.get(what)
    if text is None:
        text = "\r\n".join(reply_lines(reply))
        _keep(_replied, what, text)
    return text


def _keep(texts: dict[bytes, str], what: bytes, text: str) -> None:
    if len(what) + len(text) <= LONGEST:
        if len(texts) >= KEPT:
            texts.clear()
        texts[what] = text
