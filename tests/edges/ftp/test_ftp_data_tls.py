"""When a data connection's handshake begins: behind the transfer's 1xx, however early the ClientHello came."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from portyard.ftp import private
from tests.support.asyncio_tests import LOOPS, run
from tests.support.ftp import LIMIT_S, Ftp, open_ftp
from tests.support.ftp_sessions import reuse


def client_hello(context: ssl.SSLContext) -> bytes:
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


async def data_steps(ftp: Ftp) -> list[object]:
    return [event.fields["step"] for event in await ftp.events("tls") if event.fields["channel"] == "data"]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("watched", [False, True])
def test_a_hello_that_came_early_waits(watched: bool, loop: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            if watched:  # a relay is between
                await ftp.rule("data_connect", delay=0)
                await ftp.rule("transfer", corrupt={"after_octets": 1 << 20})
            client = await ftp.logged_in(implicit=True)
            for command, data in (("STOR f", b"sent"), ("RETR f", b"")):
                pipe = await client.data(tls=True)
                before = await data_steps(ftp)
                assert (await client.ask("TYPE I")).startswith("200")
                assert (await client.ask("NOOP")).startswith("200")
                assert await data_steps(ftp) == before
                assert (await client.ask(command)).startswith("1")
                pipe.writer.write(data)
                if not data:
                    assert await asyncio.wait_for(pipe.reader.read(), LIMIT_S) == b"sent"
                await pipe.close()
                assert (await client.reply()).startswith("226")
            assert await data_steps(ftp) == ["data hello", "data established"] * 2

    run(go(), loop)


def test_a_bad_certificate_is_shown_behind_the_1xx(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule("tls", where={"channel": "data"}, tls="expired")
            client = await ftp.logged_in(implicit=True)
            await client.data(tls=True)
            assert (await client.ask("TYPE I")).startswith("200")
            with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
                await client.ask("NLST")
            assert (await client.reply()).startswith("522")

    run(go())


def test_a_connection_whose_transfer_is_refused_ends_gently(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in(implicit=True)
            pipe = await client.data()
            pipe.writer.write(client_hello(client.context))
            assert (await client.ask("RETR nothing")).startswith("550")
            await client.passive()  # another one takes its place
            assert await asyncio.wait_for(pipe.reader.read(), LIMIT_S) == b""  # no RST
            assert await data_steps(ftp) == []

    run(go())


@pytest.mark.parametrize("early", [False, True])
def test_abor_while_a_handshake_is_under_way(early: bool, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule("tls", where={"channel": "data"}, silence=True)
            client = await ftp.logged_in(implicit=True)
            pipe = await client.data()
            if early:
                pipe.writer.write(client_hello(client.context))
            assert (await client.ask("NLST")).startswith("1")
            assert (await client.ask("ABOR")).startswith("426")
            assert (await client.reply()).startswith("226")
            assert await asyncio.wait_for(pipe.reader.read(), LIMIT_S) == b""
            assert (await client.ask("NOOP")).startswith("200")

    run(go())


def test_its_limit_counts_from_the_1xx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, "HANDSHAKE_S", 0.05)

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule("noop", delay="200ms", times=1)
            client = await ftp.logged_in(implicit=True)
            pipe = await client.data(tls=True)
            assert (await client.ask("NOOP")).startswith("200")  # it would be over by now
            monkeypatch.setattr(private, "HANDSHAKE_S", LIMIT_S)
            assert (await client.ask("NLST")).startswith("1")
            assert await asyncio.wait_for(pipe.reader.read(), LIMIT_S) == b""
            assert (await client.reply()).startswith("226")
            monkeypatch.setattr(private, "HANDSHAKE_S", 0.5)
            await client.data()  # and says nothing
            assert (await client.ask("NLST")).startswith("1")
            assert (await client.reply()).startswith("522")

    run(go())


def test_an_active_connection(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in(implicit=True)
            came: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
            server = await asyncio.start_server(lambda *streams: came.put_nowait(streams), "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            assert (await client.ask(f"EPRT |1|127.0.0.1|{port}|")).startswith("200")
            reader, writer = await came.get()
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = client.context.wrap_bio(incoming, outgoing, server_hostname="localhost")
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            writer.write(outgoing.read())
            assert (await client.ask("NOOP")).startswith("200")
            assert await data_steps(ftp) == []
            assert (await client.ask("NLST")).startswith("1")
            while True:
                incoming.write(await asyncio.wait_for(reader.read(65_536), LIMIT_S))
                try:
                    tls.do_handshake()
                except ssl.SSLWantReadError:
                    continue
                break
            writer.write(outgoing.read())
            assert (await client.reply()).startswith("226")
            writer.close()
            server.close()

    run(go())


def test_a_session_that_must_be_resumed_is_asked_for_behind_the_1xx(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path, session_reuse="required") as ftp:
            (_, refused), (resumed, done) = await asyncio.to_thread(reuse, ftp)
            assert (refused[:3], resumed, done[:3]) == ("522", True, "226")

    run(go())
