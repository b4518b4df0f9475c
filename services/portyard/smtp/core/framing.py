r"""Octets to lines and message data. All size limits of the wire are here.

Only CRLF "." CRLF ends message data (RFC 5321 §4.1.1.4): a lone LF or CR beside a dot never does, which is what SMTP smuggling lives on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from portyard.commons.events import DotBlock, Event, Line, TooLong

LINE_LIMIT: Final = 12_288
"""Octets of a line with its CRLF: the longest that any command may have, an AUTH exchange's (RFC 4954 §4)."""
HEAD: Final = 64
"""Octets of an over-long line that are kept, so that the answer can name the command."""

_END: Final = b"\r\n.\r\n"


@dataclass(frozen=True, slots=True)
class MessageData:
    """Framing mode: what follows 354. Lines come back by themselves after it.

    Attributes:
        limit: Octets of the message, dots unstuffed; a larger one is counted and dropped.
    """

    limit: int


class Framing:
    """Cuts a connection's octets. Lines at first; message data when told by `expect(MessageData(…))`."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0  # octets of the buffer in which no end was found
        self._dropped = 0  # octets of an over-long unit that are gone already
        self._head = b""
        self._data: MessageData | None = None

    def feed(self, data: bytes) -> None:
        """Take octets as they came."""
        self._buffer += data

    def next_event(self) -> Event | None:
        """The next line or message, or None while octets are missing."""
        if not self._buffer:
            return None
        return self._next_line() if self._data is None else self._next_block(self._data)

    def expect(self, mode: object) -> None:
        """Message data comes next."""
        assert isinstance(mode, MessageData)
        self._data = mode
        self._searched = self._dropped = 0

    def clear(self) -> None:
        """Drop what was read in plaintext (RFC 3207 §4.2)."""
        self._buffer.clear()
        self._data = None
        self._searched = self._dropped = 0

    def _next_line(self) -> Event | None:
        end = self._buffer.find(b"\n", self._searched)
        if end < 0:
            self._shorten()
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        if self._dropped or end >= LINE_LIMIT:
            head, self._head, self._dropped = self._head or line[:HEAD], b"", 0
            return TooLong(LINE_LIMIT, head)
        if line.endswith(b"\r"):
            return Line(line[:-1])
        return Line(line, bare_lf=True)

    def _shorten(self) -> None:
        """An over-long line costs no memory while its end is awaited."""
        size = len(self._buffer)
        if size > LINE_LIMIT:
            self._head = self._head or bytes(self._buffer[:HEAD])
            self._dropped += size
            self._buffer.clear()
        self._searched = len(self._buffer)

    def _next_block(self, mode: MessageData) -> Event | None:
        buffer = self._buffer
        if not self._dropped and buffer.startswith(b".\r\n"):  # the CRLF before it ended the DATA command
            del buffer[:3]
            return self._finish(b"", 0, mode)
        end = buffer.find(_END, self._searched)
        if end < 0:
            self._bound(mode)
            return None
        end += 2  # the first CRLF belongs to the message (RFC 5321 §4.1.1.4)
        size = self._dropped + end
        data = b"" if self._dropped else bytes(memoryview(buffer)[:end])
        del buffer[: end + 3]
        return self._finish(data, size, mode)

    def _bound(self, mode: MessageData) -> None:
        """Remember where to search on, and drop what can only be too large: stuffing adds a third at most."""
        buffer = self._buffer
        self._searched = max(0, len(buffer) - len(_END) + 1)
        if self._dropped or len(buffer) > mode.limit + mode.limit // 3 + len(_END):
            self._dropped += self._searched
            del buffer[: self._searched]
            self._searched = 0

    def _finish(self, data: bytes, size: int, mode: MessageData) -> DotBlock:
        self._data = None
        self._searched = self._dropped = 0
        if size and not data:
            return DotBlock(b"", size, too_large=True)
        feeds = data.count(b"\r\n")
        bare_lf, bare_cr = data.count(b"\n") != feeds, data.count(b"\r") != feeds
        octets = unstuff(data)
        if len(octets) > mode.limit:
            return DotBlock(b"", len(octets), too_large=True)
        return DotBlock(octets, len(octets), bare_lf=bare_lf, bare_cr=bare_cr)


def unstuff(data: bytes) -> bytes:
    """Take the transparency dots away (RFC 5321 §4.5.2)."""
    if data.startswith(b"."):
        data = data[1:]
    return data.replace(b"\r\n.", b"\r\n")


def stuff(octets: bytes) -> bytes:
    """Add the transparency dots and the end of data; the inverse of the framing of MessageData (RFC 5321 §4.5.2)."""
    data = octets.replace(b"\r\n.", b"\r\n..")
    if data.startswith(b"."):
        data = b"." + data
    return data + (b".\r\n" if not data or data.endswith(b"\r\n") else _END)
