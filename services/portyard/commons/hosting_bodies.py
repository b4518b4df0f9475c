"""The beginnings of requests' and responses' bodies in the journal, up to a limit.

Looks at a body's first octets as they pass: nothing waits here, and nothing of a longer body is copied. Knows aiohttp's reader, into which
a request's body is fed.
"""

from __future__ import annotations

from typing import Protocol, cast

from aiohttp import web
from aiohttp.streams import StreamReader

from portyard.commons.blanking import masked
from portyard.commons.exchange_notes import SECRET_FIELDS, as_fields
from portyard.commons.journal.model import SessionLog
from portyard.commons.journal.pages import form, text_or_base64

_SENT = form("data", {"direction": "out", "part": "body"}, bare=True)
_SHORT = form("data", {"direction": "out", "part": "body"}, bare=True, secrets=True)
_SHORT_OCTETS = 1024  # of bodies that are looked through many at once


class BodyNotes:
    """What the journal is told of the bodies of one connection.

    Args:
        log: The session's pen.
        limit: Octets of a body that are shown; 0 for none.

    Attributes:
        coded: Whether the response's content is coded (RFC 9110 §8.4), so that a secret in it can't be seen.
        content: Of the request whose body isn't noted yet.
    """

    __slots__ = (
        "_heard",
        "_kept",
        "_last",
        "_last_told",
        "_limit",
        "_log",
        "_note",
        "_note_short",
        "_octets",
        "coded",
        "content",
    )

    def __init__(self, log: SessionLog, limit: int) -> None:
        self._log = log
        self._note, self._note_short = log.noter(_SENT), log.noter(_SHORT)
        self._limit = limit
        self.content: StreamReader | None = None
        self._heard = b""  # its first octets
        self._kept = b""  # those of the response
        self._octets = 0  # of the response's body so far
        self._last = b""  # the last response's whole body, and what was told of it: mostly the next one is the same
        self._last_told = b""
        self.coded = False

    # -- requests

    def asked(self, content: StreamReader) -> None:
        """A request comes with a body, some of which may be there already."""
        self.content = content
        self._heard = b""
        if self._limit:
            for piece in content._buffer:
                self.came(piece)
            if len(self._heard) < self._limit and not content.is_eof():
                content.__class__ = _HeardReader

    def came(self, octets: bytes) -> bool:
        """More of the request's body came; False when it isn't of interest any more."""
        self._heard += octets[: self._limit - len(self._heard)]
        return len(self._heard) < self._limit

    def received(self) -> None:
        """Note what came of the request's body, before its answer."""
        content, self.content = self.content, None
        if content is not None and (octets := content.total_bytes):
            self._log.told("data", as_fields(**_fields("in", octets, self._heard)))

    # -- responses

    def sent(self, chunk: bytes | bytearray | memoryview) -> None:
        """Some of the response's body goes out."""
        if (room := self._limit - len(self._kept)) > 0:
            self._kept += bytes(chunk[:room])
        self._octets += len(chunk)

    def ended(self, chunk: bytes, request: web.BaseRequest) -> None:
        """The last of the response's body goes out.

        Args:
            chunk: It.
            request: What it answers.
        """
        octets = len(chunk)
        if self._octets or self.coded or not 0 < octets <= self._limit:
            self.sent(chunk)
            self._note_sent(hidden=self.coded and any(name.lower() in SECRET_FIELDS for name in request.headers))
        elif chunk != self._last:
            body = self._last = chunk if type(chunk) is bytes else bytes(chunk)
            self._last_told = b""
            if octets <= _SHORT_OCTETS:
                self._note_short(body)
            elif masked(body) is body:
                self._note(body)
            else:
                self._log.event("data", **_fields("out", octets, body))
        else:  # once it comes again it is made ready to be told as often as it does
            if not self._last_told:
                self._last_told = as_fields(**_fields("out", octets, self._last))
            self._log.told("data", self._last_told)

    def close(self) -> None:
        """The connection ended: what is left is noted."""
        self.received()
        self._note_sent(hidden=self.coded)

    def _note_sent(self, *, hidden: bool) -> None:
        """Note what went out of the response's body; where it may tell a secret that can't be seen, only how long it was."""
        kept, octets = self._kept, self._octets
        self._kept, self._octets = b"", 0
        if octets and self._limit:
            self._log.told("data", as_fields(**_fields("out", octets, b"" if hidden else kept)))


def _fields(direction: str, octets: int, kept: bytes) -> dict[str, object]:
    """A body as the journal has it: as text where it is text, else in base64."""
    fields: dict[str, object] = {"direction": direction, "part": "body", "octets": octets}
    if len(kept) < octets:
        kept = _to_a_character(kept)
    if not kept:
        return fields
    if len(kept) < octets:
        fields["unkept"] = octets - len(kept)
    return fields | text_or_base64(masked(kept))


def _to_a_character(octets: bytes) -> bytes:
    """What was cut, without the beginning of a character that its last octets may be (RFC 3629 §3)."""
    for back in range(1, min(4, len(octets) + 1)):
        if octets[-back] < 0x80:
            break
        if octets[-back] >= 0xC0:
            size = 2 if octets[-back] < 0xE0 else 3 if octets[-back] < 0xF0 else 4
            return octets if size == back else octets[:-back]
    return octets


class _Hearing(Protocol):
    """A reader's protocol, as this module knows it."""

    bodies: BodyNotes


class _HeardReader(StreamReader):
    """A request's reader while the journal still wants the beginning of its body."""

    __slots__ = ()

    def feed_data(self, data: bytes, size: int = 0) -> bool:
        """Take the next octets."""
        if not cast("_Hearing", self._protocol).bodies.came(data):
            self.__class__ = StreamReader  # type: ignore[assignment]  # the rest costs nothing
        return StreamReader.feed_data(self, data, size)
