"""The layer from both sides, on both loops: whole errands, and how they end."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from portyard.commons.tls.authority import Authority
from portyard.commons.tls.terms import Limits, Terms
from tests.edges.tls.conftest import Run
from tests.edges.tls.peers import (
    BufferedEcho,
    Echo,
    Recorder,
    Served,
    careless,
    connect,
    output_of,
    serving,
    strict,
    talk_with_ssl,
)


@pytest.mark.parametrize("app", [Echo, BufferedEcho])
def test_a_whole_errand_with_python_ssl(authority: Authority, run: Run, app: Callable[[], Any]) -> None:
    async def test() -> None:
        async with serving(authority, app=app) as served:
            said = bytes(range(256)) * 400
            assert await asyncio.to_thread(talk_with_ssl, served.port, strict(authority), said) == said
        kinds = [kind for kind, _ in served.events.all]
        assert kinds[:2] == ["hello", "handshake"]
        hello, agreed = served.events.of("hello")[0], served.events.of("handshake")[0]
        assert hello["hello"].server_name == agreed["server_name"] == "localhost"
        assert agreed["version"] == "TLSv1.3"
        assert agreed["cipher"].startswith("TLS_")
        assert 0 <= hello["seconds"] <= agreed["seconds"] < 60
        assert not served.events.of("failed")

    run(test())


def test_openssl_talks_and_says_goodbye(authority: Authority, run: Run) -> None:
    async def test() -> None:
        async with serving(authority) as served:
            status, _ = await output_of(
                *("openssl", "s_client", "-verify_return_error", "-CAfile", str(authority.ca_path)),
                *("-connect", f"localhost:{served.port}"),
                stdin=b"hello there\n",
            )
            assert status == 0
        assert served.apps[0].heard == b"hello there\n"
        assert served.apps[0].lost.result() is None

    run(test())


def test_the_transport_is_a_whole_asyncio_transport(authority: Authority, run: Run) -> None:
    async def test() -> None:
        async with serving(authority) as served:
            transport, app = await connect(served, authority)
            server = served.apps[0].transport
            assert isinstance(transport, asyncio.Transport)
            assert transport.get_extra_info("ssl_object").version() == "TLSv1.3"
            assert transport.get_extra_info("sslcontext") is not None
            assert transport.get_extra_info("cipher")[1] == "TLSv1.3"
            assert ("DNS", "localhost") in transport.get_extra_info("peercert")["subjectAltName"]
            assert transport.get_extra_info("peername") == server.get_extra_info("sockname")
            assert server.get_extra_info("peername") == transport.get_extra_info("sockname")
            assert server.get_extra_info("socket").fileno() > 0
            assert server.get_extra_info("server_name") == "localhost"
            assert transport.get_extra_info("nothing", "default") == "default"
            assert transport.get_extra_info("compression") is None
            transport.set_write_buffer_limits(high=1000, low=10)
            assert transport.get_write_buffer_limits() == (10, 1000)
            assert transport.get_write_buffer_size() == 0
            transport.writelines([b"a", bytearray(b"b"), memoryview(b"c")])
            transport.write(b"")
            assert await app.hears(3) == b"abc"
            with pytest.raises(TypeError, match="bytes-like"):
                transport.write("text")  # type: ignore[arg-type]
            assert transport.get_protocol() is app
            assert transport.is_reading()
            assert not transport.is_closing()
            transport.close()
            assert transport.is_closing()
            transport.write(b"ignored")
            transport.close()
            assert await app.lost is None
            assert app.calls == ["made", "lost"]
            assert transport.get_extra_info("ssl_object") is None
        assert served.apps[0].calls == ["made", "eof", "lost"]
        assert served.events.of("close_notify") == [{"received": True}]

    run(test())


def test_another_protocol_can_take_over(authority: Authority, run: Run) -> None:
    async def test() -> None:
        async with serving(authority) as served:
            transport, first = await connect(served, authority)
            second = Recorder()
            transport.set_protocol(second)
            transport.write(b"for the second")
            assert await second.hears(14) == b"for the second"
            transport.abort()
            await second.lost
            assert first.calls == ["made"]

    run(test())


def test_paused_reading_delivers_nothing(authority: Authority, run: Run) -> None:
    async def test() -> None:
        async with serving(authority) as served:
            transport, app = await connect(served, authority)
            transport.pause_reading()
            assert not transport.is_reading()
            transport.write(b"x" * 50_000)
            await served_hears(served, 50_000)
            assert not app.heard
            transport.resume_reading()
            assert len(await app.hears(50_000)) == 50_000
            transport.close()
            await app.lost

    run(test())


async def served_hears(served: Served, size: int) -> None:
    await served.apps[0].hears(size)


class PausesAtOnce(Recorder):
    """Takes one piece at a time."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.pause_reading()
        asyncio.get_running_loop().call_soon(self.transport.resume_reading)


def test_a_pause_in_the_midst_loses_nothing_and_the_end_comes_last(authority: Authority, run: Run) -> None:
    async def test() -> None:
        async with serving(authority, app=PausesAtOnce) as served:
            transport, app = await connect(served, authority)
            transport.write(b"x" * 500_000)
            transport.close()
            await app.lost
        assert len(served.apps[0].heard) == 500_000
        assert served.apps[0].calls == ["made", "eof", "lost"]

    run(test())


# how it ends


class SaysAndCloses(Recorder):
    size = 3_000_000

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.write(b"z" * self.size)
        self.transport.close()


def test_closing_sends_everything_first(authority: Authority, run: Run) -> None:
    async def test() -> None:
        async with serving(authority, app=SaysAndCloses) as served:
            heard = await asyncio.to_thread(read_all, served.port, authority)
            assert len(heard) == SaysAndCloses.size
        assert served.apps[0].lost.result() is None

    run(test())


def read_all(port: int, authority: Authority) -> bytes:
    context = authority.client_context()
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as secure,
    ):
        heard = b""
        while got := secure.recv(65_536):
            heard += got
        return heard


def test_terms_without_close_notify_cut_the_stream_short(authority: Authority, run: Run) -> None:
    def choose(hello: Any) -> Terms:
        return Terms(authority.context(), close_notify=False)

    async def test() -> None:
        async with serving(authority, app=SaysAndCloses, choose=choose) as served:
            with pytest.raises(ssl.SSLEOFError):
                await asyncio.to_thread(read_all, served.port, authority)

    run(test())


def test_a_client_that_leaves_without_close_notify_is_noted(authority: Authority, run: Run) -> None:
    async def test() -> None:
        async with serving(authority) as served:
            assert await asyncio.to_thread(talk_with_ssl, served.port, careless()) == b"hello"
        assert served.events.of("close_notify") == [{"received": False}]
        assert served.apps[0].calls == ["made", "eof", "lost"]

    run(test())


def test_unwrap_is_answered(authority: Authority, run: Run) -> None:
    def client(port: int) -> None:
        context = authority.client_context()
        with socket.create_connection(("127.0.0.1", port)) as plain:
            secure = context.wrap_socket(plain, server_hostname="localhost")
            secure.sendall(b"x")
            assert secure.recv(1) == b"x"
            secure.unwrap().close()  # sends close_notify and waits for ours

    async def test() -> None:
        async with serving(authority) as served:
            await asyncio.to_thread(client, served.port)
        assert served.events.of("close_notify") == [{"received": True}]

    run(test())


def test_half_closed_both_ways_on_tls_1_3(authority: Authority, run: Run) -> None:
    class Answers(Recorder):
        def __init__(self) -> None:
            super().__init__()
            self.keep_open = True

        def eof_received(self) -> bool:
            asyncio.get_running_loop().call_soon(self.answer)
            return super().eof_received()

        def answer(self) -> None:
            self.transport.write(b"you said %d bytes" % len(self.heard))
            self.transport.close()

    async def test() -> None:
        async with serving(authority, app=Answers) as served:
            transport, app = await connect(served, authority)
            assert transport.can_write_eof()
            transport.write(b"x" * 1_000_000)
            transport.write_eof()
            with pytest.raises(RuntimeError, match="after write_eof"):
                transport.write(b"more")
            assert await app.hears(22) == b"you said 1000000 bytes"
            assert await app.lost is None
        assert served.apps[0].calls[:2] == ["made", "eof"]

    run(test())


def test_tls_1_2_closes_both_directions_at_once(authority: Authority, run: Run) -> None:
    async def test() -> None:
        async with serving(authority, "tls12_only") as served:
            transport, app = await connect(served, authority)
            assert not transport.can_write_eof()
            with pytest.raises(NotImplementedError):
                transport.write_eof()
            transport.close()
            await app.lost

    run(test())


def test_a_peer_that_never_closes_is_dropped(authority: Authority, run: Run) -> None:
    async def test() -> None:
        async with serving(authority, limits=Limits(drain_s=0.05)) as served:
            plain = socket.create_connection(("127.0.0.1", served.port))
            secure = await asyncio.to_thread(authority.client_context().wrap_socket, plain, server_hostname="localhost")
            await served.events.first("handshake")
            served.apps[0].transport.close()
            assert await served.apps[0].lost is None
            secure.close()

    run(test())


def test_a_peer_that_talks_on_is_dropped(authority: Authority, run: Run) -> None:
    def client(port: int) -> None:
        context = authority.client_context()
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            while True:
                secure.sendall(b"x" * 65_536)

    class Closes(Recorder):
        def data_received(self, data: bytes) -> None:
            self.transport.close()

    async def test() -> None:
        async with serving(authority, app=Closes, limits=Limits(drain_bytes=1_000_000)) as served:
            with pytest.raises(OSError, match=r"reset|pipe|EOF"):
                await asyncio.to_thread(client, served.port)
            assert await served.apps[0].lost is None

    run(test())


def test_a_peer_that_takes_nothing_is_dropped(authority: Authority, run: Run) -> None:
    async def test() -> None:
        async with serving(authority, app=SaysMuch, limits=Limits(flush_s=0.1)) as served:
            plain = socket.socket()
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            plain.connect(("127.0.0.1", served.port))
            secure = await asyncio.to_thread(authority.client_context().wrap_socket, plain, server_hostname="localhost")
            await served.events.first("handshake")
            assert isinstance(await served.apps[0].lost, TimeoutError)
            secure.close()

    run(test())


class SaysMuch(SaysAndCloses):
    size = 20_000_000


def test_abort_is_at_once(authority: Authority, run: Run) -> None:
    async def test() -> None:
        async with serving(authority) as served:
            transport, app = await connect(served, authority)
            transport.write(b"x")
            transport.abort()
            transport.abort()
            assert await app.lost is None
            assert app.calls == ["made", "lost"]

    run(test())
