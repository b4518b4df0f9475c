"""How the layer fails, from both sides, on both loops: what is said, told and left behind."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from typing import Any

import pytest

from portyard.commons.tls.alerts import Alert
from portyard.commons.tls.authority import Authority
from portyard.commons.tls.layer import connect_tls
from portyard.commons.tls.terms import Refused
from tests.edges.tls.conftest import Run
from tests.edges.tls.peers import (
    Recorder,
    Served,
    careless,
    connect,
    serving,
    strict,
    talk_with_ssl,
)


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
        async with serving(authority, handshake_timeout=0.3) as served:
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
