"""How an open WebSocket obeys rules: asked at each frame, and free while nothing is set."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial

from aiohttp import web

from portyard.commons.exchange import head_of
from portyard.commons.exchange_answers import refusal, stub
from portyard.commons.exchange_writer import NOTHING, HungUpError, begin
from portyard.commons.hosted_requests import hosted
from portyard.commons.scenario.actions import Respond
from portyard.commons.scenario.glance import Glance
from portyard.commons.scenario.model import Scalar, Verdict
from portyard.websocket.core.handshake import tokens
from portyard.websocket.core.outbox import Message
from portyard.websocket.core.verbs import SHOWN_CHARACTERS

FIELDS = web.RequestKey("fields", dict)
"""Header fields of the 101 that a rule wants to be others."""
_SENT = ("send", "fragment")
_MESSAGE = ("message", *_SENT)


def describe(request: web.Request) -> tuple[str, dict[str, Scalar]]:
    """A request as rules see it."""
    fields = head_of(request)
    if "websocket" not in tokens(request.headers.get("Upgrade", "")):
        return "request", fields
    fields["subprotocol"] = request.headers.get("Sec-WebSocket-Protocol", "")
    fields["extensions"] = request.headers.get("Sec-WebSocket-Extensions", "")
    return "upgrade", fields


def lie(request: web.Request, verb: str, text: str) -> web.StreamResponse | None:
    """A false answer: another status, or the upgrade with another subprotocol."""
    if verb != "upgrade":
        return refusal(text)
    request[FIELDS] = {"Sec-WebSocket-Protocol": text}
    return None


def stubbed(request: web.Request, verb: str, action: Respond) -> web.StreamResponse | None:
    """A stub, or the upgrade with other fields in its 101."""
    if verb != "upgrade" or action.status != 101:
        return stub(request, action)
    request[FIELDS] = dict(action.headers)
    return None


class SocketRules:
    """What the rules want of one WebSocket.

    Args:
        request: The upgraded request.
    """

    def __init__(self, request: web.Request) -> None:
        self._protocol = hosted(request)
        self._gate = self._protocol.connection.gate
        self._path = request.path
        fields = partial(_fields_of_fragment, self._path)
        gate = self._gate
        self._glance = None if gate is None else Glance(gate, _MESSAGE, "text", self._path, fields)

    async def ask(self, verb: str, **fields: Scalar) -> Verdict | None:
        """A verdict, its wait and its faults done with; None for what always happens. Silence never returns.

        Raises:
            HungUpError: The connection was closed, without a Close frame.
        """
        verdict = await self.judge(verb, **fields)
        if verdict is not None:
            await self.begin(verb, verdict)
        return verdict

    async def judge(self, verb: str, **fields: Scalar) -> Verdict | None:
        """A verdict of which nothing is done yet."""
        gate = self._gate
        if gate is None or not gate.heeds(verb, fields := {"path": self._path, **fields}):
            return None
        return await gate.ask(verb, **fields)

    def hear(self, message: Message) -> Awaitable[Verdict | None]:
        """As `ask`, of a message that came; without a coroutine where nothing is to be done."""
        return self._obey_about("message", self._fields(message)) if self._may_mean(message) else NOTHING

    def ask_to_send(self, message: Message) -> Awaitable[Verdict | None]:
        """As `ask`, of a message that is to be sent."""
        return self._obey_about("send", self._fields(message))

    def minds(self, message: Message) -> bool:
        """Whether a rule may mean that a message is sent, as a whole or in fragments."""
        gate = self._gate
        return self._may_mean(message) and (gate is None or gate.heeds(_SENT, self.fragment_fields(message)))

    def _may_mean(self, message: Message) -> bool:
        """Whether a rule may mean a message, when it comes or when it is sent: mostly what comes is sent again."""
        glance = self._glance
        if glance is None:
            return False
        if not isinstance(message, str):
            return glance.heeds(message, "", -1 - len(message))  # of octets rules see how many they are
        if message.isascii():
            text = message if len(message) <= SHOWN_CHARACTERS else message[:SHOWN_CHARACTERS]
            return glance.heeds(message, text, len(message))
        # What is so long isn't kept to be compared with the next.
        event = message if len(message) <= SHOWN_CHARACTERS else None
        gate = self._gate
        return gate is not None and gate.heeds(_MESSAGE, partial(self.fragment_fields, message), None, event)

    def _fields(self, message: Message) -> dict[str, Scalar]:
        return _fields_of(self._path, message)

    def fragment_fields(self, message: Message) -> dict[str, Scalar]:
        """What rules are told of a message whose first half was sent."""
        return _fields_of_fragment(self._path, message)

    async def _obey_about(self, verb: str, fields: dict[str, Scalar]) -> Verdict | None:
        gate = self._gate
        verdict = await gate.ask(verb, **fields) if gate is not None else None
        if verdict is not None:
            await self.begin(verb, verdict)
        return verdict

    async def begin(self, verb: str, verdict: Verdict) -> None:
        """Do what a verdict begins with; see `ask`."""
        await begin(self._protocol, verb, verdict)
        if verdict.silence:
            await self._protocol.hush()
        if verdict.hang_up and verdict.refuse is None and verdict.say is None and verdict.script is None:
            self.hang_up()

    def hang_up(self) -> None:
        """Close the connection without a Close frame (the client sees 1006).

        Raises:
            HungUpError: Always.
        """
        if self._protocol.transport is not None:
            self._protocol.transport.close()
        raise HungUpError

    async def hush(self) -> None:
        """Say nothing any more."""
        await self._protocol.hush()

    def arm(self, fault: object) -> None:
        """Put a fault of bytes on the connection."""
        self._protocol.connection.arm((fault,))


def _fields_of(path: str, message: Message) -> dict[str, Scalar]:
    if isinstance(message, str):
        return {"path": path, "opcode": "text", "length": len(message), "text": message[:SHOWN_CHARACTERS]}
    return {"path": path, "opcode": "binary", "length": len(message), "text": ""}


def _fields_of_fragment(path: str, message: Message) -> dict[str, Scalar]:
    fields = _fields_of(path, message)
    fields["octets"] = octets_in(message) // 2
    return fields


def octets_of(message: Message) -> bytes:
    """A message's payload."""
    return message.encode() if isinstance(message, str) else message


def octets_in(message: Message) -> int:
    """How many octets a message's payload has."""
    return len(message) if isinstance(message, bytes) or message.isascii() else len(message.encode())
