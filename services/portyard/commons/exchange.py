"""How one exchange of a hosted application obeys the rules: before it is dealt with, and in its request's body.

Knows aiohttp's server side and the scenario; what a room's own verbs mean the room says in its `House`. What happens in the midst of an
answer is `exchange_writer`'s.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web
from aiohttp.http_writer import StreamWriter

from portyard.commons.clocks import SqlClocks
from portyard.commons.exchange_answers import Said, refusal, stub
from portyard.commons.exchange_outlook import path_of
from portyard.commons.exchange_writer import HungUpError, begin, interrupt, writer_of
from portyard.commons.hosted_requests import SINCE
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
    kind_of,
)
from portyard.commons.scenario.model import Scalar, Verdict
from portyard.commons.scenario.patterns import Pattern, parse_pattern

if TYPE_CHECKING:
    from portyard.commons.hosted_protocol import HostedProtocol

Handle = Callable[[Any], Awaitable[web.StreamResponse]]


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
        clocks: By which what no application answers is dated; None for the machine's.
    """

    naming: Naming
    describe: Callable[[web.Request], tuple[str, dict[str, Scalar]]]
    login: Callable[[web.Request], str | None] = _nobody
    lie: Callable[[web.Request, str, str], web.StreamResponse | None] = lambda request, verb, text: refusal(text)
    stub: Callable[[web.Request, str, Respond], web.StreamResponse | None] = lambda request, verb, action: stub(
        request, action
    )
    verbs: tuple[str, ...] = ("request",)
    clocks: SqlClocks | None = None


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
    protocol, target = cast("HostedProtocol", request._protocol), request._message.path
    known, fields = protocol.described
    if known is not protocol.came:
        protocol.described = protocol.came, fields = protocol.came, _described(request.headers)
    query = target.partition("#")[0].partition("?")[2] if "?" in target else ""
    return {"method": request._method, "path": path_of(request), "query": query, **fields}


def _described(headers: Mapping[str, str]) -> dict[str, Scalar]:
    """What header fields tell: on a kept connection they are mostly the same."""
    length = headers.get("Content-Length", "")
    return {
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
    if rest is not None:
        if rest.pattern.matches(f"{request.method} {request.raw_path}"):
            await protocol.resolve(request)
            return await play(protocol, request, rest.steps)
        if protocol.outlook is None or not protocol.outlook.minds(request, protocol.came):
            return await within(request)
    gate = protocol.connection.gate
    assert gate is not None
    verb, fields = house.describe(request)
    verdict = await gate.ask(verb, **fields)
    if verdict is None:
        return await within(request)
    await protocol.resolve(request)
    if verdict.delay_s:
        request[SINCE] = house.naming.sandboxes.generation_now(protocol.sandbox)
    await begin(protocol, verb, verdict)
    response = await _obeyed(protocol, request, house, within, verb, verdict)
    if verdict.hang_up:
        response.force_close()
    return response


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
