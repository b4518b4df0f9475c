"""A bare FTP client for tests: says what it is told, checks nothing by itself."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path

from portyard.commons.filestore.model import FileRoot
from portyard.commons.journal.model import JournalEvent
from portyard.commons.scenario.checking import check
from portyard.commons.scenario.parsing import parse_rule
from portyard.commons.tls.recipes import RECIPES
from portyard.commons.yard import Yard
from portyard.ftp.card import CARD
from portyard.ftp.core.verbs import VOCABULARY
from tests.support.yard import Served, open_yard, serve

USER, PASSWORD = "alice", "alice-secret"
LIMIT_S = 30.0
PRELUDES = {
    "logged-in": "S: 220 $\nC: USER $user\nS: 331 $\nC: PASS $password\nS: 230 $\n",
    "greeted": "S: 220 $\n",
}


class Client:
    """A control connection."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext, host: str
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.context = context
        self.host = host
        self._pipes: list[Pipe] = []
        self._securing: asyncio.Task[None] | None = None

    async def reply(self) -> str:
        """The next reply, lines joined by LF; empty when the server closed. Behind a 1xx a data connection has its handshake."""
        reply = await self._lines()
        if reply.startswith("1") and self._securing is not None:
            securing, self._securing = self._securing, None
            await asyncio.wait_for(securing, LIMIT_S)
        return reply

    async def _lines(self) -> str:
        lines: list[str] = []
        while True:
            line = (await asyncio.wait_for(self.reader.readline(), LIMIT_S)).decode("utf-8", "surrogateescape")
            if not line:
                return "\n".join(lines)
            lines.append(line.removesuffix("\r\n"))
            if re.match(r"\d{3} ", line) and line[:3] == lines[0][:3]:
                return "\n".join(lines)

    async def say(self, command: str | bytes) -> None:
        octets = command if isinstance(command, bytes) else command.encode("utf-8", "surrogateescape") + b"\r\n"
        self.writer.write(octets)
        await self.writer.drain()

    async def ask(self, command: str | bytes) -> str:
        await self.say(command)
        return await self.reply()

    async def login(self) -> None:
        await self.ask(f"USER {USER}")
        assert (await self.ask(f"PASS {PASSWORD}")).startswith("230")

    async def start_tls(self) -> None:
        await self.writer.start_tls(self.context, server_hostname="localhost")

    async def passive(self) -> int:
        """EPSV's port."""
        reply = await self.ask("EPSV")
        match = re.search(r"\|\|\|(\d+)\|", reply)
        assert match, reply
        return int(match[1])

    async def data(self, *, tls: bool = False) -> Pipe:
        """A data connection; under TLS its ClientHello goes out at once, as curl's does, and waits for the command."""
        pipe = await self.pipe(await self.passive())
        if tls:
            self._securing = asyncio.create_task(pipe.writer.start_tls(self.context, server_hostname="localhost"))
        return pipe

    async def pipe(self, port: int) -> Pipe:
        """A data connection to a port that was named."""
        pipe = Pipe(*await asyncio.open_connection(self.host, port))
        self._pipes.append(pipe)
        return pipe

    async def store(self, command: str, data: bytes) -> str:
        """An upload; the last reply."""
        pipe = await self.data()
        first = await self.ask(command)
        if not first.startswith("1"):
            await pipe.close()
            return first
        pipe.writer.write(data)
        with contextlib.suppress(ConnectionError):
            await pipe.close()
        return await self.reply()

    async def fetch(self, command: str) -> bytes:
        """A download or listing."""
        pipe = await self.data()
        first = await self.ask(command)
        if not first.startswith("1"):
            await pipe.close()
            raise AssertionError(first)
        data = await asyncio.wait_for(pipe.reader.read(), LIMIT_S)
        await pipe.close()
        last = await self.reply()
        assert last.startswith("226"), last
        return data

    async def close(self) -> None:
        if self._securing is not None:
            self._securing.cancel()
        for writer in (self.writer, *(pipe.writer for pipe in self._pipes)):
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    def reset(self) -> None:
        """Vanish with a RST."""
        reset(self.writer)


class Pipe:
    """A data connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    def reset(self) -> None:
        reset(self.writer)


def reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Ftp:
    """The room, served, with its yard."""

    def __init__(self, yard: Yard, served: Served) -> None:
        self.yard = yard
        self.served = served
        self._clients: list[Client] = []

    async def client(self, *, implicit: bool = False, host: str = "127.0.0.1") -> Client:
        """A greeted client."""
        context = self.served.client_context()
        port = self.served.port("ftps" if implicit else "ftp")
        options = {"ssl": context, "server_hostname": "localhost"} if implicit else {}
        client = Client(*await asyncio.open_connection(host, port, limit=1 << 22, **options), context, host)
        self._clients.append(client)
        assert (await client.reply()).startswith("220 Portyard")
        return client

    async def knock(self, *, implicit: bool = False) -> Client:
        """A client that waits for nothing."""
        context = self.served.client_context()
        options = {"ssl": context, "server_hostname": "localhost"} if implicit else {}
        port = self.served.port("ftps" if implicit else "ftp")
        client = Client(*await asyncio.open_connection("127.0.0.1", port, **options), context, "127.0.0.1")
        self._clients.append(client)
        return client

    async def logged_in(self, *, implicit: bool = False, host: str = "127.0.0.1") -> Client:
        client = await self.client(implicit=implicit, host=host)
        await client.login()
        return client

    async def root(self) -> FileRoot:
        account = await self.yard.accounts.find(USER)
        assert account is not None
        return self.yard.files.root(account)

    async def content(self, path: str) -> bytes:
        with (await self.root()).open(path) as file:
            return file.read()

    async def events(self, kind: str) -> list[JournalEvent]:
        """Every session's events of a kind, the newest session's first."""
        await self.yard.journal.flush()
        found: list[JournalEvent] = []
        for session in await self.yard.journal.sessions("default"):
            found += [event for event in await self.yard.journal.events(session.id) if event.kind == kind]
        return found

    async def handshakes(self) -> list[JournalEvent]:
        """The handshakes that were done or failed, without what was offered in them."""
        return [event for event in await self.events("tls") if not str(event.fields["step"]).endswith("hello")]

    async def rule(self, on: str, sandbox: str = "default", **then: object) -> None:
        """Set a rule; what isn't an action (`where`, `times` …) goes beside `then`."""
        beside = {key: then.pop(key) for key in ("where", "times", "skip", "name") if key in then}
        rule = parse_rule({"on": f"ftp.{on}", **beside, "then": then})
        check(rule, {"ftp": VOCABULARY}, recipes=RECIPES)
        await self.yard.rules.add(sandbox, rule)

    async def close(self) -> None:
        for client in self._clients:
            await client.close()


@contextlib.asynccontextmanager
async def open_ftp(state: Path, **changes: object) -> AsyncIterator[Ftp]:
    """The room on ephemeral ports in a yard of its own."""
    async with open_yard(state, **changes) as yard, serve(yard, CARD) as served:
        ftp = Ftp(yard, served)
        try:
            yield ftp
        finally:
            await ftp.close()
