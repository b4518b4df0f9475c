"""TLS over the loop's plain transports, for every listener and every client, implicit or as an upgrade.

The ClientHello is read before a TLS object exists, so that whoever steers can choose certificate, versions and demands by it; and an alert
is sent, and given time to arrive, before a connection is closed. Works the same on asyncio's own loop and on uvloop.

    connection = serve_tls(factory, lambda hello: authority.context("good"), on_event=journal)
    await loop.connect_accepted_socket(lambda: connection, sock)
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar, cast

from portyard.commons.tls.connection import TlsConnection
from portyard.commons.tls.engine import Engine
from portyard.commons.tls.terms import DEFAULT_LIMITS, Choose, Limits, OnEvent, ignore_events
from portyard.commons.tls.transport import TlsTransport

AppT = TypeVar("AppT", bound=asyncio.BaseProtocol)


class PlaintextPending(ConnectionAbortedError):
    """Bytes stood behind the command that asked for TLS, and the caller wanted none of it."""


def serve_tls(
    app: asyncio.BaseProtocol | Callable[[], asyncio.BaseProtocol],
    choose: Choose,
    on_event: OnEvent = ignore_events,
    handshake_timeout: float = DEFAULT_LIMITS.handshake_s,
    limits: Limits = DEFAULT_LIMITS,
) -> TlsConnection:
    """Make the server's side of an implicit TLS connection.

    Args:
        app: The application's protocol, or what makes it. Its `connection_made` is called with a `TlsTransport` after a good handshake; of
            any other it never hears, unless the choice is to go on in plaintext.
        choose: The answer to the ClientHello.
        on_event: Told of everything.
        handshake_timeout: Seconds for the whole handshake.
        limits: The other limits.

    Returns:
        The protocol to give to `loop.connect_accepted_socket`, `loop.create_server`, or `take_over`.
    """

    def attach(transport: asyncio.Transport) -> asyncio.BaseProtocol:
        made = app if isinstance(app, asyncio.BaseProtocol) else app()
        transport.set_protocol(made)
        made.connection_made(transport)
        return transport.get_protocol()  # it may have handed over already

    return TlsConnection(attach, on_event, replace(limits, handshake_s=handshake_timeout), choose=choose)


async def upgrade_server(
    transport: asyncio.Transport,
    app: asyncio.BaseProtocol,
    choose: Choose,
    on_event: OnEvent = ignore_events,
    handshake_timeout: float = DEFAULT_LIMITS.handshake_s,
    *,
    pending: bytes = b"",
    drop_if_pending: bool = False,
    prelude: bytes = b"",
    limits: Limits = DEFAULT_LIMITS,
) -> TlsTransport:
    """Turn a plaintext connection into TLS, after the go-ahead was written and before anything else is read.

    What was read in plaintext behind the client's command, before the go-ahead, came from nobody knows whom (a command injection). It
    becomes neither TLS nor data: the caller empties its buffers and says here, as `pending`, what was in them. What was read after the
    go-ahead is the `prelude`; where it is no ClientHello, the handshake fails.

    Args:
        transport: The plaintext transport; its protocol is replaced. The go-ahead may still be in its buffer.
        app: Who gets the data from now on. Its `connection_made` isn't called again; its `connection_lost` is called once, even if the
            handshake fails.
        choose: The answer to the ClientHello.
        on_event: Told of everything.
        handshake_timeout: Seconds for the whole handshake.
        pending: What the caller had read before it wrote the go-ahead; discarded and told as `pending_discarded`.
        drop_if_pending: Drop the connection instead where `pending` isn't empty.
        prelude: What came after the go-ahead was written and before this call: the head of the ClientHello.
        limits: The other limits.

    Returns:
        The transport to write to. Nothing is delivered to `app` before the caller has it.

    Raises:
        PlaintextPending: See `drop_if_pending`.
        ssl.SSLError: The handshake failed; the alert is on its way and the connection closes itself.
        ConnectionError: The peer went away.
        TimeoutError: It took too long.
    """
    limits = replace(limits, handshake_s=handshake_timeout)
    connection = TlsConnection(lambda _: app, on_event, limits, choose=choose, app=app, held=True)
    if pending:
        on_event("pending_discarded", size=len(pending))
        if drop_if_pending:
            transport.abort()
            raise PlaintextPending(f"{len(pending)} bytes came in plaintext behind the command")
    return await _upgrade(transport, connection, prelude)


async def upgrade_client(
    transport: asyncio.Transport,
    app: asyncio.BaseProtocol,
    context: ssl.SSLContext,
    server_hostname: str | None,
    on_event: OnEvent = ignore_events,
    handshake_timeout: float = DEFAULT_LIMITS.handshake_s,
    *,
    pending: bytes = b"",
    drop_if_pending: bool = True,
    limits: Limits = DEFAULT_LIMITS,
) -> TlsTransport:
    """Turn a plaintext connection into TLS, after the server's go-ahead was read.

    Args:
        transport: The plaintext transport; its protocol is replaced.
        app: Who gets the data from now on; as in `upgrade_server`.
        context: Versions, trust and certificate.
        server_hostname: Sent as SNI and verified.
        on_event: Told of everything but a hello.
        handshake_timeout: Seconds for the whole handshake.
        pending: What had been read behind the go-ahead: a server that speaks before the handshake is an attack (a response injection).
        drop_if_pending: Whether that drops the connection.
        limits: The other limits.

    Returns:
        The transport to write to.

    Raises:
        PlaintextPending: See `drop_if_pending`.
        ssl.SSLError: The handshake failed.
        ConnectionError: The peer went away.
        TimeoutError: It took too long.
    """
    if pending:
        on_event("pending_discarded", size=len(pending))
        if drop_if_pending:
            transport.abort()
            raise PlaintextPending(f"{len(pending)} bytes came in plaintext behind the go-ahead")
    limits = replace(limits, handshake_s=handshake_timeout)
    engine = Engine(context, server_side=False, server_hostname=server_hostname)
    return await _upgrade(transport, TlsConnection(lambda _: app, on_event, limits, engine=engine, app=app, held=True))


async def connect_tls(
    factory: Callable[[], AppT],
    host: str | None,
    port: int | None,
    context: ssl.SSLContext,
    server_hostname: str | None = None,
    on_event: OnEvent = ignore_events,
    handshake_timeout: float = DEFAULT_LIMITS.handshake_s,
    *,
    sock: socket.socket | None = None,
    session: ssl.SSLSession | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[TlsTransport, AppT]:
    """Connect and shake hands.

    Args:
        factory: Makes the application's protocol, after a good handshake.
        host: Where to connect to; None with `sock`.
        port: Its port; None with `sock`.
        context: Versions, trust and certificate.
        server_hostname: Sent as SNI and verified; `host` where it is None.
        on_event: Told of everything but a hello.
        handshake_timeout: Seconds for the handshake, from the moment that TCP stands.
        sock: A connected socket instead of `host` and `port`.
        session: A session to resume.
        limits: The other limits.

    Returns:
        The transport and the protocol.

    Raises:
        OSError: No connection.
        ssl.SSLError: The handshake failed.
        TimeoutError: It took too long.
    """

    def attach(transport: asyncio.Transport) -> asyncio.BaseProtocol:
        made = factory()
        transport.set_protocol(made)
        made.connection_made(transport)
        return transport.get_protocol()

    loop = asyncio.get_running_loop()
    engine = Engine(context, server_side=False, server_hostname=server_hostname or host, session=session)
    connection = TlsConnection(attach, on_event, replace(limits, handshake_s=handshake_timeout), engine=engine)
    connection.opened = loop.create_future()
    if sock is not None:
        await loop.create_connection(lambda: connection, sock=sock)
    elif host is None or port is None:
        raise ValueError("neither a socket nor host and port to connect to")
    else:
        await loop.create_connection(lambda: connection, host, port)
    with _aborting(connection):
        transport = await connection.opened
    return transport, cast(AppT, transport.get_protocol())


def take_over(transport: asyncio.Transport, connection: TlsConnection, prelude: bytes = b"") -> None:
    """Put TLS between a transport that is in use and its protocol, without waiting for the handshake.

    Args:
        transport: The plaintext transport.
        connection: What `serve_tls` made.
        prelude: What was read since the go-ahead was written.
    """
    transport.set_protocol(connection)
    connection.connection_made(transport)
    if prelude:
        connection.receive(memoryview(prelude))
    transport.resume_reading()  # whoever read plaintext may have paused it


async def _upgrade(transport: asyncio.Transport, connection: TlsConnection, prelude: bytes = b"") -> TlsTransport:
    if transport.is_closing():
        raise ConnectionResetError("the connection is closing")
    connection.opened = asyncio.get_running_loop().create_future()
    take_over(transport, connection, prelude)
    with _aborting(connection):
        upgraded = await connection.opened
    connection.release()
    return upgraded


@contextlib.contextmanager
def _aborting(connection: TlsConnection) -> Iterator[None]:
    """A caller that is cancelled while it waits leaves no half-open connection behind."""
    try:
        yield
    except asyncio.CancelledError:
        connection.abort()
        raise
