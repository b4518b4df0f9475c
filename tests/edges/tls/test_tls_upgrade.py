"""From plaintext to TLS on one connection, from both sides."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from portyard.commons.tls.authority import Authority
from portyard.commons.tls.layer import PlaintextPending, upgrade_client, upgrade_server
from tests.edges.tls.conftest import Run
from tests.edges.tls.peers import Events, Recorder, output_of

Upgrading = Callable[["Plain", bytes], Awaitable[None]]


class Plain(Recorder):
    """Answers `TLS` with `GO` and upgrades; afterwards an echo in capitals. What it hears goes to `heard`."""

    def __init__(self, authority: Authority, recipe: str, drop: bool, timeout: float) -> None:
        super().__init__()
        self.authority, self.recipe, self.drop, self.timeout = authority, recipe, drop, timeout
        self.events = Events()
        self.task: asyncio.Task[None] | None = None
        self.error: BaseException | None = None
        self.secure = False

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.secure:
            self.transport.write(data.upper())
        elif b"\n" in self.heard:
            line, _, rest = bytes(self.heard).partition(b"\n")
            self.heard.clear()
            assert line == b"TLS"
            self.transport.pause_reading()  # as a stream might
            self.task = asyncio.get_running_loop().create_task(self.upgrade(rest))

    async def upgrade(self, pending: bytes) -> None:
        self.transport.write(b"GO\n")
        try:
            self.transport = await upgrade_server(
                self.transport,
                self,
                lambda hello: self.authority.context(self.recipe),
                self.events,
                self.timeout,
                pending=pending,
                drop_if_pending=self.drop,
            )
        except (OSError, TimeoutError) as error:
            self.error = error
        else:
            self.secure = True


@contextlib.asynccontextmanager
async def upgrading(
    authority: Authority, recipe: str = "good", *, drop: bool = False, limit_s: float = 60
) -> AsyncIterator[tuple[int, list[Plain]]]:
    apps: list[Plain] = []

    def make() -> Plain:
        apps.append(Plain(authority, recipe, drop, limit_s))
        return apps[-1]

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], apps
    for app in apps:
        await asyncio.wait_for(app.lost, 60)
        if app.task is not None:
            await app.task
    server.close()


async def ask(port: int, say: bytes = b"TLS\n") -> tuple[asyncio.Transport, Recorder]:
    transport, app = await asyncio.get_running_loop().create_connection(Recorder, "127.0.0.1", port)
    transport.write(say)
    assert await app.hears(3) == b"GO\n"
    app.heard.clear()
    return transport, app


def test_both_sides_upgrade_and_talk(authority: Authority, run: Run) -> None:
    async def test() -> None:
        async with upgrading(authority) as (port, apps):
            plain, app = await ask(port)
            events = Events()
            secure = await upgrade_client(plain, app, authority.client_context(), "localhost", events)
            secure.write(b"hello" * 30_000)
            assert await app.hears(150_000) == b"HELLO" * 30_000
            secure.close()
            assert await app.lost is None
            assert events.of("handshake")[0]["server_name"] == "localhost"
        assert app.calls == ["made", "lost"]  # connection_made isn't repeated
        assert apps[0].calls == ["made", "eof", "lost"]
        assert [kind for kind, _ in apps[0].events.all] == ["hello", "handshake", "close_notify"]

    run(test())


def test_what_was_said_in_plaintext_is_discarded(authority: Authority, run: Run) -> None:
    async def test() -> None:
        async with upgrading(authority) as (port, apps):
            plain, app = await ask(port, b"TLS\ninjected\n")
            secure = await upgrade_client(plain, app, authority.client_context(), "localhost")
            secure.write(b"x")
            assert await app.hears(1) == b"X"
            secure.close()
            await app.lost
        assert bytes(apps[0].heard) == b"x"
        assert apps[0].events.of("pending_discarded") == [{"size": 9}]

    run(test())


def test_or_the_connection_is_dropped(authority: Authority, run: Run) -> None:
    async def test() -> None:
        async with upgrading(authority, drop=True) as (port, apps):
            transport, app = await asyncio.get_running_loop().create_connection(Recorder, "127.0.0.1", port)
            transport.write(b"TLS\ninjected\n")
            await app.lost
        assert isinstance(apps[0].error, PlaintextPending)
        assert apps[0].calls == ["made", "lost"]

    run(test())


def test_plaintext_instead_of_a_handshake_fails_it(authority: Authority, run: Run) -> None:
    async def test() -> None:
        async with upgrading(authority) as (port, apps):
            plain, app = await ask(port)
            plain.write(b"NOOP\n")
            await app.lost
        assert isinstance(apps[0].error, ssl.SSLError)
        assert apps[0].events.of("failed")[0]["reason"] == "plaintext instead of a ClientHello"
        assert apps[0].calls == ["made", "lost"]
        assert not apps[0].heard

    run(test())


def test_a_failed_handshake_sends_its_alert_and_both_hear_of_the_end(authority: Authority, run: Run) -> None:
    async def test() -> None:
        async with upgrading(authority, "tls13_only") as (port, apps):
            plain, app = await ask(port)
            context = authority.client_context()
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
                await upgrade_client(plain, app, context, "localhost")
            assert isinstance(await app.lost, ssl.SSLError)
            await apps[0].lost
        assert isinstance(apps[0].error, ssl.SSLError)
        assert apps[0].calls == ["made", "lost"]

    run(test())


def test_a_silent_client_times_out(authority: Authority, run: Run) -> None:
    async def test() -> None:
        async with upgrading(authority, limit_s=0.05) as (port, apps):
            _, app = await ask(port)
            await app.lost
            assert not app.heard
        assert isinstance(apps[0].error, TimeoutError)
        assert apps[0].calls == ["made", "lost"]

    run(test())


def test_a_server_that_speaks_before_the_handshake_is_left(authority: Authority, run: Run) -> None:
    async def test() -> None:
        async with upgrading(authority) as (port, _):
            plain, app = await ask(port)
            with pytest.raises(PlaintextPending):
                await upgrade_client(plain, app, authority.client_context(), "localhost", pending=b"220 injected")
            await app.lost

    run(test())


def test_a_prelude_is_the_head_of_the_hello(authority: Authority, run: Run) -> None:
    async def test() -> None:
        outgoing = ssl.MemoryBIO()
        incoming = ssl.MemoryBIO()
        client = authority.client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        hello = outgoing.read()
        app, events = Recorder(), Events()
        server = await asyncio.get_running_loop().create_server(lambda: app, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"x")
        await app.hears(1)
        upgrade = upgrade_server(app.transport, app, lambda _: authority.context(), events, prelude=hello[:50])
        upgrading_now = asyncio.create_task(upgrade)
        await asyncio.sleep(0)  # it has the connection now
        writer.write(hello[50:])
        while True:
            heard = await reader.read(65_536)
            assert heard
            incoming.write(heard)
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
        writer.write(outgoing.read())
        transport = await upgrading_now
        assert events.of("hello")[0]["hello"].server_name == "localhost"
        transport.abort()
        await app.lost
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        server.close()

    run(test())


def test_cancelling_the_wait_drops_the_connection(authority: Authority, run: Run) -> None:
    async def test() -> None:
        async with upgrading(authority) as (port, apps):
            _, app = await ask(port)
            task = apps[0].task
            assert task is not None
            task.cancel()
            await asyncio.wait([task])
            await app.lost
            apps[0].task = None
        assert apps[0].calls == ["made", "lost"]

    run(test())


def test_tls_inside_tls(authority: Authority, run: Run) -> None:
    async def test() -> None:
        async with upgrading(authority) as (port, apps):
            plain, app = await ask(port)
            outer = await upgrade_client(plain, app, authority.client_context(), "localhost")
            outer.write(b"ready")
            await app.hears(5)
            server, events = apps[0], Events()
            inner_server = asyncio.create_task(
                upgrade_server(server.transport, server, lambda _: authority.context("tls12_only"), events)
            )
            await asyncio.sleep(0)  # the server waits for the inner hello now
            app.heard.clear()
            inner = await upgrade_client(outer, app, authority.client_context(), "localhost")
            server.transport = await inner_server
            inner.write(b"deep" * 50_000)
            assert await app.hears(200_000) == b"DEEP" * 50_000
            assert inner.get_extra_info("ssl_object").version() == "TLSv1.2"
            inner.close()
            await app.lost

    run(test())


class Words(Recorder):
    """The least of POP3's words, and the upgrade that they lead to."""

    def __init__(self, authority: Authority) -> None:
        super().__init__()
        self.authority, self.events = authority, Events()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.write(b"+OK ready\r\n")

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if bytes(self.heard) == b"STLS\r\n":
            self.heard.clear()
            self.transport.write(b"+OK go\r\n")
            self.task = asyncio.create_task(self.upgrade())

    async def upgrade(self) -> None:
        self.transport = await upgrade_server(self.transport, self, lambda _: self.authority.context(), self.events)


def test_openssl_upgrades(authority: Authority) -> None:
    """s_client's `-starttls` needs a protocol's words; the least of them are spoken here by hand."""

    async def test() -> None:
        apps: list[Words] = []

        def make() -> Words:
            apps.append(Words(authority))
            return apps[-1]

        server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
        where = f"localhost:{server.sockets[0].getsockname()[1]}"
        status, printed = await output_of(
            *("openssl", "s_client", "-starttls", "pop3", "-verify_return_error"),
            *("-CAfile", str(authority.ca_path), "-connect", where),
            stdin=b"said in secret\n",
        )
        assert status == 0, printed
        await apps[0].lost
        assert apps[0].heard == b"said in secret\n"
        server.close()

    asyncio.run(test())
