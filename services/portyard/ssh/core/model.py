"""What the shell reads, as values, in the words of POSIX (XCU §2); and what it asks of whoever runs it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class Io(Protocol):
    """The world outside of the shell, as far as it may touch it: its client's three streams, time, and the files (see `FileRoot`)."""

    async def read(self) -> bytes:
        """The client's next octets; b"" at the end."""

    async def write(self, data: bytes) -> None:
        """Octets for the client, once there is room for them."""

    async def write_error(self, data: bytes) -> None:
        """Octets for the client's standard error."""

    async def sleep(self, seconds: float) -> None:
        """Wait for that long."""

    async def breathe(self) -> None:
        """Let others run: called between pieces of long work."""

    def now(self) -> datetime:
        """The testbed's time, aware."""


class BadSyntax(Exception):
    """The text isn't a script; the message is what sh says of it. Status 2 (XCU §2.8.1)."""


class Incomplete(BadSyntax):
    """The text isn't a script yet: a line more may make it one."""


@dataclass(frozen=True, slots=True)
class Literal:
    """Characters that mean themselves.

    Attributes:
        text: The characters, quoting removed.
        quoted: They were quoted: no pattern, no tilde in them (XCU §2.2).
    """

    text: str
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Parameter:
    """`$NAME`, `${NAME}`, `$?` (XCU §2.5).

    Attributes:
        name: A variable's name, or "?", "$", "#", "0".
        quoted: It was in double quotes: its value is one field (XCU §2.6.5).
    """

    name: str
    quoted: bool = False


Part = Literal | Parameter


@dataclass(frozen=True, slots=True)
class Word:
    """One word; adjacent literals of equal quoting are one part."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Redirect:
    """A redirection (XCU §2.7).

    Attributes:
        descriptor: 0, 1 or 2; what it changes.
        operator: "<", ">", ">>", ">|" or ">&".
        target: A file's name; for ">&" the number of a descriptor.
    """

    descriptor: int
    operator: str
    target: Word


@dataclass(frozen=True, slots=True)
class Assignment:
    """`NAME=value` before a command, or alone."""

    name: str
    value: Word


@dataclass(frozen=True, slots=True)
class Simple:
    """A simple command (XCU §2.9.1)."""

    assignments: tuple[Assignment, ...] = ()
    words: tuple[Word, ...] = ()
    redirects: tuple[Redirect, ...] = ()


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands joined by "|" (XCU §2.9.2); `negated` turns its status round."""

    commands: tuple[Simple, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class AndOr:
    """Pipelines joined by "&&" and "||", equal in rank, from the left (XCU §2.9.3).

    Attributes:
        first: What runs in any case.
        rest: Operator and pipeline.
    """

    first: Pipeline
    rest: tuple[tuple[str, Pipeline], ...] = ()


@dataclass(frozen=True, slots=True)
class Script:
    """Lists, one after the other (XCU §2.9.3)."""

    lists: tuple[AndOr, ...] = ()
