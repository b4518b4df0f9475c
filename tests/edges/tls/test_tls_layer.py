"""The layer from both sides, on both loops."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any

import pytest

from portyard.commons.tls.alerts import Alert
from portyard.commons.tls.authority import Authority
from portyard.commons.tls.layer import connect_tls
from portyard.commons.tls.terms import Limits, Refused, Terms
from portyard.commons.tls.transport import TlsTransport
from tests.edges.tls.conftest import Run
from tests.edges.tls.peers import (
    BufferedEcho,
    Echo,
    Recorder,
    Served,
    careless,
    output_of,
    serving,
    strict,
    talk_with_ssl,
)


async def connect(served: Served, authority: Authority, *, both: bool = True) -> tuple[TlsTransport, Recorder]:
    """Connect; on TLS 1.3 a client is through before its server is, so wait for `both`."""
    where = "127.0.0.1", served.port
    transport, app = await connect_tls(Recorder, *where, authority.client_context(), "localhost")
    if both:
        await served.events.first("handshake")
    return transport, app


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


# how it fails


@pytest.mark.parametrize("start", [b"GET / HTTP/1.0\r\n\r\n", b"EHLO x\r\n", b"\x00"])
def test_plaintext_is_recognised_and_hears_nothing(authority: Authority, run: Run, start: bytes) -> None:
    async def test() -> None:
        async with serving(authority) as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(start)
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
        (failed,) = served.events.of("failed")
        assert failed["stage"] == "hello"
        assert failed["reason"] == "plaintext instead of a ClientHello"
        assert failed["start"] == start
        assert failed["alert"] is None
        assert not served.apps

    run(test())


@pytest.mark.parametrize(
    ("start", "alert"),
    [
        (b"\x80\x2e\x01\x03\x01", Alert.PROTOCOL_VERSION),
        (b"\x16\x03\x01\x00\x00", Alert.UNEXPECTED_MESSAGE),
        (b"\x16\x03\x01\xff\xff", Alert.RECORD_OVERFLOW),
        (b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", Alert.DECODE_ERROR),
    ],
)
def test_a_bad_hello_gets_its_alert(authority: Authority, run: Run, start: bytes, alert: Alert) -> None:
    async def test() -> None:
        async with serving(authority) as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(start)
            assert await reader.read() == bytes((21, 3, 3, 0, 2, 2, alert))
            writer.close()
            await writer.wait_closed()
        (failed,) = served.events.of("failed")
        assert failed["alert"] == alert.name.lower()

    run(test())


def test_a_chooser_may_refuse_with_an_alert(authority: Authority, run: Run) -> None:
    def choose(hello: Any) -> ssl.SSLContext:
        raise Refused(Alert.UNRECOGNIZED_NAME)

    async def test() -> None:
        async with serving(authority, choose=choose) as served:
            with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
                await asyncio.to_thread(talk_with_ssl, served.port, careless())
        assert served.events.of("failed")[0]["alert"] == "unrecognized_name"

    run(test())


@pytest.mark.parametrize("late", [False, True])
def test_a_chooser_that_breaks_is_our_own_error(authority: Authority, late: bool) -> None:
    async def test() -> None:
        complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

        def now(hello: Any) -> ssl.SSLContext:
            raise KeyError("no_such_recipe")

        async def later(hello: Any) -> ssl.SSLContext:
            raise KeyError("no_such_recipe")

        async with serving(authority, choose=later if late else now) as served:
            with pytest.raises(ssl.SSLError, match="INTERNAL_ERROR"):
                await asyncio.to_thread(talk_with_ssl, served.port, careless())
        assert [type(each["exception"]) for each in complaints] == [KeyError]

    asyncio.run(test())


def test_a_chooser_may_take_its_time(authority: Authority, run: Run) -> None:
    async def choose(hello: Any) -> ssl.SSLContext:
        await asyncio.sleep(0)
        return authority.context("tls12_only")

    async def test() -> None:
        async with serving(authority, choose=choose) as served:
            assert await asyncio.to_thread(talk_with_ssl, served.port, strict(authority)) == b"hello"
        assert served.events.of("handshake")[0]["version"] == "TLSv1.2"

    run(test())


def test_a_stalled_handshake_ends_when_the_client_leaves(authority: Authority, run: Run) -> None:
    async def test() -> None:
        cancelled = asyncio.Event()

        async def choose(hello: Any) -> ssl.SSLContext:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                cancelled.set()
            raise AssertionError

        async with serving(authority, choose=choose) as served:
            connecting = asyncio.create_task(connect(served, authority))
            await served.events.first("hello")
            connecting.cancel()
            await asyncio.wait([connecting])
            failed = await served.events.first("failed")
            assert failed["stage"] == "hello"
        assert connecting.cancelled()
        await cancelled.wait()

    run(test())


@pytest.mark.parametrize("start", [b"", b"\x16\x03\x01\x02\x00\x01"])
def test_a_half_open_handshake_is_closed_in_silence(authority: Authority, run: Run, start: bytes) -> None:
    async def test() -> None:
        async with serving(authority, handshake_timeout=0.05) as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(start)
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
        (failed,) = served.events.of("failed")
        assert (failed["reason"], failed["stage"], failed["alert"]) == ("timed out", "hello", None)
        assert not served.apps

    run(test())


def test_a_client_times_out_as_well(authority: Authority, run: Run) -> None:
    async def test() -> None:
        silent = Recorder()
        server = await asyncio.get_running_loop().create_server(lambda: silent, "127.0.0.1", 0)
        where = server.sockets[0].getsockname()
        with pytest.raises(TimeoutError, match=r"no TLS handshake within 0\.05 s"):
            await connect_tls(Recorder, *where, authority.client_context(), "localhost", handshake_timeout=0.05)
        await silent.lost
        server.close()

    run(test())


def test_a_client_that_vanishes_in_the_handshake(authority: Authority, run: Run) -> None:
    async def test() -> None:
        async with serving(authority) as served:
            plain = socket.create_connection(("127.0.0.1", served.port))
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            plain.sendall(b"\x16\x03")
            plain.close()
            failed = await served.events.first("failed")
            assert failed["stage"] == "hello"
        assert len(served.events.of("failed")) == 1
        assert not served.apps

    run(test())


def test_the_client_side_raises_what_asyncio_would(authority: Authority, run: Run) -> None:
    async def test() -> None:
        async with serving(authority, "self_signed") as served:
            with pytest.raises(ssl.SSLCertVerificationError, match="self-signed"):
                await connect(served, authority)
            failed = await served.events.first("failed")
            assert (failed["alert"], failed["alert_from"]) == ("unknown_ca", "peer")  # ours arrived
        async with serving(authority, "client_certificate_required") as served:
            _, app = await connect(served, authority, both=False)
            lost = await app.lost
            assert isinstance(lost, ssl.SSLError)
            assert lost.reason is not None
            assert "CERTIFICATE_REQUIRED" in lost.reason
            assert app.calls == ["made", "lost"]

    run(test())


def test_a_garbled_record_gets_bad_record_mac(authority: Authority, run: Run) -> None:
    async def test() -> None:
        async with serving(authority, "tls12_only") as served:
            transport, app = await connect(served, authority)
            transport.write(b"fine")
            await app.hears(4)
            transport._tls.plain.write(b"\x17\x03\x03\x00\x20" + bytes(32))
            lost = await app.lost
            assert isinstance(lost, ssl.SSLError)
            assert "BAD_RECORD_MAC" in str(lost.reason)
            server_lost = await served.apps[0].lost
            assert isinstance(server_lost, ssl.SSLError)
        (failed,) = served.events.of("failed")
        assert (failed["stage"], failed["alert"], failed["alert_from"]) == ("open", "bad_record_mac", "us")
        assert served.apps[0].calls == ["made", "lost"]

    run(test())


def test_a_reset_is_a_connection_reset_error(authority: Authority, run: Run) -> None:
    async def test() -> None:
        async with serving(authority) as served:
            plain = socket.create_connection(("127.0.0.1", served.port))
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            context = authority.client_context()
            secure = await asyncio.to_thread(context.wrap_socket, plain, server_hostname="localhost")
            secure.sendall(b"x")
            await served_hears_first(served)
            await asyncio.to_thread(secure.recv, 1)
            secure.close()
            assert isinstance(await served.apps[0].lost, ConnectionResetError)
        assert served.apps[0].calls == ["made", "lost"]

    run(test())


async def served_hears_first(served: Served) -> None:
    await served.events.first("handshake")
    await served.apps[0].hears(1)


class Breaks(Recorder):
    def data_received(self, data: bytes) -> None:
        raise RuntimeError("the application broke")


def test_an_application_that_breaks_is_lost_and_told_of(authority: Authority) -> None:
    async def test() -> None:
        complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with serving(authority, app=Breaks) as served:
            transport, app = await connect(served, authority)
            transport.write(b"x")
            assert isinstance(await served.apps[0].lost, RuntimeError)
            await app.lost
        assert [type(each["exception"]) for each in complaints] == [RuntimeError]

    asyncio.run(test())


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
