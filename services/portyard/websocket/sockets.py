"""One WebSocket as a conversation: opened or refused, messages in and out, and a close that answers in kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import cache
from weakref import WeakSet

from aiohttp import WSMsgType, web

from portyard.commons.hosting import is_secure
from portyard.websocket.core.handshake import Refusal, check, subprotocols
from portyard.websocket.core.model import ABNORMAL, GOING_AWAY, NO_STATUS
from portyard.websocket.core.outbox import Message
from portyard.websocket.transport import framed

MESSAGE_LIMIT = 16 * 1024 * 1024  # octets of one message, compression undone; beyond it 1009
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
        self._said_close = False

    @property
    def response(self) -> web.WebSocketResponse:
        """What the handler returns."""
        return self._response

    async def messages(self) -> AsyncIterator[Message]:
        """Each message until the close; pings are answered (RFC 6455 §5.5.2), and a Close with its own code (§5.5.1)."""
        while True:
            message = await self._response.receive()
            if message.type is WSMsgType.TEXT or message.type is WSMsgType.BINARY:
                yield message.data
            elif message.type is WSMsgType.PING:
                await self._response.pong(bytes(message.data))
            elif message.type is WSMsgType.CLOSE:
                await self._answer_close(message.data or 1000)
                return
            elif message.type is not WSMsgType.PONG:
                return  # failed or gone; aiohttp has answered it

    async def send(self, message: Message) -> None:
        """Send one message; returns when the peer reads fast enough for more."""
        if isinstance(message, str):
            await self._response.send_str(message)
        else:
            await self._response.send_bytes(message)

    async def close(self, code: int, reason: str = "") -> None:
        """Close with a code; ABNORMAL just ends the connection, NO_STATUS sends a Close without a code."""
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
            await self._response.close(code=code, drain=False)
        elif self._request.transport is not None:
            self._request.transport.close()

    async def _wait_for_close(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                async for _ in self.messages():
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
    return socket


def refused(refusal: Refusal) -> web.HTTPException:
    """A refusal as something to raise."""
    return _kind_of(refusal.status)(headers=refusal.headers, text=f"{refusal.status}: {refusal.reason}\n")


@cache
def _kind_of(status: int) -> type[web.HTTPException]:
    """Aiohttp has an exception for each registered status only; a path may name any."""
    return type("Refused", (web.HTTPException,), {"status_code": status})


async def note_extension(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Tell the connection what was agreed on before the first frame comes."""
    framed(request).extended = "permessage-deflate" in response.headers.get("Sec-WebSocket-Extensions", "")


async def close_all(app: web.Application) -> None:
    """1001 to everybody who is still here (RFC 6455 §7.4.1)."""
    sockets: WeakSet[Socket] = app[OPEN]
    await asyncio.gather(*(socket.close_soon(GOING_AWAY, "the room closes") for socket in list(sockets)))


def base_of(request: web.Request) -> str:
    """Scheme and authority of this room's WebSocket URLs, as the client reached us."""
    return f"{'wss' if is_secure(request) else 'ws'}://{request.host}"
