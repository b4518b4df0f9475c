"""A client's end of a session: of a core's, without a socket, or of an edge's, with a real one."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Protocol

from portyard.commons.conversation import greeted
from portyard.commons.effects import (
    Abort,
    Arm,
    Authenticated,
    Close,
    Effect,
    Expect,
    Framing,
    Hear,
    Hush,
    Joins,
    Note,
    Pause,
    Send,
    Session,
    StartTls,
    Unwatch,
    Watch,
)
from portyard.commons.events import Gone, MailboxChanged, Timeout, TlsStarted
from portyard.commons.scenario.engine import SessionGate
from portyard.commons.scenario.obeying import continued
from portyard.commons.yard import Yard

LIMIT_S = 30.0  # how long an edge may take for one line before the talk fails


class Peer(Protocol):
    """One client's end of a session, over a core or a socket."""

    async def send(self, data: bytes) -> None: ...

    async def line(self) -> str | None:
        """The server's next line without its ending; None once it has closed. Raises TimeoutError when none comes."""

    async def start_tls(self) -> None: ...

    async def silence(self) -> None:
        """Let the server's patience run out."""

    async def close(self) -> None: ...


class CorePeer:
    """A client's end of a core: no socket, no clock; octets go through framing into the session."""

    def __init__(self, session: Session, framing: Framing, yard: Yard, gate: SessionGate | None = None) -> None:
        self._gate = gate
        self._session = session
        self._framing = framing
        self._yard = yard
        self._out = bytearray()
        self._closed = False
        self._upgrading = False
        self._watching: AsyncIterator[None] | None = None
        self._opened = False
        self._hushed = False
        self._hearing: Hear | None = None
        self.paused_s = 0.0
        self._stale = False

    async def send(self, data: bytes) -> None:
        await self._begin()
        if self._upgrading:
            self._framing.clear()
            return
        self._framing.feed(data)
        await self._turn()

    async def _turn(self) -> None:
        while not self._closed and not self._upgrading and not self._hushed:
            event = self._framing.next_event()
            if event is None:
                return
            self._session.transcript(event)
            hearing, self._hearing = self._hearing, None
            rest = continued(hearing, event) if hearing is not None else None
            await self._obey(rest or self._session.receive(event))

    async def line(self) -> str | None:
        await self._begin()
        while True:
            end = self._out.find(b"\r\n")
            if end >= 0:
                line = bytes(self._out[:end])
                del self._out[: end + 2]
                return line.decode("utf-8", "backslashreplace")
            if self._closed:
                return None
            if self._watching is None:
                raise TimeoutError
            await asyncio.wait_for(anext(self._watching), LIMIT_S)
            await self._obey(self._session.receive(MailboxChanged()))

    async def start_tls(self) -> None:
        assert self._upgrading, "the core didn't ask for an upgrade"
        self._upgrading = False
        self._framing.clear()
        await self._obey(self._session.receive(TlsStarted("TLSv1.3", "TLS_AES_256_GCM_SHA384")))

    async def silence(self) -> None:
        await self._begin()
        assert self._session.timeout_s is not None, "the core waits for ever"
        await self._obey(self._session.receive(Timeout()))

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._obey(self._session.receive(Gone()))
        await self._unwatch()

    async def _begin(self) -> None:
        if not self._opened:
            self._opened = True
            await self._obey(greeted(self._gate, self._session))

    async def _obey(self, effects: AsyncIterator[Effect]) -> None:
        async for effect in effects:
            match effect:
                case Send(data):
                    self._out += data
                case Expect(mode):
                    self._framing.expect(mode)
                case StartTls():
                    self._upgrading = True
                    self._framing.clear()
                case Watch(mailbox_id):
                    await self._unwatch()
                    self._watching = self._yard.watcher.watch(mailbox_id)
                case Unwatch():
                    await self._unwatch()
                case Pause(seconds):
                    self.paused_s += seconds
                case Hush():
                    self._hushed = True
                    break
                case Hear():
                    self._hearing = effect
                case Joins(sandbox):
                    if self._gate is not None:
                        self._gate.sandbox = sandbox
                case Authenticated() | Note() | Arm():
                    pass
                case Close() | Abort():
                    self._closed = True
                    break

    async def _unwatch(self) -> None:
        watching, self._watching = self._watching, None
        if watching is not None and hasattr(watching, "aclose"):
            await watching.aclose()


class SocketPeer:
    """A client's end of an edge: a real socket, and real TLS when upgraded."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext) -> None:
        self._reader = reader
        self._writer = writer
        self._context = context

    @classmethod
    async def connect(cls, port: int, context: ssl.SSLContext, *, implicit: bool = False) -> SocketPeer:
        tls = {"ssl": context, "server_hostname": "localhost"} if implicit else {}
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 20, **tls), context)

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def line(self) -> str | None:
        try:
            line = await self._reader.readuntil(b"\r\n")
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            rest = error.partial if isinstance(error, asyncio.IncompleteReadError) else b""
            return rest.decode("utf-8", "backslashreplace") if rest else None
        return line[:-2].decode("utf-8", "backslashreplace")

    async def start_tls(self) -> None:
        await self._writer.start_tls(self._context, server_hostname="localhost")

    async def silence(self) -> None:
        raise NotImplementedError("silence is played at the core's height: the edge's clock can't be moved")

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await self._writer.wait_closed()
