"""The load generator: one asyncio client in a process of its own, the same against every server. A job as JSON in, its result as JSON out.

It knows SMTP and LMTP, one command at a time or the envelope in one group, over kept connections or a new one for each message.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from benchmarks.reading import MailboxReader

PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Job:
    """What to send.

    Attributes:
        port: The server's port on loopback.
        recipient: Whom each message is for.
        seconds: How long to go on; 0 goes by `messages` instead.
        messages: How many messages to send.
        connections: Connections at once.
        keep: Kept connections; False opens a new one for each message.
        lmtp: Speak LMTP.
        pipelining: Send the envelope as one group where the server offers it.
        login: User and password for AUTH PLAIN, or empty.
        octets: Size of a message.
        reader_port: An IMAP port at which the last message is awaited; 0 for none.
        reader_login: User and password there.
    """

    port: int
    recipient: str
    seconds: float = 0.0
    messages: int = 0
    connections: int = 8
    keep: bool = True
    lmtp: bool = False
    pipelining: bool = False
    login: tuple[str, str] | None = None
    octets: int = 4096
    reader_port: int = 0
    reader_login: tuple[str, str] = ("", "")


@dataclass(slots=True)
class Result:
    """What came of it; times are the machine's monotonic seconds.

    Attributes:
        messages: Messages that were accepted.
        began: The first command (kept) or connection (new).
        ended: The last acceptance.
        readable: The last message was read by IMAP; 0 where nobody asked.
        cpu: Share of a processor that the generator itself used.
        trouble: The first unexpected reply.
    """

    messages: int = 0
    began: float = 0.0
    ended: float = 0.0
    readable: float = 0.0
    cpu: float = 0.0
    trouble: str = ""


def message(octets: int) -> bytes:
    """A message of that many octets in lines of 76, as it goes over the wire, without its end."""
    head = (
        b"From: Load <load@example.org>\r\nTo: Somebody <bob@portyard.test>\r\nSubject: a message of the benchmark\r\n"
        b"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <bench@example.org>\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=us-ascii\r\n\r\n"
    )
    line = b"The quick brown fox jumps over the lazy dog and comes back the other way.\r\n"
    body = line * (octets // len(line) + 1)
    return head + body[: octets - len(head) - 2] + b"\r\n"


@dataclass(slots=True)
class Turn:
    """A job under way, shared by its connections."""

    job: Job
    result: Result = field(default_factory=Result)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: list[Sender] = field(default_factory=list)
    begun: int = 0
    running: int = 0

    def more(self) -> bool:
        """Whether another message is to be sent; it counts as begun."""
        if self.result.trouble:
            return False
        if self.job.seconds and time.monotonic() >= self.result.began + self.job.seconds:
            return False
        if self.job.messages and self.begun >= self.job.messages:
            return False
        self.begun += 1
        return True

    def ready(self, sender: Sender) -> None:
        """A kept connection has said hello; all begin together."""
        self.waiting.append(sender)
        if len(self.waiting) == self.running:
            self.result.began = time.monotonic()
            for one in self.waiting:
                one.proceed()

    def accepted(self) -> None:
        """A message was."""
        self.result.messages += 1
        self.result.ended = time.monotonic()

    def left(self, sender: Sender) -> None:
        """A connection is gone."""
        if not self.job.keep and self.more():
            self.connect()
            return
        self.running -= 1
        if not self.running:
            self.done.set()

    def connect(self) -> None:
        """Open one connection."""
        task = asyncio.get_running_loop().create_task(self._connect())
        task.add_done_callback(self._connected)

    async def _connect(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: Sender(self), "127.0.0.1", self.job.port)

    def _connected(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.fail(f"no connection: {task.exception()}")
            self.done.set()

    def fail(self, trouble: str) -> None:
        """Stop: the figures would be of something else."""
        self.result.trouble = self.result.trouble or trouble


class Sender(asyncio.Protocol):
    """One connection: what to do with the next reply is `_next`."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._job = turn.job
        self._buffer = b""
        self._next: Callable[[bytes], None] = self._greeted
        self._wanted = b"220"
        self._groups = False
        self._leaving = False
        self._envelope = (b"MAIL FROM:<load@example.org>\r\n", f"RCPT TO:<{turn.job.recipient}>\r\n".encode())
        self._block = message(turn.job.octets) + b".\r\n"
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.BaseProtocol."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.BaseProtocol."""
        if not self._leaving:
            self._turn.fail(f"the connection was lost: {exc}")
        self._turn.left(self)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        buffer = self._buffer + data
        while (end := buffer.find(b"\r\n")) >= 0:
            line, buffer = buffer[:end], buffer[end + 2 :]
            if line[4:14].upper() == b"PIPELINING":
                self._groups = self._job.pipelining
            if line[3:4] == b"-":
                continue
            if line[:3] != self._wanted:
                self._turn.fail(line.decode(errors="replace"))
                self._leave()
                return
            self._next(line)
        self._buffer = buffer

    def proceed(self) -> None:
        """Send the next message, or leave."""
        if not self._turn.more():
            self._say(b"QUIT\r\n", b"221", self._farewell)
        else:
            self._mail()

    def _say(self, data: bytes, wanted: bytes, then: Callable[[bytes], None]) -> None:
        self._wanted, self._next = wanted, then
        self._transport.write(data)

    def _greeted(self, line: bytes) -> None:
        self._say(b"LHLO bench.test\r\n" if self._job.lmtp else b"EHLO bench.test\r\n", b"250", self._hello)

    def _hello(self, line: bytes) -> None:
        if self._job.login is None:
            self._ready(line)
            return
        token = base64.b64encode("\0".join(("", *self._job.login)).encode())
        self._say(b"AUTH PLAIN " + token + b"\r\n", b"235", self._ready)

    def _ready(self, line: bytes) -> None:
        if self._job.keep:
            self._turn.ready(self)
        else:
            self._mail()

    def _mail(self) -> None:
        if self._groups:
            self._say(b"".join(self._envelope) + b"DATA\r\n", b"250", self._grouped)
        else:
            self._say(self._envelope[0], b"250", self._recipient)

    def _recipient(self, line: bytes) -> None:
        self._say(self._envelope[1], b"250", self._data)

    def _data(self, line: bytes) -> None:
        self._say(b"DATA\r\n", b"354", self._body)

    def _grouped(self, line: bytes) -> None:
        """MAIL is answered, RCPT's and DATA's answers follow."""
        self._next = self._group_recipient

    def _group_recipient(self, line: bytes) -> None:
        self._wanted, self._next = b"354", self._body

    def _body(self, line: bytes) -> None:
        self._say(self._block, b"250", self._accepted)

    def _accepted(self, line: bytes) -> None:
        self._turn.accepted()
        if self._job.keep:
            self.proceed()
        else:
            self._say(b"QUIT\r\n", b"221", self._farewell)

    def _farewell(self, line: bytes) -> None:
        self._leave()

    def _leave(self) -> None:
        self._leaving = True
        self._transport.close()


async def run(job: Job) -> Result:
    """Do a job to its end."""
    turn = Turn(job)
    reader = None
    if job.reader_port:
        reader = await MailboxReader.open(job.reader_port, *job.reader_login)
    before = 0 if reader is None else await reader.count()
    cpu = time.process_time()
    turn.running = job.connections
    turn.result.began = time.monotonic()
    async with asyncio.timeout(job.seconds + PATIENCE_S):
        for _ in range(job.connections):
            if job.keep or turn.more():
                turn.connect()
            else:
                turn.running -= 1
        await turn.done.wait()
        result = turn.result
        result.cpu = (time.process_time() - cpu) / max(1e-9, time.monotonic() - result.began)
        if reader is not None and not result.trouble:
            await reader.await_count(before + result.messages)
            result.readable = time.monotonic()
    if reader is not None:
        await reader.close()
    return result


def main() -> None:
    """One job from standard input."""
    import uvloop

    fields: dict[str, Any] = json.load(sys.stdin)
    for name in ("login", "reader_login"):
        if fields.get(name) is not None:
            fields[name] = tuple(fields[name])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(run(Job(**fields)))
    json.dump(asdict(result), sys.stdout)


if __name__ == "__main__":
    main()
