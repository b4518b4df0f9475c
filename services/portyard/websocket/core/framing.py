"""Octets to frames in one direction: header rules of RFC 6455 §5, before any payload is looked into."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from portyard.websocket.core.inflating import Inflater, Piece
from portyard.websocket.core.model import Frame, Opcode, Violation, may_be_sent

MOST_CONTROL_OCTETS = 125  # RFC 6455 §5.5
HEAD_OCTETS = 1024  # of a payload that a transcript shows, where nothing else is wanted
_OPCODES = {int(opcode): opcode for opcode in Opcode}
WHOLE_TEXT = 0x80 | int(Opcode.TEXT)
WHOLE_BINARY = 0x80 | int(Opcode.BINARY)
"""The first octets of an uncompressed message in one frame."""
SHORT = 126
"""A payload is shorter where its frame's second octet tells its length (RFC 6455 §5.2)."""
LONGER = 126
"""In the second octet: the length stands in the two behind it, and is less than `LONGEST`."""
LONGEST = 1 << 16
MASKED = 0x80
"""In the second octet of a client's frame."""
HEADER = 2
"""Octets of a server's short frame beside its payload."""
MASKED_HEADER = 6
"""The same of a client's, with the masking key."""
LENGTH = 2
"""Octets more of a longer frame's header: its length."""
WHOLE = (WHOLE_TEXT, WHOLE_BINARY)
_DEFLATED = (WHOLE_TEXT | 0x40, WHOLE_BINARY | 0x40)  # RSV1 is set (RFC 7692 §6)


@dataclass(slots=True)
class Scan:
    """What a piece of the stream held.

    Attributes:
        frames: The frames that ended in it.
        passed: The octets that obey the rules so far, to be handed on; a header or a control frame is held back until it is whole.
        violation: Set when the next frame breaks a rule; nothing after it is looked at.
    """

    frames: list[Frame] = field(default_factory=list)
    passed: bytes = b""
    violation: Violation | None = None


class _Header(NamedTuple):
    opcode: Opcode
    fin: bool
    compressed: bool
    length: int
    key: bytes
    size: int  # octets of the header itself


class FrameScanner:
    """Follows the frames of one direction.

    Args:
        from_client: Whether frames come from a client, and so must be masked (RFC 6455 §5.1), or from a server, and must not.
        extended: Whether permessage-deflate was agreed on, and so RSV1 has a meaning.
        shown: Octets of a payload that a transcript shows.
        kept: Whether there is a transcript: only for it messages are inflated.

    Attributes:
        fresh: The next octet begins a message.
        shown: See above.
        most_short: Payloads with fewer octets are shown as they are.
        closed: A Close passed: what follows is to be ignored (RFC 6455 §5.5.1).
        failed: A frame broke a rule.
    """

    def __init__(self, *, from_client: bool, extended: bool, shown: int = HEAD_OCTETS, kept: bool = True) -> None:
        self._from_client = from_client
        self._extended = extended
        self._held = b""
        self._header: _Header | None = None  # of the data frame whose payload is passing by
        self._left = 0
        self._head = bytearray()
        self._in_message = False
        self._compressed = False  # the message at hand is
        self._inflates = extended and kept and shown > 0
        self._inflater: Inflater | None = None  # made when it is wanted: it takes memory, and many clients only offer
        self._inflated: int | None = None
        self.fresh = True
        self._mask = MASKED if from_client else 0
        self._overhead = MASKED_HEADER if from_client else HEADER
        self.shown = shown
        self.most_short = SHORT if shown >= SHORT else 0  # what is to be cut goes the long way
        self.closed = False  # a Close passed: what follows is to be ignored (RFC 6455 §5.5.1)
        self.failed = False

    def short(self, data: bytes) -> int:
        """The length of the short message in one frame that the next octets are, as they mostly are; -1, and nothing done, for `feed`."""
        length = len(data) - self._overhead
        if 0 <= length < self.most_short and self.fresh and data[1] == length | self._mask and data[0] in WHOLE:
            return length
        return -1

    def longer(self, data: bytes) -> bool:
        """Whether the next octets are a longer message in one frame, all of it; nothing is done."""
        size = len(data) - self._overhead - LENGTH
        return (
            SHORT <= size < LONGEST
            and data[1] == LONGER | self._mask
            and data[2] << 8 | data[3] == size
            and data[0] in WHOLE
            and self.fresh
        )

    def deflated(self, data: bytes) -> Frame | None:
        """The compressed message in one frame that the next octets are, all of it; None, and nothing done, for `feed`."""
        size, header = len(data) - self._overhead, self._overhead
        if size < 0 or data[0] not in _DEFLATED or not self.fresh or not self._extended:
            return None
        told = size
        if size >= SHORT:
            size, header, told = size - LENGTH, header + LENGTH, LONGER
            if not SHORT <= size < LONGEST or data[2] << 8 | data[3] != size:
                return None
        if data[1] != told | self._mask:
            return None
        head, inflated = b"", None
        if self._inflates:
            key = data[header - 4 : header] if self._mask else b""
            head, inflated = self._inflate(_unmask(data[header:], key, 0), last=True, most=self.shown) or (b"", None)
        return Frame(_OPCODES[data[0] & 0x0F], True, size, True, head, inflated)

    def feed(self, data: bytes) -> Scan:
        """Look at the next octets."""
        scan = Scan()
        if self.closed or self.failed:
            return scan
        octets = self._held + data if self._held else data
        at = 0
        while True:
            if self._header is not None:
                at = self._pass_payload(octets, at, scan)
                if self._header is not None or self.closed:
                    break
            header = self._next_header(octets, at)
            if isinstance(header, Violation):
                self.failed = True
                scan.violation = header
                break
            if header is None or (header.opcode.is_control and len(octets) - at < header.size + header.length):
                break
            at += header.size
            self._begin(header)
        scan.passed = octets[:at]
        self._held = b"" if self.closed or self.failed else octets[at:]
        self.fresh = not (self._held or self._header or self._in_message or self.closed or self.failed)
        return scan

    def _begin(self, header: _Header) -> None:
        self._header = header
        self._left = header.length
        self._head.clear()
        self._inflated = None
        if not header.opcode.is_control:
            self._in_message = not header.fin
            if header.opcode is not Opcode.CONTINUATION:
                self._compressed = header.compressed

    def _pass_payload(self, octets: bytes, at: int, scan: Scan) -> int:
        assert self._header is not None
        header = self._header
        end = min(at + self._left, len(octets))
        most = MOST_CONTROL_OCTETS if header.opcode.is_control else self.shown  # a Close's code is always told
        offset = header.length - self._left
        compressed = self._compressed and not header.opcode.is_control
        if compressed:
            if self._inflates:
                self._tell(_unmask(octets[at:end], header.key, offset), last=header.fin and end - at == self._left)
        elif len(self._head) < most:
            piece = octets[at : min(end, at + most - len(self._head))]
            self._head += _unmask(piece, header.key, offset)
        self._left -= end - at
        if not self._left:
            self._header = None
            head, inflated = bytes(self._head), self._inflated
            scan.frames.append(Frame(header.opcode, header.fin, header.length, compressed, head, inflated))
            self.closed = header.opcode is Opcode.CLOSE
        return end

    def _inflate(self, octets: bytes, *, last: bool, most: int) -> Piece | None:
        if self._inflater is None:
            self._inflater = Inflater()
        return self._inflater.take(octets, last=last, most=most)

    def _tell(self, octets: bytes, *, last: bool) -> None:
        found = self._inflate(octets, last=last, most=self.shown - len(self._head))
        if found is None:
            self._head.clear()
            self._inflated = None
        else:
            self._head += found.head
            self._inflated = (self._inflated or 0) + found.size

    def _next_header(self, octets: bytes, at: int) -> _Header | Violation | None:
        """The header at a place, or what is wrong with it; None while it isn't whole."""
        if len(octets) - at < 2:
            return None
        first, second = octets[at], octets[at + 1]
        reason = self._first_octets_wrong(first, second)
        if reason:
            return Violation(reason)
        length = second & 0x7F
        size = 2
        if length >= 126:
            width = 2 if length == 126 else 8
            if len(octets) - at < 2 + width:
                return None
            length = int.from_bytes(octets[at + 2 : at + 2 + width], "big")
            size += width
            if length < (126 if width == 2 else 1 << 16):
                return Violation("a payload length that isn't the shortest")  # RFC 6455 §5.2
            if length >> 63:
                return Violation("a payload length with its highest bit set")  # RFC 6455 §5.2
        key = b""
        if second & 0x80:
            if len(octets) - at < size + 4:
                return None
            key = octets[at + size : at + size + 4]
            size += 4
        header = _Header(_OPCODES[first & 0x0F], bool(first & 0x80), bool(first & 0x40), length, key, size)
        return self._close_wrong(header, octets[at + size : at + size + length]) or header

    def _first_octets_wrong(self, first: int, second: int) -> str:
        opcode = _OPCODES.get(first & 0x0F)
        fin, compressed = bool(first & 0x80), bool(first & 0x40)
        if opcode is None:
            return f"the reserved opcode {first & 0x0F}"
        if first & 0x30 or (compressed and not self._extended):
            return "a reserved bit without an extension that gives it a meaning"  # RFC 6455 §5.2
        if compressed and opcode not in (Opcode.TEXT, Opcode.BINARY):
            return "RSV1 on a frame that begins no message"  # RFC 7692 §6.1
        if bool(second & 0x80) is not self._from_client:
            return "an unmasked frame" if self._from_client else "a masked frame"  # RFC 6455 §5.1
        if opcode.is_control:
            if not fin:
                return "a fragmented control frame"  # RFC 6455 §5.5
            return "a control frame of more than 125 octets" if second & 0x7F > MOST_CONTROL_OCTETS else ""
        if opcode is Opcode.CONTINUATION:
            return "" if self._in_message else "a continuation of no message"  # RFC 6455 §5.4
        return "a new message inside a fragmented one" if self._in_message else ""  # RFC 6455 §5.4

    def _close_wrong(self, header: _Header, payload: bytes) -> Violation | None:
        """What is wrong with a whole Close frame's payload (RFC 6455 §5.5.1, §7.4)."""
        if header.opcode is not Opcode.CLOSE or not self._from_client or len(payload) < header.length:
            return None
        if header.length == 1:
            return Violation("a Close with half a code")
        if header.length >= 2:
            code = int.from_bytes(_unmask(payload[:2], header.key, 0), "big")
            if not may_be_sent(code):
                return Violation(f"the close code {code}")
        return None


def frame(opcode: Opcode, payload: bytes, *, fin: bool) -> bytes:
    """A server's frame, uncompressed (RFC 6455 §5.2)."""
    size = len(payload)
    if size < 126:
        length = bytes([size])
    elif size < 1 << 16:
        length = b"\x7e" + size.to_bytes(2, "big")
    else:
        length = b"\x7f" + size.to_bytes(8, "big")
    return bytes([opcode | (0x80 if fin else 0)]) + length + payload


def _unmask(octets: bytes, key: bytes, offset: int) -> bytes:
    """RFC 6455 §5.3, from a place in the payload on."""
    if not key or not octets:
        return octets
    size = len(octets)
    if turn := offset % 4:
        key = key[turn:] + key[:turn]
    whole = int.from_bytes(octets, "big") ^ int.from_bytes((key * (size // 4 + 1))[:size], "big")
    return whole.to_bytes(size, "big")
