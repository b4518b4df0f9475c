"""A load generator for rooms where a client asks and reads an answer: connections that stay, and work in slices.

A cycle is some commands, each sent when the answer to the one before is whole. How an answer ends is all that it knows of a protocol.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

PATIENCE_S = 20.0
"""Seconds that the end of a slice may be late."""
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_FRAME_HEAD = 2
_REFUSED = re.compile(rb"[45-]|a (?:NO|BA)|HTTP/1.1 [45]")
Template = bytes | list[bytes]
_RCODE = 3  # the octet whose lower half it is (RFC 1035 §4.1.1)


@dataclass(frozen=True, slots=True)
class Asking:
    """What to ask.

    Attributes:
        port: The server's port on loopback.
        prelude: What each connection says first, its number for `%n`: command and how its answer ends.
        cycle: What it says again and again; `%c` stands for a number of eight digits that no other cycle has.
        greeted: How the server's first words end; empty where it says none.
        seconds: How long to go on.
        connections: Connections at once.
        datagrams: By UDP: each connection is a port of ours, and each datagram one command or answer.
        first: The number of the first connection.
    """

    port: int
    prelude: tuple[tuple[str, str], ...]
    cycle: tuple[tuple[str, str], ...]
    greeted: str = "line"
    seconds: float = 1.0
    connections: int = 8
    datagrams: bool = False
    first: int = 0


@dataclass(slots=True)
class Asked:
    """What came of it.

    Attributes:
        cycles: Cycles that were answered.
        seconds: How long it took.
        trouble: The first failure.
    """

    cycles: int = 0
    seconds: float = 0.0
    trouble: str = ""


def _line(buffer: bytes) -> int:
    """One line; of a reply of several the last, whose code is followed by a space."""
    start = 0
    while (end := buffer.find(b"\r\n", start)) >= 0:
        if buffer[start + 3 : start + 4] != b"-":
            return end + 2
        start = end + 2
    return 0


def _block(buffer: bytes) -> int:
    """Lines up to a lone dot."""
    return found + 5 if (found := buffer.find(b"\r\n.\r\n")) >= 0 else 0


def _tagged(buffer: bytes) -> int:
    """Lines up to the tag `a`."""
    found = 0 if buffer.startswith(b"a ") else buffer.find(b"\r\na ") + 2
    if not found and not buffer.startswith(b"a "):
        return 0
    end = buffer.find(b"\r\n", found)
    return end + 2 if found != 1 and end >= 0 else 0


def _body(buffer: bytes) -> int:
    """A head and a body of the length that it tells."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return 0
    found = _LENGTH.search(buffer, 0, end)
    whole = end + 4 + (int(found[1]) if found else 0)
    return whole if len(buffer) >= whole else 0


def _frame(buffer: bytes) -> int:
    """A frame of the server's, of less than 65,536 octets (RFC 6455 §5.2)."""
    if len(buffer) < 4:
        short = len(buffer) > 1 and len(buffer) >= _FRAME_HEAD + buffer[1]
        return len(buffer) if short else 0
    whole = 4 + int.from_bytes(buffer[2:4], "big") if buffer[1] == 126 else _FRAME_HEAD + buffer[1]
    return whole if whole and len(buffer) >= whole else 0


def _prefixed(buffer: bytes) -> int:
    """A message behind its length in two octets."""
    whole = 2 + int.from_bytes(buffer[:2], "big") if len(buffer) > 1 else 0
    return whole if whole and len(buffer) >= whole else 0


def _resolved(buffer: bytes) -> int:
    """A datagram of DNS that answers without an error."""
    return len(buffer) if len(buffer) > _RCODE and not buffer[_RCODE] & 0x0F else 0


def _refused(buffer: bytes) -> int:
    """One line that says no, as it should."""
    return _line(buffer) if buffer[:1] in b"45" else 0


ENDS: dict[str, Callable[[bytes], int]] = {
    "line": _line,
    "refused": _refused,
    "block": _block,
    "tagged": _tagged,
    "body": _body,
    "frame": _frame,
    "prefixed": _prefixed,
    "resolved": _resolved,
}


class AskingError(Exception):
    """The server didn't do what it should: the figures would be of something else."""


class Team:
    """A job's connections, which stay from slice to slice.

    Args:
        job: What they say.
    """

    def __init__(self, job: Asking) -> None:
        self.job = job
        self.numbers = itertools.count(job.first * 1_000_000)
        self._transports: list[asyncio.BaseTransport] = []
        self._askers: list[Asker] = []
        self._waiting: asyncio.Future[None] | None = None
        self._ready = 0
        self._trouble = ""
        self._closing = False
        self._left = self._running = 0  # cycles of the slice that nobody began; connections that are at one
        self._ends_at = 0.0
        self._asked = Asked()

    async def open(self) -> None:
        """Connect, and say the prelude on each connection.

        Raises:
            AskingError: The server didn't let us.
        """
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        for number in range(self.job.first, self.job.first + self.job.connections):
            made: tuple[asyncio.BaseTransport, Any]
            if self.job.datagrams:
                made = await loop.create_datagram_endpoint(
                    partial(DatagramAsker, self, number), remote_addr=("127.0.0.1", self.job.port)
                )
            else:
                made = await loop.create_connection(partial(Asker, self, number), "127.0.0.1", self.job.port)
            self._transports.append(made[0])
            self._askers.append(made[1])
        async with asyncio.timeout(PATIENCE_S):
            await self._waiting

    async def work(self, cycles: int = 0, seconds: float = 0.0) -> Asked:
        """Run so many cycles, or go on for so long; done when the last answer came.

        Raises:
            AskingError: An answer wasn't what it should be.
        """
        if self._trouble:
            raise AskingError(self._trouble)
        self._asked = Asked()
        self._waiting = asyncio.get_running_loop().create_future()
        began = time.monotonic()
        self._left = cycles or 1 << 60
        self._ends_at = began + seconds if seconds else began + PATIENCE_S * 10
        self._running = min(self._left, len(self._askers))
        self._left -= self._running
        for asker in self._askers[: self._running]:
            asker.proceed()
        async with asyncio.timeout(seconds + PATIENCE_S):
            await self._waiting
        self._asked.seconds = time.monotonic() - began
        return self._asked

    def close(self) -> None:
        """Drop the connections."""
        self._closing = True
        for transport in self._transports:
            transport.abort()  # type: ignore[attr-defined]

    def ready(self) -> None:
        """A connection has said its prelude."""
        self._ready += 1
        if self._ready == self.job.connections:
            self._end()

    def answered(self) -> bool:
        """A cycle was; whether there is another to be done."""
        self._asked.cycles += 1
        if self._left and time.monotonic() < self._ends_at:
            self._left -= 1
            return True
        self._running -= 1
        if not self._running:
            self._end()
        return False

    def fail(self, trouble: str) -> None:
        """End it all."""
        if not self._closing:
            self._trouble = self._trouble or trouble
            self._end()

    def _end(self) -> None:
        if self._waiting is None or self._waiting.done():
            return
        if self._trouble:
            self._waiting.set_exception(AskingError(self._trouble))
        else:
            self._waiting.set_result(None)


class Asker(asyncio.Protocol):
    """One connection."""

    def __init__(self, team: Team, number: int) -> None:
        self._team = team
        self._cycle = [(_varied(text), ENDS[ends]) for text, ends in team.job.cycle]
        own = [(text.replace("%n", str(number)), ends) for text, ends in team.job.prelude]
        self._plan: list[tuple[Template, Callable[[bytes], int]]] = [(_varied(text), ENDS[ends]) for text, ends in own]
        self._place = 0
        self._number = b""
        self._cycling = False
        self._buffer = b""
        self._ends = ENDS[team.job.greeted or "line"]
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.BaseProtocol."""
        self._transport = cast(asyncio.Transport, transport)
        if not self._team.job.greeted:
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.BaseProtocol."""
        self._team.fail(f"the connection was lost: {exc}")

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._buffer += data
        end = self._ends(self._buffer)
        if end:
            if self._ends is not _refused and _REFUSED.match(self._buffer):
                self._team.fail(self._buffer[:100].decode(errors="replace"))
                return
            self._buffer = self._buffer[end:]
            self._next()

    def proceed(self) -> None:
        """Begin a cycle."""
        self._cycling, self._plan, self._place = True, self._cycle, 0
        self._number = b"%08d" % next(self._team.numbers)
        self._next()

    def _next(self) -> None:
        if self._place == len(self._plan):
            if not self._cycling:
                self._team.ready()
            elif self._team.answered():
                self.proceed()
            return
        text, self._ends = self._plan[self._place]
        self._place += 1
        self._say(text if isinstance(text, bytes) else self._number.join(text))

    def _say(self, text: bytes) -> None:
        self._transport.write(text)


class DatagramAsker(Asker, asyncio.DatagramProtocol):
    """One port of ours."""

    def datagram_received(self, data: bytes, addr: object) -> None:
        """See asyncio.DatagramProtocol."""
        self.data_received(data)

    def error_received(self, exc: Exception) -> None:
        """See asyncio.DatagramProtocol."""
        self._team.fail(f"nobody answers: {exc}")

    def _say(self, text: bytes) -> None:
        cast(asyncio.DatagramTransport, self._transport).sendto(text)


def _varied(text: str) -> Template:
    """Octets as they are, or those around the number."""
    parts = text.encode("latin-1").split(b"%c")
    return parts if len(parts) > 1 else parts[0]


async def run(job: Asking) -> Asked:
    """Do a job once, to its end; trouble is told in the result."""
    team = Team(job)
    try:
        await team.open()
        return await team.work(seconds=job.seconds)
    except AskingError as error:
        return Asked(trouble=str(error))
    finally:
        team.close()
