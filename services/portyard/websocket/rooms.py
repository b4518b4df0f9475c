"""`/room/<name>`: everybody in a room gets every message, in the same order; who reads too slowly is closed with 1013."""

from __future__ import annotations

import asyncio
import contextlib

from portyard.websocket.core.model import TRY_AGAIN_LATER
from portyard.websocket.core.outbox import Message, Outbox
from portyard.websocket.sockets import Socket


class Member:
    """Somebody in a room, with what waits to be sent to them.

    Args:
        socket: Their connection.
    """

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._outbox = Outbox()
        self._wake = asyncio.Event()
        self._overflowed = False
        self.task = asyncio.ensure_future(self._run())

    def post(self, message: Message) -> None:
        """Let a message wait for its turn; who has no room for it is on the way out."""
        if not self._overflowed and not self._outbox.put(message):
            self._overflowed = True
            self.task.cancel()
            self.task = asyncio.ensure_future(self._socket.close_soon(TRY_AGAIN_LATER, "too slow for this room"))
        self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while (message := self._outbox.take()) is not None:
                await self._socket.send(message)

    async def leave(self) -> None:
        """Stop sending."""
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await self.task


class Rooms:
    """Every room that somebody is in."""

    def __init__(self) -> None:
        self._members: dict[str, dict[Member, None]] = {}

    async def stay(self, name: str, socket: Socket, *, hears_self: bool) -> None:
        """Be in a room until the socket closes."""
        member = Member(socket)
        room = self._members.setdefault(name, {})
        room[member] = None
        try:
            async for message in socket.messages():
                lie = socket.take_lie()
                if lie is not None:
                    member.post(lie)
                for other in room:
                    if other is not member or (hears_self and lie is None):
                        other.post(message)
        finally:
            del room[member]
            if not room and self._members.get(name) is room:
                del self._members[name]
            await member.leave()
