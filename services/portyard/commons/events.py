"""What reaches a core: bytes that framing made whole, and the few other things a session may hear.

Knows the units that cross from an edge into a core. Knows no socket, no clock and no protocol. Pure: every core may import it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """One line, its ending cut off.

    Attributes:
        data: The octets before the line ending.
        bare_lf: True when it ended in LF alone, which the line-based protocols forbid (RFC 5321 §2.3.8).
    """

    data: bytes
    bare_lf: bool = False


@dataclass(frozen=True, slots=True)
class Literal:
    """A counted run of octets, whole.

    Attributes:
        data: Exactly as many octets as were announced.
    """

    data: bytes


@dataclass(frozen=True, slots=True)
class DotBlock:
    """A block that ended with a lone dot, unstuffed, its lines ending in CRLF.

    Attributes:
        data: The octets, without the terminator.
        size: Octets received, also when they passed the limit and `data` was dropped.
        too_large: True when the block passed framing's limit; `data` is then empty.
        bare_lf: True when a line in it ended in LF alone.
        bare_cr: True when it held a CR not followed by LF.
    """

    data: bytes
    size: int
    too_large: bool = False
    bare_lf: bool = False
    bare_cr: bool = False


@dataclass(frozen=True, slots=True)
class TooLong:
    """A line or literal that passed framing's limit; its octets were dropped up to the line's end.

    Attributes:
        limit: The limit in octets that it passed.
        head: The first octets, so that an answer can name the command (or carry its tag).
    """

    limit: int
    head: bytes = b""


@dataclass(frozen=True, slots=True)
class TlsStarted:
    """The upgrade that the core asked for with `StartTls` is complete; everything read in plaintext is gone.

    Attributes:
        version: "TLSv1.3" and the like.
        cipher: The suite's name.
    """

    version: str
    cipher: str


@dataclass(frozen=True, slots=True)
class MailboxChanged:
    """The mailbox that the core watches (effect `Watch`) may have changed; the core reads the store to see how."""


@dataclass(frozen=True, slots=True)
class Timeout:
    """Nothing came for the session's `timeout_s`."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The peer closed or vanished; no effect will reach it any more."""


Event = Line | Literal | DotBlock | TooLong | TlsStarted | MailboxChanged | Timeout | Gone
