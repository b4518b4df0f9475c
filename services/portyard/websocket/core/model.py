"""Frames and close codes (RFC 6455 §5.2, §7.4)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class Opcode(IntEnum):
    """RFC 6455 §11.8."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA

    @property
    def is_control(self) -> bool:
        """RFC 6455 §5.5: the high bit of the opcode."""
        return self >= Opcode.CLOSE


class Frame(NamedTuple):  # one is made for each frame that passes: a dataclass takes three times as long
    """A frame as a transcript shows it.

    Attributes:
        opcode: What it is.
        fin: Whether it ends its message.
        length: Octets of its payload.
        compressed: Whether its message is (RSV1 on the first frame, RFC 7692 §6).
        head: The first octets of what the payload says, unmasked and inflated; none where it is compressed, and isn't inflated.
        inflated: Octets of what a compressed one says; None of any other, and where it isn't inflated.
    """

    opcode: Opcode
    fin: bool
    length: int
    compressed: bool
    head: bytes
    inflated: int | None = None

    @property
    def close_code(self) -> int | None:
        """A Close frame's code; None for another frame or an empty one."""
        if self.opcode is not Opcode.CLOSE or len(self.head) < 2:
            return None
        return int.from_bytes(self.head[:2], "big")


@dataclass(frozen=True, slots=True)
class Violation:
    """A frame that fails the connection with 1002 (RFC 6455 §7.1.7); `reason` says what is wrong with it."""

    reason: str


GOING_AWAY = 1001
TRY_AGAIN_LATER = 1013
ABNORMAL = 1006  # never on the wire: what a client sees of a connection that ends without a Close
NO_STATUS = 1005  # never on the wire: what a client sees of an empty Close

MESSAGE_LIMIT = 16 * 1024 * 1024  # octets of one message, compression undone; beyond it 1009
MOST_REASON_OCTETS = 123  # a control frame's 125, less the code (RFC 6455 §5.5)


def may_be_sent(code: int) -> bool:
    """Whether a peer may put this code into a Close frame (RFC 6455 §7.4.1 and §7.4.2, and IANA's later 1012 to 1014)."""
    return 3000 <= code <= 4999 or 1000 <= code <= 1003 or 1007 <= code <= 1014
