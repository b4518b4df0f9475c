"""How Socket.IO's events obey rules. A session may go over several connections; it is that of the one which opened it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import msgspec
import socketio
from socketio.exceptions import ConnectionRefusedError as RefusedError

from portyard.commons.exchange_writer import begin
from portyard.commons.hosted_protocol import HostedProtocol
from portyard.commons.hosted_requests import hosted
from portyard.commons.sandbox.model import DEFAULT
from portyard.commons.scenario.model import Scalar, Verdict
from portyard.websocket.core.verbs import SHOWN_CHARACTERS


@dataclass(slots=True)
class _Guest:
    """A Socket.IO session.

    Attributes:
        protocol: The connection that opened it.
        sandbox: The sandbox that it named.
        silent: It hears nothing any more.
    """

    protocol: HostedProtocol
    sandbox: str
    silent: bool = False


class EventRules:
    """What the rules want of Socket.IO's sessions.

    Args:
        server: Whose.
    """

    def __init__(self, server: socketio.AsyncServer) -> None:
        self._server = server
        self._guests: dict[str, _Guest] = {}

    def sandbox_of(self, sid: str) -> str:
        """The sandbox of a session."""
        guest = self._guests.get(sid)
        return guest.sandbox if guest is not None else DEFAULT

    def is_silent_to(self, sid: str) -> bool:
        """Whether a rule wants a session to hear nothing any more."""
        guest = self._guests.get(sid)
        return guest is not None and guest.silent

    def left(self, sid: str) -> None:
        """Forget a session."""
        self._guests.pop(sid, None)

    async def enter(self, sid: str, environ: Mapping[str, object], _: object = None) -> None:
        """A client asks to enter.

        Raises:
            RefusedError: A rule doesn't let it in.
        """
        request = environ["aiohttp.request"]
        protocol = hosted(request)  # type: ignore[arg-type]  # what aiohttp's driver puts there
        guest = self._guests[sid] = _Guest(protocol, protocol.sandbox)
        verdict = await self._judge(guest, "enter")
        if verdict is None:
            return
        await begin(protocol, "enter", verdict)
        if verdict.silence:
            await asyncio.get_running_loop().create_future()  # until the client's own patience ends
        if verdict.hang_up:
            self._leave_soon(sid)
        if verdict.refuse is not None or verdict.hang_up:
            self.left(sid)
            raise RefusedError(verdict.refuse or "hung up by a rule")

    async def obey(
        self, event: str, sid: str, arguments: tuple[object, ...], act: Callable[[], Awaitable[object]]
    ) -> object:
        """The acknowledgement of an event as the rules want it; `act` does what it asks for and gives the true one."""
        guest = self._guests.get(sid)
        if guest is None:
            return await act()
        if guest.silent:
            return self._server.not_handled  # which is never acknowledged
        gate = guest.protocol.connection.gate
        if gate is None or not gate.armed:
            return await act()
        verdict = await self._judge(guest, "event", event=event, text=_shown(arguments))
        if verdict is None:
            return await act()
        await begin(guest.protocol, "event", verdict)
        if verdict.hang_up:
            self._leave_soon(sid)
        if verdict.refuse is not None:
            return {"error": verdict.refuse}
        if verdict.silence or (verdict.hang_up and verdict.say is None):
            guest.silent = True
            return self._server.not_handled
        truth = await act()
        return truth if verdict.say is None else _spoken(verdict.say)

    async def _judge(self, guest: _Guest, verb: str, **fields: Scalar) -> Verdict | None:
        gate = guest.protocol.connection.gate
        if gate is None or not gate.armed:
            return None
        return await gate.ask_in(guest.sandbox, verb, fields)

    def _leave_soon(self, sid: str) -> None:
        """Disconnect a session once what is being said to it is on the way."""
        eio_sid = self._server.manager.eio_sid_from_sid(sid, "/")
        self._server.start_background_task(self._server.eio.disconnect, eio_sid)


def _shown(arguments: tuple[object, ...]) -> str:
    return msgspec.json.encode(arguments).decode()[:SHOWN_CHARACTERS]


def _spoken(text: str) -> object:
    """A false acknowledgement: JSON, or the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text
