"""Peers of the TLS layer: a server around it, applications behind it, and independent clients before it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

from portyard.commons.tls.authority import Authority
from portyard.commons.tls.layer import connect_tls, serve_tls
from portyard.commons.tls.terms import DEFAULT_LIMITS, Choose, Limits
from portyard.commons.tls.transport import TlsTransport
from tests.support.standard_input import holding


class Recorder(asyncio.Protocol):
    """Keeps what it hears; `lost` is the future of connection_lost's argument."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.heard = bytearray()
        self.eof = asyncio.Event()
        self.calls: list[str] = []
        self.lost: asyncio.Future[Exception | None] = loop.create_future()
        self.some = asyncio.Event()
        self.keep_open = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none of its subclasses
        self.calls.append("made")

    def data_received(self, data: bytes) -> None:
        self.heard += data
        self.some.set()

    def eof_received(self) -> bool:
        self.calls.append("eof")
        self.eof.set()
        return self.keep_open

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append("lost")
        self.lost.set_result(exc)  # raises on a second call

    async def hears(self, size: int) -> bytes:
        while len(self.heard) < size:
            self.some.clear()
            await self.some.wait()
        return bytes(self.heard)


class Echo(Recorder):
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.write(data)


class BufferedEcho(asyncio.BufferedProtocol):
    """Through a buffer smaller than a record."""

    def __init__(self) -> None:
        self.buffer = bytearray(1000)
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none of its subclasses

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.transport.write(memoryview(self.buffer)[:nbytes])

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


class Events:
    """An `on_event` that remembers, and that can be waited for."""

    def __init__(self) -> None:
        self.all: list[tuple[str, dict[str, Any]]] = []
        self._changed = asyncio.Event()

    def __call__(self, kind: str, /, **fields: Any) -> None:
        self.all.append((kind, fields))
        self._changed.set()

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [fields for each, fields in self.all if each == kind]

    async def first(self, kind: str) -> dict[str, Any]:
        while not self.of(kind):
            self._changed.clear()
            await self._changed.wait()
        return self.of(kind)[0]


class Served:
    def __init__(self, port: int) -> None:
        self.port = port
        self.events = Events()
        self.apps: list[Any] = []


@contextlib.asynccontextmanager
async def serving(
    authority: Authority,
    recipe: str = "good",
    *,
    app: Callable[[], Any] = Echo,
    choose: Choose | None = None,
    limits: Limits = DEFAULT_LIMITS,
    handshake_timeout: float = 60.0,
    sndbuf: int | None = None,
) -> AsyncIterator[Served]:
    """A server on a free port; leaves when every application that was connected has been lost."""
    loop = asyncio.get_running_loop()
    served = Served(0)

    def make() -> Any:
        served.apps.append(app())
        return served.apps[-1]

    def factory() -> asyncio.BaseProtocol:
        return serve_tls(
            make, choose or (lambda hello: authority.context(recipe)), served.events, handshake_timeout, limits
        )

    listening = socket.create_server(("127.0.0.1", 0))
    if sndbuf is not None:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, sndbuf)
    server = await loop.create_server(factory, sock=listening)
    served.port = listening.getsockname()[1]
    try:
        yield served
        for each in served.apps:
            await asyncio.wait_for(asyncio.shield(each.lost), 60)
    finally:
        server.close()
        await server.wait_closed()


async def connect(served: Served, authority: Authority, *, both: bool = True) -> tuple[TlsTransport, Recorder]:
    """Connect; on TLS 1.3 a client is through before its server is, so wait for `both`."""
    where = "127.0.0.1", served.port
    transport, app = await connect_tls(Recorder, *where, authority.client_context(), "localhost")
    if both:
        await served.events.first("handshake")
    return transport, app


def strict(authority: Authority) -> ssl.SSLContext:
    """Python 3.13's default verification, on any Python."""
    context = ssl.create_default_context(cadata=authority.ca_pem.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def careless(level: int | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if level is not None:
        context.set_ciphers(f"DEFAULT:@SECLEVEL={level}")
    return context


def talk_with_ssl(port: int, context: ssl.SSLContext, say: bytes = b"hello", host: str = "localhost") -> bytes:
    """A blocking client of Python's own: says, hears as much, says goodbye properly."""
    with (
        socket.create_connection(("127.0.0.1", port), 60) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        secure.sendall(say)
        heard = b""
        while len(heard) < len(say):
            got = secure.recv(65_536)
            if not got:
                break
            heard += got
        return heard


async def output_of(*command: str, stdin: bytes = b"") -> tuple[int, str]:
    """Run a client; its exit status and what it printed."""
    with holding(stdin) as given:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=given, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
    printed, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, printed.decode("utf-8", "replace")
