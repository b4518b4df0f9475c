"""Octets to POP3 lines; all size limits."""

from __future__ import annotations

from portyard.commons.events import Event, Line, TooLong

# RFC 2449 §4 bounds a command line at 255 octets, but SASL responses may be longer (RFC 5034 §4); one limit holds for both.
LINE_LIMIT = 8192


class LineFraming:
    """Cuts lines. Implements `effects.Framing`.

    Args:
        limit: Octets of a line, its ending not counted.
    """

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._scanned = 0
        self._skipping: bytes | None = None

    def feed(self, data: bytes) -> None:
        """See Framing."""
        self._buffer += data

    def expect(self, mode: object) -> None:
        """POP3's client sends lines only."""
        raise NotImplementedError(mode)

    def clear(self) -> None:
        """See Framing."""
        self._buffer.clear()
        self._scanned = 0
        self._skipping = None

    def next_event(self) -> Event | None:
        """A `Line`, or a `TooLong` once the long line's end has come; the octets between are dropped as they come."""
        end = self._buffer.find(b"\n", self._scanned)
        if end < 0:
            self._scanned = len(self._buffer)
            if self._scanned > self._limit:
                if self._skipping is None:
                    self._skipping = bytes(self._buffer[:64])
                self._buffer.clear()
                self._scanned = 0
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._scanned = 0
        if self._skipping is not None or len(line) > self._limit + 1:
            head, self._skipping = self._skipping or line[:64], None
            return TooLong(self._limit, head)
        if line.endswith(b"\r"):
            return Line(line[:-1])
        return Line(line, bare_lf=True)
