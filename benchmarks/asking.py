"""A load generator for rooms where a client asks and reads an answer: a job as JSON in, its result as JSON out.

A cycle is some commands, each sent when the answer to the one before is whole. How an answer ends is all that it knows of a protocol.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, cast

PATIENCE_S = 20.0
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_FRAME_HEAD = 2
_RCODE = 3  # the octet whose lower half it is (RFC 1035 §4.1.1)


@dataclass(frozen=True, slots=True)
class Asking:
    """What to ask.

    Attributes:
        port: The server's port on loopback.
        prelude: What each connection says first, its number for `%n`: command and how its answer ends.
        cycle: What it says again and again.
        greeted: How the server's first words end; empty where it says none.
        seconds: How long to go on.
        connections: Connections at once.
        datagrams: By UDP: each connection is a port of ours, and each datagram one command or answer.
    """

    port: int
    prelude: tuple[tuple[str, str], ...]
    cycle: tuple[tuple[str, str], ...]
    greeted: str = "line"
    seconds: float = 1.0
    connections: int = 8
    datagrams: bool = False


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
    """A short frame of the server's."""
    whole = _FRAME_HEAD + (buffer[1] & 0x7F) if len(buffer) > 1 else 0
    return whole if whole and len(buffer) >= whole else 0


def _prefixed(buffer: bytes) -> int:
    """A message behind its length in two octets."""
    whole = 2 + int.from_bytes(buffer[:2], "big") if len(buffer) > 1 else 0
    return whole if whole and len(buffer) >= whole else 0


def _resolved(buffer: bytes) -> int:
    """A datagram of DNS that answers without an error."""
    return len(buffer) if len(buffer) > _RCODE and not buffer[_RCODE] & 0x0F else 0


ENDS: dict[str, Callable[[bytes], int]] = {
    "line": _line,
    "block": _block,
    "tagged": _tagged,
    "body": _body,
    "frame": _frame,
    "prefixed": _prefixed,
    "resolved": _resolved,
}


@dataclass(slots=True)
class Turn:
    """A job under way, shared by its connections."""

    job: Asking
    result: Asked = field(default_factory=Asked)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: list[Asker] = field(default_factory=list)
    running: int = 0
    began: float = 0.0

    def ready(self, asker: Asker) -> None:
        """A connection has said its prelude; all begin together."""
        self.waiting.append(asker)
        if len(self.waiting) == self.job.connections:
            self.began = time.monotonic()
            for one in self.waiting:
                one.proceed()

    def answered(self) -> bool:
        """A cycle was; whether there is time for another."""
        self.result.cycles += 1
        self.result.seconds = time.monotonic() - self.began
        return self.result.seconds < self.job.seconds and not self.result.trouble

    def fail(self, trouble: str) -> None:
        """End it all: the figures would be of something else."""
        self.result.trouble = self.result.trouble or trouble
        self.done.set()

    def left(self) -> None:
        """A connection is gone."""
        self.running -= 1
        if not self.running:
            self.done.set()


class Asker(asyncio.Protocol):
    """One connection."""

    def __init__(self, turn: Turn, number: int) -> None:
        self._turn = turn
        self._cycle = [(text.encode("latin-1"), ENDS[ends]) for text, ends in turn.job.cycle]
        own = [(text.replace("%n", str(number)), ends) for text, ends in turn.job.prelude]
        self._plan = [(text.encode("latin-1"), ENDS[ends]) for text, ends in own]
        self._place = 0
        self._cycling = self._leaving = False
        self._buffer = b""
        self._ends = ENDS[turn.job.greeted or "line"]
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.BaseProtocol."""
        self._transport = cast(asyncio.Transport, transport)
        if not self._turn.job.greeted:
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.BaseProtocol."""
        if not self._leaving:
            self._turn.fail(f"the connection was lost: {exc}")
        self._turn.left()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._buffer += data
        end = self._ends(self._buffer)
        if end:
            if self._buffer[:1] in b"45-" or self._buffer[:4] in (b"a NO", b"a BA"):
                self._turn.fail(self._buffer[:100].decode(errors="replace"))
                return
            self._buffer = self._buffer[end:]
            self._next()

    def proceed(self) -> None:
        """Begin the cycles."""
        self._cycling, self._plan, self._place = True, self._cycle, 0
        self._next()

    def _next(self) -> None:
        if self._place == len(self._plan):
            if not self._cycling:
                self._turn.ready(self)
                return
            self._place = 0
            if not self._turn.answered():
                self._leaving = True
                self._transport.close()
                return
        text, self._ends = self._plan[self._place]
        self._place += 1
        self._say(text)

    def _say(self, text: bytes) -> None:
        self._transport.write(text)


class DatagramAsker(Asker, asyncio.DatagramProtocol):
    """One port of ours."""

    def datagram_received(self, data: bytes, addr: object) -> None:
        """See asyncio.DatagramProtocol."""
        self.data_received(data)

    def error_received(self, exc: Exception) -> None:
        """See asyncio.DatagramProtocol."""
        self._turn.fail(f"nobody answers: {exc}")

    def _say(self, text: bytes) -> None:
        cast(asyncio.DatagramTransport, self._transport).sendto(text)


async def run(job: Asking) -> Asked:
    """Do a job to its end."""
    turn = Turn(job, running=job.connections)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(job.seconds + PATIENCE_S):
        transports: list[Any] = []
        try:
            for number in range(job.connections):
                made: tuple[asyncio.BaseTransport, object]
                if job.datagrams:
                    made = await loop.create_datagram_endpoint(
                        partial(DatagramAsker, turn, number), remote_addr=("127.0.0.1", job.port)
                    )
                else:
                    made = await loop.create_connection(partial(Asker, turn, number), "127.0.0.1", job.port)
                transports.append(made[0])
            await turn.done.wait()
        finally:
            for transport in transports:
                transport.abort()
    return turn.result


def main() -> None:
    """One job from standard input."""
    import uvloop

    fields: dict[str, Any] = json.load(sys.stdin)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(run(Asking(**fields)))
    json.dump(asdict(result), sys.stdout)


if __name__ == "__main__":
    main()
