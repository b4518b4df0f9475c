"""The midst of an answer that obeys rules: asked before its head, after it, and between the pieces of its body.

Knows aiohttp's writer and the gate; what happens before an answer begins is `exchange`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http_writer import StreamWriter
from multidict import CIMultiDict

from portyard.commons.exchange_answers import refusal, stub
from portyard.commons.exchange_outlook import ANSWER, path_of
from portyard.commons.scenario.actions import action_name
from portyard.commons.scenario.engine import Stamp
from portyard.commons.scenario.model import Scalar, Verdict

if TYPE_CHECKING:
    from portyard.commons.hosted_protocol import HostedProtocol

PIECE = 1024  # octets of a body between two questions, while a rule may mean them
HUNG_UP = "hung up by a rule"  # why the connection was closed, for the journal


class HungUpError(ConnectionResetError):
    """A rule ended the connection in the midst of an exchange."""

    def __init__(self) -> None:
        super().__init__(HUNG_UP)


async def begin(protocol: HostedProtocol, verb: str, verdict: Verdict) -> None:
    """What every verdict begins with: a word in the journal, the wait, the faults of bytes."""
    does = [action_name(action) for action in verdict.actions]
    protocol.connection.log.event("fault", verb=verb, rule=verdict.rule, does=does)
    if verdict.delay_s:
        await asyncio.sleep(verdict.delay_s)
    if verdict.faults:
        protocol.connection.arm(verdict.faults)


async def interrupt(protocol: HostedProtocol, verb: str, verdict: Verdict) -> None:
    """Obey in the midst of an answer that has begun: wait, arm, say nothing any more, or end.

    Raises:
        HungUpError: The connection is to be closed.
    """
    await begin(protocol, verb, verdict)
    if verdict.silence:
        await protocol.hush()
    if verdict.hang_up:
        protocol.reason = protocol.reason or HUNG_UP  # aiohttp takes the error for the peer's going
        raise HungUpError


class RuledWriter(StreamWriter):
    """Writes a response, notes its head, and asks before its head, after it, and between the pieces of its body.

    Args:
        protocol: Whose.
        loop: The running one.
    """

    def __init__(self, protocol: HostedProtocol, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(protocol, loop)
        self.host = protocol
        self._request: web.BaseRequest | None = None
        self._status = 0  # of the head, once there is one; before it, what is written is an interim answer
        self._sent = 0  # octets of the body
        self.lie: web.StreamResponse | None = None  # what is answered instead: the truth is written nowhere
        self._quiet: Stamp | None = None  # as of which no rule means the head, nor a body of one short piece
        self.asking = True
        self.prefix = ""  # of the path, that named the sandbox

    def begin(self, request: web.BaseRequest, prefix: str = "") -> None:
        """Say which request is to be answered, and what its path was stripped of."""
        self._request = request
        self.prefix = prefix

    def another(self) -> RuledWriter:
        """One for another response to the same request, which isn't asked about; it takes this one's place."""
        assert self._request is not None
        writer = RuledWriter(self.host, self.loop)
        writer.begin(self._request, self.prefix)
        writer.asking = False
        self._request._payload_writer = writer
        return writer

    async def write_headers(self, status_line: str, headers: CIMultiDict[str]) -> None:
        """Send the head, unless a rule wants something else; it may leave together with the first of the body."""
        self._status = int(status_line[9:12])  # "HTTP/1.1 200 OK"
        if self.lie is not None:
            return
        armed = self.asking and self._may_be_meant()
        if armed and (verdict := await self._ask("response")) is not None:
            await self._before_head(verdict)
            if self.lie is not None:
                return
        assert self._request is not None
        await super().write_headers(status_line, headers)
        self.host.note_head(self._request, status_line, headers, self._headers_buf)
        if armed and (verdict := await self._ask("headers")) is not None:
            self.send_headers()
            await self.drain()
            await interrupt(self.host, "headers", verdict)

    def _may_be_meant(self) -> bool:
        """Whether a rule may mean this answer's head or, where the whole body is one short piece, its body."""
        gate, outlook, request = self.host.connection.gate, self.host.outlook, self._request
        if gate is None or request is None or outlook is None:
            return False
        foreseen, expected, outlook.status = outlook.foreseen, outlook.status, self._status
        if foreseen is not None and expected == self._status and foreseen == gate.stamp:
            self._quiet = foreseen
            return False
        if not gate.armed:
            return False
        self._quiet, message = gate.stamp, request._message
        answer = message.method, message.path, self._status
        if gate.heeds(ANSWER, lambda: self._fields(request, 0), None, answer):
            self._quiet = None
        return self._quiet is None

    async def _before_head(self, verdict: Verdict) -> None:
        await begin(self.host, "response", verdict)
        if verdict.say is not None:
            self.lie = refusal(verdict.say)
        elif verdict.respond is not None:
            assert isinstance(self._request, web.Request)
            self.lie = stub(self._request, verdict.respond)
        elif verdict.silence:
            await self.host.hush()
        elif verdict.hang_up:
            raise HungUpError
        if self.lie is not None and verdict.hang_up:
            self.lie.force_close()

    def _ask(self, verb: str, octets: int | None = None) -> Awaitable[Verdict | None]:
        gate, request = self.host.connection.gate, self._request
        if gate is None or request is None:
            return NOTHING
        fields = self._fields(request, octets)
        return gate.ask(verb, **fields) if gate.heeds(verb, fields) else NOTHING

    def _fields(self, request: web.BaseRequest, octets: int | None) -> dict[str, Scalar]:
        fields: dict[str, Scalar] = {"method": request.method, "path": path_of(request), "status": self._status}
        if octets is not None:
            fields["octets"] = octets
        return fields

    def write(self, chunk: Any, *, drain: bool = True, LIMIT: int = 0x10000) -> Any:  # noqa: ANN401 - aiohttp's
        """Send some of the body; to be awaited."""
        if not self._status:
            return super().write(chunk, drain=drain, LIMIT=LIMIT)
        if self.lie is not None:
            return _nothing()
        gate = self.host.connection.gate
        if self.asking and gate is not None and gate.armed and gate.asks("body"):
            return self._write_pieces(memoryview(chunk).cast("B"))
        self._sent += len(chunk)
        self.host.bodies.sent(chunk)
        return super().write(chunk, drain=drain, LIMIT=LIMIT)

    async def _write_pieces(self, octets: memoryview) -> None:
        for at in range(0, len(octets), PIECE):
            if (verdict := await self._ask("body", octets=self._sent)) is not None:
                self.send_headers()
                await self.drain()
                await interrupt(self.host, "body", verdict)
            piece = octets[at : at + PIECE]
            self._sent += len(piece)
            self.host.bodies.sent(piece)
            await super().write(bytes(piece))

    def write_eof(self, chunk: bytes = b"") -> Any:  # noqa: ANN401 - a coroutine, without one more around it
        """Send the last of the body; to be awaited."""
        if self.lie is not None:
            return _nothing()
        if chunk and self.asking and self._minds(len(chunk)):
            return self._end_in_pieces(chunk)
        if self._request is not None:
            self.host.bodies.ended(chunk, self._request)
        return super().write_eof(chunk)

    def _minds(self, octets: int) -> bool:
        """Whether the last of a body has to go in pieces that rules are asked about; where it is one piece they are asked at once."""
        gate, quiet = self.host.connection.gate, self._quiet
        if gate is None:
            return False
        if quiet is not None and octets <= PIECE and not self._sent and quiet == gate.stamp:
            return False
        if not gate.armed:
            return False
        if octets > PIECE or self._request is None:
            return gate.asks("body")
        return gate.heeds("body", self._fields(self._request, self._sent))

    async def _end_in_pieces(self, chunk: bytes) -> None:
        await self._write_pieces(memoryview(chunk))
        assert self._request is not None
        self.host.bodies.ended(b"", self._request)
        await super().write_eof()

    def set_eof(self) -> None:
        """The message is complete."""
        if self.lie is None:
            super().set_eof()


async def _nothing() -> None:
    return None


class _Nothing:
    """Awaited at once, as often as one likes: no verdict."""

    def __await__(self) -> Iterator[None]:
        return iter(())


NOTHING: Awaitable[Any] = _Nothing()  # type: ignore[assignment]
"""What no rule means, without a coroutine."""


def writer_of(request: web.BaseRequest) -> RuledWriter:
    """The writer of a request that obeys rules."""
    writer = request._payload_writer
    assert isinstance(writer, RuledWriter)
    return writer
