"""POP3's commands and replies, in the RFC's nouns."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class User:
    """USER name (RFC 1939 §7)."""

    name: str


@dataclass(frozen=True, slots=True)
class Pass:
    """PASS string (RFC 1939 §7); blanks belong to it."""

    string: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Apop:
    """APOP name digest (RFC 1939 §7): MD5 of the greeting's timestamp and the password, 32 hexadecimal digits."""

    name: str
    digest: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Auth:
    """AUTH mechanism [initial-response] (RFC 5034 §4); without a mechanism it asks for the list, as old clients do."""

    mechanism: str | None = None
    initial_response: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Capa:
    """CAPA (RFC 2449 §5)."""


@dataclass(frozen=True, slots=True)
class Stls:
    """STLS (RFC 2595 §4)."""


@dataclass(frozen=True, slots=True)
class Quit:
    """QUIT (RFC 1939 §4, §6)."""


@dataclass(frozen=True, slots=True)
class Stat:
    """STAT (RFC 1939 §5)."""


@dataclass(frozen=True, slots=True)
class List:
    """LIST [msg] (RFC 1939 §5)."""

    message: int | None = None


@dataclass(frozen=True, slots=True)
class Uidl:
    """UIDL [msg] (RFC 1939 §7)."""

    message: int | None = None


@dataclass(frozen=True, slots=True)
class Retr:
    """RETR msg (RFC 1939 §5)."""

    message: int


@dataclass(frozen=True, slots=True)
class Top:
    """TOP msg n (RFC 1939 §7): header and n lines of body."""

    message: int
    lines: int


@dataclass(frozen=True, slots=True)
class Dele:
    """DELE msg (RFC 1939 §5)."""

    message: int


@dataclass(frozen=True, slots=True)
class Noop:
    """NOOP (RFC 1939 §5)."""


@dataclass(frozen=True, slots=True)
class Rset:
    """RSET (RFC 1939 §5)."""


Command = User | Pass | Apop | Auth | Capa | Stls | Quit | Stat | List | Uidl | Retr | Top | Dele | Noop | Rset


@dataclass(frozen=True, slots=True)
class Reply:
    """A status line.

    Attributes:
        ok: "+OK" or "-ERR".
        text: Human text.
        code: An extended response code (RFC 2449 §8, RFC 3206), without brackets.
    """

    ok: bool
    text: str = ""
    code: str | None = None


class PeerError(Exception):
    """What the client did wrong, and its wire answer.

    Args:
        text: Human text.
        code: See Reply.
        name: Under which a persona may have words of its own for it.
        **values: What may be filled in there.
    """

    def __init__(self, text: str, code: str | None = None, name: str = "", **values: str | int) -> None:
        super().__init__(text)
        self.reply = Reply(False, text, code)
        self.name = name
        self.values = values


class BadSyntax(PeerError):
    """The line isn't a command."""

    def __init__(self, text: str, name: str = "syntax") -> None:
        super().__init__(text, name=name)
