"""Octets to lines and literals, with every size limit. Knows nothing of commands.

A line that ends in a literal's announcement is handed out as a line; the session says what follows with `Expect`: `TakeLiteral`
(after "+ " when the literal synchronises), `SkipLiteral` when it is refused but comes all the same, nothing when the peer waits for
leave that it won't get.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from portyard.commons.events import Event, Line, Literal, TooLong

LINE_LIMIT = 64 * 1024  # RFC 7162 §4 asks for 8192 at least; long UID sets of real clients need more
LITERAL_LIMIT = 64 * 1024  # of every literal that isn't a message: nobody's mailbox name or password is longer
HEAD_SHOWN = 256  # octets of an over-long line kept, enough for its tag and command
MAX_LITERAL_DIGITS = 18  # "{" more digits than that "}" announces nothing that anybody could send

# literal = "{" number "}" CRLF *CHAR8 (RFC 3501 §9); number ["+"] is LITERAL+ (RFC 7888 §8)
_ANNOUNCEMENT = re.compile(rb"\{([0-9]{1,%d})(\+?)\}\Z" % MAX_LITERAL_DIGITS)


@dataclass(frozen=True, slots=True)
class NeedLiteral:
    """A line announced a literal.

    Attributes:
        size: In octets.
        synchronising: True when the peer waits for "+ " before it sends (RFC 3501 §4.3); False for "{n+}" (RFC 7888).
    """

    size: int
    synchronising: bool


@dataclass(frozen=True, slots=True)
class TakeLiteral:
    """Expect so many octets and hand them out whole."""

    size: int


@dataclass(frozen=True, slots=True)
class SkipLiteral:
    """Expect so many octets and drop them: the literal was refused but the peer sends it all the same (RFC 7888 §4)."""

    size: int


def literal_at_end(line: bytes) -> NeedLiteral | None:
    """The literal that a line announces at its end, or None."""
    found = _ANNOUNCEMENT.search(line, max(0, len(line) - MAX_LITERAL_DIGITS - 3))
    return NeedLiteral(int(found[1]), not found[2]) if found else None


class ImapFraming:
    """Lines until told otherwise; see the module's text.

    Args:
        line_limit: Octets of one line, its ending included.
    """

    def __init__(self, line_limit: int = LINE_LIMIT) -> None:
        self._limit = line_limit
        self._buffer: bytearray
        self._searched: int  # no LF stands before here
        self._literal: int | None
        self._skip: int
        self._long_head: bytes | None  # the first octets of the over-long line that is being dropped
        self._long_tail: bytes
        self.clear()

    def feed(self, data: bytes) -> None:
        """Take octets as they came, in any cut."""
        self._buffer += data

    def expect(self, mode: object) -> None:
        """Take or skip a literal next; lines come again after it.

        Raises:
            TypeError: The mode isn't one of this framing's.
        """
        match mode:
            case TakeLiteral(size):
                self._literal = size
            case SkipLiteral(size):
                self._skip = size
            case _:
                raise TypeError(f"not a mode of this framing: {mode!r}")

    def clear(self) -> None:
        """Drop what was fed but not cut, and all that was expected of it."""
        self._buffer = bytearray()
        self._searched = 0
        self._literal = None
        self._skip = 0
        self._long_head = None
        self._long_tail = b""

    def next_event(self) -> Event | None:
        """The next line or literal, or None while more octets are needed."""
        if self._skip and not self._skipped():
            return None
        if self._literal is not None:
            return self._cut_literal(self._literal)
        while True:
            line = self._cut_line()
            if line is None:
                return None
            if self._long_head is None:
                return line
            ended = self._end_long_line(line.data)
            if ended is not None or (self._skip and not self._skipped()):
                return ended

    def _skipped(self) -> bool:
        gone = min(self._skip, len(self._buffer))
        del self._buffer[:gone]
        self._skip -= gone
        self._searched = 0
        return not self._skip

    def _cut_literal(self, size: int) -> Literal | None:
        if len(self._buffer) < size:
            return None
        with memoryview(self._buffer) as view:
            data = bytes(view[:size])
        del self._buffer[:size]
        self._literal, self._searched = None, 0
        return Literal(data)

    def _cut_line(self) -> Line | None:
        end = self._buffer.find(b"\n", self._searched)
        length = len(self._buffer) if end < 0 else end + 1
        if length > self._limit and self._long_head is None:
            self._long_head, self._long_tail = bytes(self._buffer[: min(HEAD_SHOWN, self._limit)]), b""
        if end < 0:
            self._searched = length
            if self._long_head is not None:
                self._drop(length)
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        bare = not line.endswith(b"\r") and not (not line and self._long_tail.endswith(b"\r"))
        return Line(line.removesuffix(b"\r"), bare_lf=bare)

    def _drop(self, length: int) -> None:
        """Forget the middle of an over-long line but remember its end, where a literal may be announced."""
        self._long_tail = (self._long_tail + bytes(self._buffer[-MAX_LITERAL_DIGITS - 5 :]))[-MAX_LITERAL_DIGITS - 5 :]
        del self._buffer[:length]
        self._searched = 0

    def _end_long_line(self, rest: bytes) -> TooLong | None:
        """An over-long line has ended; with "{n+}" at its end, a literal and more of the command follow unasked."""
        assert self._long_head is not None
        literal = literal_at_end((self._long_tail + rest).removesuffix(b"\r"))
        if literal is not None and not literal.synchronising:
            self._skip, self._long_tail = literal.size, b""
            return None
        head, self._long_head, self._long_tail = self._long_head, None, b""
        return TooLong(self._limit, head)
