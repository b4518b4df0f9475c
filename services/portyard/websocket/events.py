"""Socket.IO at /socket.io/: an echo with acknowledgement, rooms to join, leave and broadcast to.

`join(room)`, `leave(room)` and `broadcast(room, *data)` acknowledge with what they did; a member hears `joined`, `left` and
`broadcast`. Every other event comes back under its own name, and its acknowledgement carries the same arguments.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import socketio
from aiohttp import web
from engineio.async_socket import AsyncSocket
from engineio.packet import NOOP, Packet

from portyard.websocket.event_rules import EventRules

MESSAGE_LIMIT = 1024 * 1024  # octets of one packet
WAITING_LIMIT = 1024  # packets that may wait for one client; who reads more slowly is disconnected
PING_INTERVAL_S = 25  # the library's own, which clients expect
PING_TIMEOUT_S = 20
_NAME_LIMIT = 200  # characters of a room's name

_QUIET = logging.getLogger("portyard.websocket.events")
_QUIET.setLevel(logging.ERROR)


def attach(app: web.Application) -> socketio.AsyncServer:
    """Add the Socket.IO server to an application."""
    server = socketio.AsyncServer(
        async_mode="aiohttp",
        cors_allowed_origins=is_near,
        max_http_buffer_size=MESSAGE_LIMIT,
        ping_interval=PING_INTERVAL_S,
        ping_timeout=PING_TIMEOUT_S,
        logger=_QUIET,
        engineio_logger=_QUIET,
    )
    server.attach(app, "socket.io")
    handlers = Events(server)
    for event, handler in (("join", handlers.join), ("leave", handlers.leave), ("broadcast", handlers.broadcast)):
        server.on(event, _ruled(handlers.rules, event, handler))
    server.on("connect", handlers.rules.enter)
    server.on("disconnect", handlers.disconnect)

    async def any_other(event: str, sid: str, *arguments: object) -> object:
        return await handlers.rules.obey(event, sid, arguments, lambda: handlers.echo(event, sid, *arguments))

    server.on("*", any_other)

    async def stop(_: web.Application) -> None:
        await server.shutdown()

    app.on_shutdown.append(stop)
    return server


def _ruled(rules: EventRules, event: str, act: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
    async def handle(sid: str, *arguments: object) -> object:
        return await rules.obey(event, sid, arguments, lambda: act(sid, *arguments))

    return handle


def is_near(origin: str | None) -> bool:
    """Whether a page may use the server: one of this machine, or of a file."""
    if origin is None or origin == "null":
        return True
    try:
        host = urlsplit(origin).hostname or ""
    except ValueError:
        return False
    if host == "localhost" or host.endswith((".localhost", ".test")):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Events:
    """What the server does on each event.

    Args:
        server: Whose events.
    """

    def __init__(self, server: socketio.AsyncServer) -> None:
        self._server = server
        self.rules = EventRules(server)

    async def echo(self, event: str, sid: str, *arguments: object) -> tuple[object, ...]:
        """Any event: back under its own name, and as its acknowledgement."""
        await self._server.emit(event, arguments, to=sid)
        return arguments

    async def join(self, sid: str, room: object = None, *_: object) -> dict[str, object]:
        """Enter a room; the others hear `joined`."""
        if not _is_name(room):
            return _ERROR
        name = self._room(sid, room)
        await self._server.enter_room(sid, name)
        await self._emit("joined", {"room": room, "sid": sid}, name, without=sid)
        return {"room": room, "sid": sid, "members": len(self._members(name))}

    async def leave(self, sid: str, room: object = None, *_: object) -> dict[str, object]:
        """Leave a room; the others hear `left`."""
        if not _is_name(room):
            return _ERROR
        name = self._room(sid, room)
        await self._server.leave_room(sid, name)
        await self._emit("left", {"room": room, "sid": sid}, name)
        return {"room": room, "sid": sid, "members": len(self._members(name))}

    async def broadcast(self, sid: str, room: object = None, *data: object) -> dict[str, object]:
        """Everybody in the room but the sender hears `broadcast`, in the room or not themselves."""
        if not _is_name(room):
            return _ERROR
        name = self._room(sid, room)
        message = {"room": room, "from": sid, "data": data[0] if len(data) == 1 else list(data)}
        return {"room": room, "delivered": await self._emit("broadcast", message, name, without=sid)}

    async def disconnect(self, sid: str, *_: object) -> None:
        """A client left: let go of its long poll, which the library would hold until the next ping is overdue."""
        self.rules.left(sid)
        transport = self._transport(sid)
        if transport is not None and not transport.upgraded:
            await transport.queue.put(Packet(NOOP))

    async def _emit(self, event: str, data: object, name: str, *, without: str | None = None) -> int:
        receivers = [sid for sid in self._members(name) if sid != without]
        for sid in receivers:
            if self.rules.is_silent_to(sid):
                continue
            if self._waiting(sid) >= WAITING_LIMIT:
                await self._server.disconnect(sid)
            else:
                await self._server.emit(event, data, to=sid)
        return len(receivers)

    def _room(self, sid: str, room: object) -> str:
        """A room's name: its sandbox's own, and apart from each client's own room, which has its id for a name."""
        return f"room:{self.rules.sandbox_of(sid)}:{room}"

    def _members(self, name: str) -> list[str]:
        return [sid for sid, _ in self._server.manager.get_participants("/", name)]

    def _waiting(self, sid: str) -> int:
        transport = self._transport(sid)
        return transport.queue.qsize() if transport is not None else 0

    def _transport(self, sid: str) -> AsyncSocket | None:
        return self._server.eio.sockets.get(self._server.manager.eio_sid_from_sid(sid, "/"))


_ERROR: dict[str, object] = {"error": f"a room's name is a string of 1 to {_NAME_LIMIT} characters"}


def _is_name(room: object) -> bool:
    return isinstance(room, str) and 0 < len(room) <= _NAME_LIMIT
