"""A connection that obeys rules before anybody logs in, and the ways in which it falls silent or ends.

Knows asyncssh's connection; the channel and SFTP ask through it too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import asyncssh
from asyncssh.constants import DISC_KEY_EXCHANGE_FAILED, MSG_KEXINIT
from asyncssh.packet import SSHPacket

from portyard.commons.gentle import PartingTransport
from portyard.commons.scenario.actions import action_name
from portyard.commons.scenario.model import Scalar, Verdict
from portyard.commons.yard import Connection
from portyard.ssh.core.words import printable
from portyard.ssh.persona import Dressed

HUNG_UP = "hung up by a rule"
LINGER_S = 1.0  # how long a peer may go on sending after our FIN: unread octets would make it a RST


class Ruled(Dressed):
    """asyncssh's connection, asking at each phase.

    Args:
        loop: The loop.
        options: Its options.
        connection: What the listener knows of it.

    Attributes:
        pen: The journal's.
        gate: The rules'.
        prepare: What has to be waited for before the version line; it may answer with a line to say in its place.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, options: asyncssh.SSHServerConnectionOptions, connection: Connection
    ) -> None:
        super().__init__(loop, options, connection)
        self.prepare: Callable[[], Awaitable[str]] | None = None
        self.pen = connection.log
        self.gate = connection.gate
        self._connection = connection
        self._hushed = False
        self._deciding = False
        self._reason = ""
        self.parting: PartingTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands; at its end the peer is to read our last message."""
        self.parting = PartingTransport(cast(asyncio.Transport, transport), LINGER_S)
        super().connection_made(cast(asyncio.BaseTransport, self.parting))

    def connection_lost(self, exc: Exception | None = None) -> None:
        """The connection is gone, or, by asyncssh's own call, its peer sends no more."""
        if self.parting is not None:
            self.parting.ended()
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """The peer sends no more."""
        if self.parting is not None:
            self.parting.peer_ended = True
        super().eof_received()

    @property
    def armed(self) -> bool:
        """Whether rules have to be asked at all."""
        return self.gate is not None and self.gate.armed and not self._hushed

    def heeds(self, verb: str, fields: Mapping[str, Scalar]) -> bool:
        """Whether rules have to be asked about something; mostly it is known at once that they haven't."""
        return self.gate is not None and not self._hushed and self.gate.heeds(verb, fields)

    async def judged(self, verb: str, /, **fields: Scalar) -> Verdict | None:
        """What rules want; noted, waited for as long as they want, faults armed. None for what always happens."""
        if self.gate is None or self._hushed:
            return None
        verdict = await self.gate.ask(verb, **fields)
        if verdict is not None:
            does = [action_name(action) for action in verdict.actions]
            self.pen.event("fault", verb=verb, rule=verdict.rule, does=does)
            if verdict.delay_s:
                await asyncio.sleep(verdict.delay_s)
            if verdict.faults:
                self._connection.arm(verdict.faults)
        return verdict

    def end_as(self, verdict: Verdict) -> bool:
        """End the connection, or fall silent, if that is wanted; whether it was."""
        if verdict.hang_up:
            self.hang_up()
        elif verdict.silence:
            self.hush()
        return verdict.hang_up or verdict.silence

    def join(self, sandbox: str) -> None:
        """The session belongs to this sandbox from now on."""
        self.pen.join(sandbox)
        if self.gate is not None:
            self.gate.sandbox = sandbox

    # Silence and the end

    def hush(self) -> None:
        """Say nothing any more, whatever comes, until the peer leaves."""
        self._hushed = True
        self._inpbuf = b""
        self._cancel_login_timer()
        self._cancel_keepalive_timer()

    def hang_up(self) -> None:
        """Close cleanly, without a message (RFC 4253 §11.1 has one; a killed server sends none)."""
        transport: Any = self._transport
        self._reason = self._reason or HUNG_UP
        self.hush()
        if transport is not None:
            transport.close()
            self._loop.call_later(LINGER_S, self._force_close, None)

    def data_received(self, data: bytes, datatype: int | None = None) -> None:
        """Octets came."""
        if self._hushed or self._transport is None:  # or the last word is said
            return
        if self._deciding:
            self._inpbuf += data
        else:
            super().data_received(data, datatype)

    def _send(self, data: bytes) -> None:
        if not self._hushed:
            super()._send(data)

    # The version exchange (RFC 4253 §4.2)

    def _send_version(self) -> None:
        if self.armed or self.prepare is not None:
            self._deciding = True
            self.create_task(self._begin())
        else:
            self._say_version(f"SSH-2.0-{self._version.decode()}")

    async def _begin(self) -> None:
        line = await self.prepare() if self.prepare is not None else ""
        if line and self._transport is not None:
            self._say_line(line)
            self.hang_up()
        else:
            await self._ask_greeting()

    async def _ask_greeting(self) -> None:
        version = f"SSH-2.0-{self._version.decode()}"
        verdict = await self.judged("greeting")
        if self._transport is None:
            return
        if verdict is not None and verdict.refuse is not None:
            self._say_line(verdict.refuse)
            self.hang_up()
        elif verdict is not None and verdict.say is not None and not verdict.say.startswith("SSH-"):
            self._say_line(verdict.say)  # §4.2 allows lines before the version's
            self._say_version(version)
            self.end_as(verdict)
        elif verdict is None or not self.end_as(verdict) or verdict.say is not None:
            self._say_version(version if verdict is None or verdict.say is None else verdict.say)
        self._deciding = False
        if self._inpbuf:
            self._recv_data()

    def _say_version(self, line: str) -> None:
        self.pen.event("greeting", text=printable(line))
        self._server_version = line.encode()  # both sides sign it (§8)
        self.set_extra_info(server_version=line)
        self._send(self._server_version + b"\r\n")

    def _say_line(self, line: str) -> None:
        self.pen.reply(printable(line))
        self._send(line.encode() + b"\r\n")

    # Key exchange (RFC 4253 §7)

    async def _process_kexinit(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        if self.armed and not self._session_id:
            verdict = await self.judged("kex", client=self._client_version.decode("ascii", "replace"))
            if verdict is not None:
                if verdict.refuse is not None:
                    self._reason = HUNG_UP
                    raise asyncssh.DisconnectError(DISC_KEY_EXCHANGE_FAILED, verdict.refuse)
                if self.end_as(verdict):
                    return
        await super()._process_kexinit(pkttype, pktid, packet)

    _packet_handlers = {  # noqa: RUF012 - asyncssh's own way
        **Dressed._packet_handlers,
        MSG_KEXINIT: _process_kexinit,
    }
