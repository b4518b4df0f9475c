"""How one exchange of a hosted application obeys the rules: before it is dealt with, before its head, after its head, in its body.

Knows aiohttp's server side and the scenario; what a room's own verbs mean the room says in its `House`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http_writer import StreamWriter
from multidict import CIMultiDict

from portyard.commons.exchange_answers import Said, refusal, stub
from portyard.commons.naming import Naming
from portyard.commons.scenario.actions import (
    Action,
    Delay,
    Expect,
    HangUp,
    Kind,
    Respond,
    Say,
    Send,
    Silence,
    action_name,
    kind_of,
)
from portyard.commons.scenario.engine import SessionGate, Stamp
from portyard.commons.scenario.model import Scalar, Verdict
from portyard.commons.scenario.patterns import Pattern, parse_pattern

if TYPE_CHECKING:
    from portyard.commons.hosting import HostedProtocol

Handle = Callable[[Any], Awaitable[web.StreamResponse]]
PIECE = 1024  # octets of a body between two questions, while a rule may mean them


class HungUpError(ConnectionResetError):
    """A rule ended the connection in the midst of an exchange."""

    def __init__(self) -> None:
        super().__init__("hung up by a rule")


def _nobody(_: web.Request) -> None:
    return None


@dataclass(frozen=True, slots=True)
class House:
    """What a room whose exchanges obey rules says of them.

    Attributes:
        naming: Finds a request's sandbox.
        describe: A request's verb and fields.
        login: The login name that a request claims, where it claims an account.
        lie: How a rule's `say` is answered once the deed is done; None where it is told on the way. As a refusal when left out.
        stub: A rule's `respond` as a response; None where the request goes on and its answer is changed on the way.
        verbs: The verbs that a request may have.
    """

    naming: Naming
    describe: Callable[[web.Request], tuple[str, dict[str, Scalar]]]
    login: Callable[[web.Request], str | None] = _nobody
    lie: Callable[[web.Request, str, str], web.StreamResponse | None] = lambda request, verb, text: refusal(text)
    stub: Callable[[web.Request, str, Respond], web.StreamResponse | None] = lambda request, verb, action: stub(
        request, action
    )
    verbs: tuple[str, ...] = ("request",)


def basic_user(headers: Mapping[str, str]) -> str:
    """The user name of Basic credentials (RFC 7617 §2), or ""."""
    scheme, _, rest = headers.get("Authorization", "").strip().partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(rest.strip(), validate=True).partition(b":")[0].decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


def head_of(request: web.Request) -> dict[str, Scalar]:
    """The fields of `exchange_words.HEAD` and `CONTENT`."""
    headers = request.headers
    length = headers.get("Content-Length", "")
    return {
        "method": request.method,
        "path": request.path,
        "query": request.raw_path.partition("#")[0].partition("?")[2],
        "host": headers.get("Host", ""),
        "user_agent": headers.get("User-Agent", ""),
        "origin": headers.get("Origin", ""),
        "login": basic_user(headers),
        "accept": headers.get("Accept", ""),
        "content_type": headers.get("Content-Type", ""),
        "length": int(length) if length.isascii() and length.isdecimal() else 0,
    }


# ── a whole exchange ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left of a script that waits for the client's next request.

    Attributes:
        pattern: What its line must look like.
        steps: What comes then.
    """

    pattern: Pattern
    steps: tuple[Action, ...]


async def ruled(protocol: HostedProtocol, request: web.Request, house: House, within: Handle) -> web.StreamResponse:
    """The answer to a request as the rules want it; `within` is the true one."""
    rest, protocol.rest = protocol.rest, None
    if rest is not None and rest.pattern.matches(f"{request.method} {request.raw_path}"):
        await protocol.resolve(request)
        return await play(protocol, request, rest.steps)
    gate = protocol.connection.gate
    if gate is None:
        return await within(request)
    gate.account = ""  # each request brings its own credentials
    message = request._message
    asked = (message.method, message.path, message.raw_headers)
    if not protocol.quiet.heeds("request", asked, lambda gate: _heeds(gate, request, house)):
        return await within(request)
    verb, fields = house.describe(request)
    verdict = await gate.ask(verb, **fields)
    if verdict is None:
        return await within(request)
    await protocol.resolve(request)
    await begin(protocol, verb, verdict)
    response = await _obeyed(protocol, request, house, within, verb, verdict)
    if verdict.hang_up:
        response.force_close()
    return response


def _heeds(gate: SessionGate, request: web.Request, house: House) -> bool:
    if not any(map(gate.asks, house.verbs)):
        return False
    verb, fields = house.describe(request)
    return gate.heeds(verb, fields)


async def _obeyed(
    protocol: HostedProtocol, request: web.Request, house: House, within: Handle, verb: str, verdict: Verdict
) -> web.StreamResponse:
    if verdict.script is not None:
        return await play(protocol, request, verdict.script)
    if verdict.refuse is not None:
        return refusal(verdict.refuse)
    if verdict.say is not None:
        writer_of(request).lie = house.lie(request, verb, verdict.say)
    elif verdict.respond is not None:
        response = house.stub(request, verb, verdict.respond)
        if response is not None:
            return response
    elif verdict.silence:
        await protocol.hush()
    elif verdict.hang_up:
        raise HungUpError
    return await within(request)


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
        raise HungUpError


async def uploaded(request: web.Request, octets: int) -> None:
    """Ask what is to happen now that so many octets of a body came.

    Raises:
        HungUpError: The connection is to be closed.
    """
    writer = writer_of(request)
    gate = writer.host.connection.gate
    if gate is not None and gate.armed and gate.asks("upload"):
        fields = head_of(request)
        told = {name: fields[name] for name in ("method", "path", "content_type", "length")}
        if (verdict := await gate.ask("upload", **told, octets=octets)) is not None:
            await interrupt(writer.host, "upload", verdict)


# ── scripts ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def play(protocol: HostedProtocol, request: web.Request, steps: tuple[Action, ...]) -> web.StreamResponse:
    """Take a script's steps in place of an answer; `expect` leaves the rest for the client's next request."""
    for place, step in enumerate(steps):
        match step:
            case Delay(delay_s):
                await asyncio.sleep(delay_s)
            case Send(text):
                await send_octets(protocol, text.encode())
            case Say(reply):
                await _give(request, refusal(reply))
            case Respond():
                await _give(request, stub(request, step))
            case Expect(text):
                protocol.rest = Rest(parse_pattern(text), steps[place + 1 :])
                break
            case Silence():
                await protocol.hush()
            case HangUp():
                raise HungUpError
            case _ if kind_of(step) is Kind.BYTES:
                protocol.connection.arm((step,))
    return Said()


async def send_octets(protocol: HostedProtocol, octets: bytes) -> None:
    """Octets as they stand."""
    writer = StreamWriter(protocol, asyncio.get_running_loop())
    writer._write(octets)
    protocol.connection.log.event("data", direction="out", octets=len(octets), text=octets.decode("utf-8", "replace"))
    await writer.drain()


async def _give(request: web.Request, response: web.StreamResponse) -> None:
    """Send a whole response before its time."""
    writer_of(request).another()
    await response.prepare(request)
    await response.write_eof()


# ── the midst of an answer ───────────────────────────────────────────────────────────────────────────────────────────────


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
        self._status = int(status_line.split(" ", 2)[1])
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
        if self._request is None:
            return False
        message, quiet = self._request._message, self.host.quiet
        if quiet.heeds("answer", (message.method, message.path, self._status), self._look):
            return True
        self._quiet = quiet.stamp
        return False

    def _look(self, gate: SessionGate) -> bool:
        assert self._request is not None
        fields = self._fields(self._request, None)
        if gate.heeds("response", fields) or gate.heeds("headers", fields):
            return True
        fields["octets"] = 0
        return gate.heeds("body", fields)

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
        fields: dict[str, Scalar] = {"method": request.method, "path": request.path, "status": self._status}
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
        gate = self.host.connection.gate
        if chunk and self.asking and gate is not None and gate.armed and self._minds(gate, len(chunk)):
            return self._end_in_pieces(chunk)
        self._ended(chunk)
        return super().write_eof(chunk)

    def _ended(self, chunk: bytes) -> None:
        """Note that the body is complete."""
        if self._request is not None:
            self.host.bodies.ended(chunk, self._request.headers)

    def _minds(self, gate: SessionGate, octets: int) -> bool:
        """Whether the last of a body has to go in pieces that rules are asked about; where it is one piece they are asked at once."""
        if octets > PIECE or self._request is None:
            return gate.asks("body")
        if not self._sent and self._quiet is not None and self._quiet == gate.stamp:
            return False
        return gate.heeds("body", self._fields(self._request, self._sent))

    async def _end_in_pieces(self, chunk: bytes) -> None:
        await self._write_pieces(memoryview(chunk))
        self._ended(b"")
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
