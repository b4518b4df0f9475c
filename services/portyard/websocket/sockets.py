"""One WebSocket as a conversation: opened or refused, messages in and out, and a close that answers in kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import cache
from typing import cast
from weakref import WeakSet

from aiohttp import WSMsgType, web

from portyard.commons.hosted_requests import is_secure
from portyard.commons.scenario.actions import Action, Delay, Expect, HangUp, Respond, Say, Send, Silence
from portyard.commons.scenario.model import Verdict
from portyard.commons.scenario.patterns import parse_pattern
from portyard.websocket.core.framing import MOST_CONTROL_OCTETS, frame
from portyard.websocket.core.handshake import Refusal, check, subprotocols
from portyard.websocket.core.model import ABNORMAL, GOING_AWAY, MESSAGE_LIMIT, NO_STATUS, Opcode
from portyard.websocket.core.outbox import Message
from portyard.websocket.core.verbs import close_of
from portyard.websocket.obeying import FIELDS, SocketRules, octets_of
from portyard.websocket.transport import framed

CLOSE_TIMEOUT_S = 2.0  # how long we wait for the peer's half of a close

OPEN: web.AppKey[WeakSet[Socket]] = web.AppKey("open", WeakSet)


class Socket:
    """An open WebSocket. Made by `open_socket`.

    Args:
        request: The upgraded request.
        response: aiohttp's side of it.
    """

    def __init__(self, request: web.Request, response: web.WebSocketResponse) -> None:
        self._request = request
        self._response = response
        self._rules = SocketRules(request)
        self._said_close = False
        self._ended = False  # a rule closed it
        self._lie: str | None = None  # what the sender of the message hears in place of its true answer
        self._held: Message | None = None  # a message that ended a script, to be dealt with yet

    @property
    def response(self) -> web.WebSocketResponse:
        """What the handler returns."""
        return self._response

    async def opened(self) -> None:
        """Ask what is to happen before the first frame."""
        subprotocol = self._response.headers.get("Sec-WebSocket-Protocol", "")
        await self._obey(await self._rules.ask("open", subprotocol=subprotocol))

    async def messages(self) -> AsyncIterator[Message]:
        """Each message until the close, as the rules let it through."""
        while not self._ended and (message := await self._next()) is not None:
            self._lie = None
            verdict = await self._rules.hear(message)
            if verdict is None:
                yield message
                continue
            if not await self._obey(verdict):
                continue
            self._lie = verdict.say
            yield message
            if verdict.hang_up:
                self._rules.hang_up()

    async def _next(self) -> Message | None:
        """The next message; pings are answered (RFC 6455 §5.5.2), and a Close with its own code (§5.5.1), which ends it: None."""
        if self._held is not None:
            message, self._held = self._held, None
            return message
        while True:
            heard = await self._response.receive()
            if heard.type is WSMsgType.TEXT or heard.type is WSMsgType.BINARY:
                return cast("Message", heard.data)
            if heard.type is WSMsgType.PING:
                await self._answer_ping(bytes(heard.data))
            elif heard.type is WSMsgType.CLOSE:
                await self._answer_close(heard.data or 1000)
                return None
            elif heard.type is not WSMsgType.PONG:
                return None  # failed or gone; aiohttp has answered it

    # -- rules

    async def _obey(self, verdict: Verdict | None) -> bool:
        """Close or play as a verdict says; False when what was asked about is not to be dealt with."""
        if verdict is None:
            return True
        if verdict.refuse is not None:
            self._ended = True
            await self._close(*close_of(verdict.refuse))
        elif verdict.script is not None:
            await self._play(verdict.script)
        else:
            return True
        if verdict.hang_up:
            self._rules.hang_up()
        return False

    async def _play(self, steps: tuple[Action, ...]) -> None:
        """Take a script's steps: what is sent is a text message, what is expected the client's next one."""
        for step in steps:
            match step:
                case Delay(delay_s):
                    await asyncio.sleep(delay_s)
                case Send(text) | Say(text) | Respond(body=text):
                    await self._send(text)
                case Expect(text):
                    message = await self._next()
                    if message is None:
                        return
                    if not parse_pattern(text).matches(message if isinstance(message, str) else ""):
                        self._held = message
                        return
                case Silence():
                    await self._rules.hush()
                case HangUp():
                    self._rules.hang_up()
                case _:
                    self._rules.arm(step)

    def take_lie(self) -> str | None:
        """What the sender of the last message is to hear in place of the true answer, once."""
        lie, self._lie = self._lie, None
        return lie

    async def answer(self, message: Message) -> None:
        """Send the answer to the last message, or what a rule puts in its place."""
        lie = self.take_lie()
        await self.send(message if lie is None else lie)

    # -- frames

    async def send(self, message: Message) -> None:
        """Send one message; returns when the peer reads fast enough for more."""
        if not self._rules.minds(message):
            await self._send(message)
            return
        verdict = await self._rules.ask_to_send(message)
        if verdict is not None:
            if not await self._obey(verdict):
                return
            message = message if verdict.say is None else verdict.say
        if not await self._sent_in_fragments(message):
            await self._send(message)
        if verdict is not None and verdict.hang_up:
            self._rules.hang_up()

    async def _send(self, message: Message) -> None:
        if isinstance(message, str):
            await self._response.send_str(message)
        else:
            await self._response.send_bytes(message)

    async def _sent_in_fragments(self, message: Message) -> bool:
        """Whether a rule had the message sent so."""
        fields = self._rules.fragment_fields(message)
        verdict = await self._rules.judge("fragment", **fields)
        if verdict is None:
            return False
        await self._send_in_fragments(message, verdict)
        return True

    async def _send_in_fragments(self, message: Message, verdict: Verdict) -> None:
        """Two frames for a message (RFC 6455 §5.4), and between them what a rule wants."""
        opcode, payload = (Opcode.TEXT if isinstance(message, str) else Opcode.BINARY), octets_of(message)
        first = len(payload) // 2
        self._write(frame(opcode, payload[:first], fin=False))
        await self._rules.begin("fragment", verdict)
        self._write(frame(Opcode.CONTINUATION, payload[first:], fin=True))

    def _write(self, octets: bytes) -> None:
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the connection is gone")
        transport.write(octets)

    async def _answer_ping(self, payload: bytes) -> None:
        verdict = await self._rules.ask("ping", length=len(payload))
        if verdict is not None:
            if not await self._obey(verdict):
                return
            payload = payload if verdict.say is None else verdict.say.encode()[:MOST_CONTROL_OCTETS]
        await self._response.pong(payload)
        if verdict is not None and verdict.hang_up:
            self._rules.hang_up()

    async def close(self, code: int, reason: str = "") -> None:
        """Close with a code; ABNORMAL just ends the connection, NO_STATUS sends a Close without a code."""
        if self._ended:
            return
        verdict = await self._rules.ask("close", code=code, by="server")
        if verdict is not None and verdict.say is not None:
            code, reason = close_of(verdict.say)
        await self._close(code, reason)

    async def _close(self, code: int, reason: str = "") -> None:
        if code == ABNORMAL:
            self.abort()
        elif code == NO_STATUS:
            self._said_close = True
            await self._response.send_frame(b"", WSMsgType.CLOSE)
            await self._wait_for_close()
        else:
            await self._response.close(code=code, message=reason.encode())

    async def close_soon(self, code: int, reason: str) -> None:
        """Close, and don't wait for a peer that doesn't read."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._response.close(code=code, message=reason.encode(), drain=False)
        except TimeoutError:
            pass
        finally:
            self.abort()

    def abort(self) -> None:
        """End the connection without another word."""
        transport = self._request.transport
        if transport is not None:
            transport.abort()

    async def _answer_close(self, code: int) -> None:
        if not self._said_close:
            verdict = await self._rules.ask("close", code=code, by="client")
            code, reason = (code, "") if verdict is None or verdict.say is None else close_of(verdict.say)
            await self._response.close(code=code, message=reason.encode(), drain=False)
        elif self._request.transport is not None:
            self._request.transport.close()

    async def _wait_for_close(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                while await self._next() is not None:
                    pass
        except TimeoutError:
            self.abort()


async def open_socket(request: web.Request, *, subprotocol: str | None = None) -> Socket:
    """Upgrade a request.

    Args:
        request: The opening handshake.
        subprotocol: What to answer with, even if the client never offered it; "" for none; None for the client's first.

    Raises:
        web.HTTPException: It isn't one; the response says why.
    """
    refusal = check(request.headers, (request.version.major, request.version.minor))
    if refusal is not None:
        raise refused(refusal)
    offered = subprotocols(request.headers)
    response = web.WebSocketResponse(
        timeout=CLOSE_TIMEOUT_S,
        autoclose=False,
        autoping=False,
        protocols=offered[:1] if subprotocol is None else (),
        max_msg_size=MESSAGE_LIMIT + 1,  # aiohttp refuses what is as long as this
    )
    if subprotocol:
        response.headers["Sec-WebSocket-Protocol"] = subprotocol
    await response.prepare(request)
    socket = Socket(request, response)
    request.app[OPEN].add(socket)
    await socket.opened()
    return socket


def refused(refusal: Refusal) -> web.HTTPException:
    """A refusal as something to raise."""
    return _kind_of(refusal.status)(headers=refusal.headers, text=f"{refusal.status}: {refusal.reason}\n")


@cache
def _kind_of(status: int) -> type[web.HTTPException]:
    """Aiohttp has an exception for each registered status only; a path may name any."""
    return type("Refused", (web.HTTPException,), {"status_code": status})


async def note_extension(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Tell the connection what was agreed on before the first frame comes, and tell the client what a rule wants it to hear."""
    framed(request).extended = "permessage-deflate" in response.headers.get("Sec-WebSocket-Extensions", "")
    if response.status == 101 and (fields := request.get(FIELDS)):
        response.headers.update(fields)


async def close_all(app: web.Application) -> None:
    """1001 to everybody who is still here (RFC 6455 §7.4.1)."""
    sockets: WeakSet[Socket] = app[OPEN]
    await asyncio.gather(*(socket.close_soon(GOING_AWAY, "the room closes") for socket in list(sockets)))


def base_of(request: web.Request) -> str:
    """Scheme and authority of this room's WebSocket URLs, as the client reached us."""
    return f"{'wss' if is_secure(request) else 'ws'}://{request.host}"
