"""What happens when a peer keeps us waiting: every wait has an end, and its own answer."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from portyard.ftp import handshakes
from portyard.ftp.data import Passive, PlainData
from portyard.ftp.session import Session
from tests.support.asyncio_tests import LOOPS, run
from tests.support.ftp import LIMIT_S, open_ftp

SOON_S = 0.5  # far longer than what a busy machine needs for what has to come before


@pytest.mark.parametrize("loop", LOOPS)
def test_idle(loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "timeout", SOON_S)

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.client()
            assert (await client.reply()).startswith("421")
            assert await client.reply() == ""
            assert [event.fields["reason"] for event in await ftp.events("closed")] == ["idle"]

    run(go(), loop)


def test_a_handshake_that_never_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshakes, "HANDSHAKE_S", SOON_S)

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            reader, writer = await asyncio.open_connection("127.0.0.1", ftp.served.port("ftps"))
            writer.write(b"\x16\x03\x01")
            assert await asyncio.wait_for(reader.read(), LIMIT_S) == b""
            writer.close()
            await writer.wait_closed()
            client = await ftp.client()
            await client.ask("AUTH TLS")
            assert await client.reply() == ""
            reasons = [event.fields["reason"] for event in await ftp.events("closed")]
            assert reasons == ["tls handshake timed out"] * 2

    run(go())


def test_a_peer_that_goes_on_after_a_failed_handshake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshakes, "LINGER_S", SOON_S)

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            reader, writer = await asyncio.open_connection("127.0.0.1", ftp.served.port("ftps"))
            writer.write(b"no TLS at all, and no end to it either\r\n")
            assert await asyncio.wait_for(reader.read(), LIMIT_S) == b""
            client = await ftp.logged_in()
            while len(await ftp.events("closed")) < 1:
                await client.ask("NOOP")
            writer.close()
            await writer.wait_closed()

    run(go())


@pytest.mark.parametrize("command", ["STOR f", "RETR there", "NLST"])
def test_nobody_connects_to_a_passive_port(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Passive, "timeout", 2 * SOON_S)

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            (await ftp.root()).open("/there", "wb").close()
            client = await ftp.logged_in()
            await client.say(f"EPSV\r\n{command}\r\nPWD")  # at once: the port's time runs from the first on
            assert [(await client.reply())[:3] for _ in range(4)] == ["229", "150", "425", "257"]
            assert (await ftp.root()).list("/") == ["there"]

    run(go())


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("implicit", [False, True])
def test_a_download_that_nobody_reads(
    implicit: bool, loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PlainData, "timeout", 2 * SOON_S)

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            root = await ftp.root()
            root.open("/big", "wb").close()
            root.truncate("/big", 256 << 20)
            client = await ftp.logged_in(implicit=implicit)
            await client.ask("TYPE I")
            pipe = await client.data(tls=implicit)
            assert (await client.ask("RETR big")).startswith("1")
            pipe.writer.transport.pause_reading()  # type: ignore[attr-defined]
            assert (await client.reply()).startswith("426")
            assert (await client.ask("NOOP")).startswith("200")
            pipe.writer.transport.abort()

    run(go(), loop)


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")
def test_ipv6(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6 loopback")

    async def go() -> None:
        async with open_ftp(tmp_path, listen="::1") as ftp:
            client = await ftp.logged_in(host="::1")
            assert (await client.ask("PASV")).startswith("425")
            assert await client.ask("EPSV 1") == "522 Network protocol not supported, use (2)."
            assert (await client.store("STOR f", b"six")).startswith("226")
            assert await ftp.content("/f") == b"six"
            assert (await client.ask("EPRT |1|127.0.0.1|30000|")).startswith("522")
            assert (await client.ask("EPRT |2|::2|30000|")).startswith("501")

    run(go())
