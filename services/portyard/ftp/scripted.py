"""What a rule may have a control connection do: say something, say nothing any more, hang up, reset it, or play a script of such steps."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from portyard.commons.scenario.actions import Action, Delay, Expect, HangUp, Kind, Refuse, Say, Send, Silence, kind_of
from portyard.commons.scenario.patterns import parse_pattern
from portyard.commons.wire.sockets import linger_not
from portyard.commons.yard import Connection
from portyard.ftp.core.replies import printable, shown
from portyard.ftp.hosted import AsyncChat
from portyard.ftp.stubbed import Stubbed

if TYPE_CHECKING:
    from portyard.ftp.edge import Room

HUNG_UP = "hung up by a rule"


class Scripted(Stubbed):
    """See Session for the arguments."""

    def __init__(self, room: Room, connection: Connection, sock: socket.socket) -> None:
        self._hushed = False
        self._expecting: asyncio.Future[None] | None = None
        super().__init__(room, connection, sock)

    # Scripts

    async def _play(self, script: tuple[Action, ...]) -> None:
        for step in script:
            if self._closed or self._hushed or not await self._take_step(step):
                return

    async def _take_step(self, step: Action) -> bool:
        """One step of a script; whether the next one follows."""
        match step:
            case Delay(delay_s):
                await asyncio.sleep(delay_s)
            case Say(text) | Refuse(text):
                self._tell(text)
            case Send(text):
                AsyncChat.push(self, text.encode())
                self.pen.reply(printable(text.rstrip("\r\n")))
            case Expect(text):
                return await self._hear(text)
            case Silence():
                self.hush()
            case HangUp():
                self.hang_up()
            case _ if kind_of(step) is Kind.BYTES:
                self.connection.arm((step,))
        return True

    async def _hear(self, pattern: str) -> bool:
        """Wait for the next line; whether it is as a script wants it. Another one is the room's to answer."""
        while not self._held:
            if self._closed or self._heard_all:
                return False
            self._expecting = asyncio.get_running_loop().create_future()
            await self._expecting
        text = (self._held[0] or b"").decode("utf-8", "replace")
        matches = parse_pattern(pattern).matches(text)
        if matches:
            self._held_octets -= len(self._held.popleft() or b"") + 2
            self.pen.command(shown(text))
        return matches

    def _work(self) -> None:
        if self._hushed:
            self._held.clear()
            self._held_octets = 0
        if self._expecting is not None and not self._expecting.done() and (self._held or self._heard_all):
            self._expecting.set_result(None)
        super()._work()

    def _busy(self) -> bool:
        return not self._hushed and super()._busy()

    # Single steps

    def _tell(self, text: str) -> None:
        """Say what a rule wrote: a line, or several."""
        if not (self._closed or self._hushed or self.handshaking):
            lines = text.splitlines()
            AsyncChat.push(self, "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape"))
            self.pen.reply(printable("\r\n".join(lines)))

    def hush(self) -> None:
        """Say nothing any more, whatever comes, until the peer leaves."""
        self._hushed = True
        for timer in (self._idler, self._handshake_timer):
            if timer is not None:
                timer.cancel()
        if self._dtp_acceptor is not None:
            self._dtp_acceptor.close()
        if self.data_channel is not None:
            self.data_channel.freeze()

    def hang_up(self) -> None:
        """Close both connections cleanly."""
        if self._closed:
            return
        self.reason = HUNG_UP
        if self.data_channel is not None:
            self.data_channel.part()
        self.leave()

    def _reset(self) -> None:
        """Close the control connection by RST."""
        self.reason = "reset by a rule"
        self._leaves = False
        self.secured = False  # no goodbye, which would come before the RST
        linger_not(self.socket)
        self.close()

    def _ended(self) -> None:
        if self._expecting is not None and not self._expecting.done():
            self._expecting.set_result(None)
        super()._ended()
