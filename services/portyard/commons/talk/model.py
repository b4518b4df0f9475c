"""A talk as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class TalkError(ValueError):
    """A talk's text is malformed; the message names the line."""


class Step(StrEnum):
    """What a line of a talk is."""

    CLIENT = "C"  # the client sends this line
    CLIENT_RAW = "C~"  # the client sends exactly these octets, escapes decoded, no line ending added
    SERVER = "S"  # the server's next line
    SERVER_ANY_ORDER = "S*"  # one of the server's next lines: neighbours of this kind match in any order
    SERVER_NEVER = "!S"  # no line of this answer may look like this
    STORE = "store"  # a fact about a store, checked when the line is reached
    DELIVER = "deliver"  # a message arrives from outside
    RULE = "rule"  # a rule is set, as JSON


# Words in angle brackets stand for what isn't a line.
TLS, CLOSE, CLOSED, SILENCE, SKIP = "<tls>", "<close>", "<closed>", "<silence>", "..."


@dataclass(frozen=True, slots=True)
class TalkLine:
    """One line of a talk.

    Attributes:
        step: What it is.
        text: The rest of the line; for SERVER steps a pattern.
        session: Whose line it is where there are several, from 1.
        number: Its line number in the file, for messages; 0 when it came from nowhere.
    """

    step: Step
    text: str
    session: int = 1
    number: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Talk:
    """A whole talk.

    Attributes:
        headers: `room`, `start`, `mail`, `rfc` …, in order.
        lines: The conversation.
    """

    headers: dict[str, str]
    lines: tuple[TalkLine, ...]

    @property
    def room(self) -> str:
        """The room that it is about."""
        return self.headers.get("room", "")

    @property
    def sessions(self) -> tuple[int, ...]:
        """The session numbers that speak in it."""
        return tuple(sorted({line.session for line in self.lines}))
