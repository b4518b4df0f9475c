"""What one command is given while it runs: its arguments, its input, its files, its status.

A command is an async generator: it yields what it writes to its output and pulls what it reads, so a pipeline holds one piece a stage in
memory, and a stage whose reader has had enough is simply not asked for more.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from portyard.commons.filestore.model import FileRoot
from portyard.ssh.core.model import Io

if TYPE_CHECKING:
    from portyard.ssh.core.shell import Shell

_Item = TypeVar("_Item")

PIECE = 64 * 1024  # octets read at a time
HELD = 64 * 1024 * 1024  # octets that a command may hold which needs all of its input at once (sort, tail)
LINE = 1024 * 1024  # octets of one line
FULL = 64 * 1024  # octets that are gathered before they are passed on


class UsageError(Exception):
    """A command was called wrongly; its message follows the command's name, its status is `status`."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class Process:
    """A command while it runs.

    Attributes:
        name: As it was called.
        args: What follows the name.
        stdin: Octets, piece by piece.
        shell: The shell: its variables and its directory.
        io: Time.
        complain: Writes to standard error.
        env: The variables that it sees.
        status: What it ends with.
    """

    name: str
    args: list[str]
    stdin: AsyncIterator[bytes]
    shell: Shell
    io: Io
    complain: Callable[[bytes], Awaitable[None]]
    env: dict[str, str] = field(default_factory=dict)
    status: int = 0
    _streams: list[AsyncGenerator[Any, None]] = field(default_factory=list)

    @property
    def root(self) -> FileRoot:
        """The account's files."""
        return self.shell.root

    def path(self, name: str) -> str:
        """An absolute path; links and ".." are the root's to resolve."""
        return self.shell.path(name)

    async def fail(self, message: str, status: int = 1) -> None:
        """Complain and remember the status; the command goes on."""
        self.status = max(self.status, status)
        await self.complain(encode(f"{self.name}: {message}\n"))

    async def fail_os(self, what: str, error: OSError) -> None:
        """Complain about a file."""
        await self.fail(f"{what}: {explain(error)}")

    def options(self, flags: str, values: str = "", *, mixed: bool = True) -> tuple[dict[str, str], list[str]]:
        """The arguments as options and operands (XBD §12.2).

        Args:
            flags: Letters of options without a value.
            values: Letters of those with one.
            mixed: Whether options may follow operands.

        Returns:
            Letters with their values ("" for a flag), and the operands.

        Raises:
            UsageError: Another option, or a value is missing.
        """
        found: dict[str, str] = {}
        operands: list[str] = []
        rest = list(self.args)
        while rest:
            arg = rest.pop(0)
            if arg == "--":
                return found, operands + rest
            if not arg.startswith("-") or arg == "-":
                operands.append(arg)
                if not mixed:
                    return found, operands + rest
                continue
            if arg.startswith("--"):
                raise UsageError(f"unrecognized option '{arg}'", 2 if self.name in ("ls", "grep", "sort") else 1)
            self._letters(arg[1:], flags, values, rest, found)
        return found, operands

    def _letters(self, letters: str, flags: str, values: str, rest: list[str], found: dict[str, str]) -> None:
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in flags:
                found[letter] = ""
            elif letter in values:
                if not letters and not rest:
                    raise UsageError(f"option requires an argument -- '{letter}'")
                found[letter], letters = letters or rest.pop(0), ""
            else:
                raise UsageError(f"invalid option -- '{letter}'", 2 if self.name in ("ls", "grep", "sort") else 1)

    def keep(self, stream: AsyncGenerator[_Item, None]) -> AsyncGenerator[_Item, None]:
        """See that a stream is closed with the command, however far it was read."""
        self._streams.append(stream)
        return stream

    async def release(self) -> None:
        """Close what was opened."""
        while self._streams:
            await self._streams.pop().aclose()

    def file(self, name: str) -> AsyncGenerator[bytes, None]:
        """A file's octets, piece by piece; "-" is the input. Reading it raises OSError."""
        return self.keep(self._file(name))

    async def _file(self, name: str) -> AsyncGenerator[bytes, None]:
        if name == "-":
            async for piece in self.stdin:
                yield piece
            return
        with self.root.open(self.path(name)) as file:
            while piece := file.read(PIECE):
                yield piece
                await self.io.breathe()

    def files(self, names: list[str]) -> AsyncGenerator[bytes, None]:
        """Several files' octets, or the input's when none is named; what can't be read is complained about."""
        return self.keep(self._all(names))

    async def _all(self, names: list[str]) -> AsyncGenerator[bytes, None]:
        for name in names or ["-"]:
            try:
                async for piece in self.file(name):
                    yield piece
            except OSError as error:
                await self.fail_os(name, error)

    def lines(self, pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Lines with their endings; the last one may have none. A line longer than `LINE` is cut."""
        return self.keep(lines_of(pieces))

    async def whole(self, pieces: AsyncIterator[bytes]) -> bytes:
        """All of it, for commands that can't do with less.

        Raises:
            UsageError: It is more than `HELD`.
        """
        held = bytearray()
        async for piece in pieces:
            held += piece
            if len(held) > HELD:
                raise UsageError(f"more than {HELD >> 20} MiB of input")
        return bytes(held)


async def lines_of(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    r"""Lines with their endings; the last one may have none. A line longer than `LINE` is cut.

    Args:
        pieces: Octets, cut anywhere.
    """
    rest = b""
    async for piece in pieces:
        *lines, rest = _split(rest + piece)
        for line in lines:
            yield line
        if len(rest) > LINE:
            yield rest
            rest = b""
    if rest:
        yield rest


def _split(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    return [*(line + b"\n" for line in lines[:-1]), lines[-1]]


class Gather:
    """Gathers small pieces of output into good ones.

    Args:
        full: Octets that are enough to pass on.
    """

    def __init__(self, full: int = FULL) -> None:
        self._held = bytearray()
        self._full = full

    def add(self, data: bytes) -> bytes:
        """What is to be passed on now, often nothing."""
        self._held += data
        return self.take() if len(self._held) >= self._full else b""

    def take(self) -> bytes:
        """What is held."""
        data = bytes(self._held)
        self._held.clear()
        return data


def encode(text: str) -> bytes:
    """Text as octets; what came in as octets that aren't UTF-8 goes out as it was."""
    return text.encode("utf-8", "surrogateescape")


def decode(data: bytes) -> str:
    """Octets as text, without loss."""
    return data.decode("utf-8", "surrogateescape")


def explain(error: OSError) -> str:
    """What is wrong, in the system's words."""
    return os.strerror(error.errno) if error.errno else str(error)


def join(folder: str, name: str) -> str:
    """A path below another, as a listing shows it."""
    return posixpath.join(folder, name)
