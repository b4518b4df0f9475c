"""Rooms behind a relay: spoken and hosted, plain and under TLS; faults that hit them, and their clients."""

from __future__ import annotations

import asyncio
import contextlib
import ftplib
import io
import poplib
import random
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from portyard.commons.card import Card
from portyard.commons.scenario import actions
from portyard.commons.wire.corrupt import Corrupt
from portyard.commons.wire.cut_after import CutAfter
from portyard.commons.wire.half_close import HalfClose
from portyard.commons.wire.latency import Latency
from portyard.commons.wire.reset import Reset
from portyard.commons.wire.slice import Slice
from portyard.commons.wire.wire import Wire
from portyard.ftp.card import CARD as FTP
from portyard.http.card import CARD as HTTP
from portyard.pop3.card import CARD as POP3
from portyard.ssh.card import CARD as SSH
from tests.support.asyncio_tests import LOOPS, run
from tests.support.talks import PASSWORD, USER
from tests.support.wire import End, Faults, Wired, wired_listeners
from tests.support.yard import Served, open_yard, serve

loops = pytest.mark.parametrize("loop", LOOPS)


@contextlib.asynccontextmanager
async def rooms(
    state: Path, monkeypatch: pytest.MonkeyPatch, faults: Faults, *cards: Card
) -> AsyncIterator[tuple[Served, Wired]]:
    """Rooms whose connections all go through a relay."""
    wire = Wire(random.Random(0))
    with wired_listeners(monkeypatch, wire, faults) as wired:
        async with open_yard(state) as yard:
            async with serve(yard, *cards) as served:
                yield served, wired
            await wire.close()
    assert all(relay.closed for relay in wired.relays)


@contextlib.contextmanager
def client_of(port: int) -> Iterator[End]:
    """A raw socket; the kernel connects it without us, so that nothing of a fault is missed."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        yield End(sock)


def pop3_errand(port: int, context: ssl.SSLContext | None) -> tuple[int, int]:
    client = poplib.POP3("localhost", port, timeout=20)
    if context is not None:
        client.stls(context)
    client.user(USER)
    client.pass_(PASSWORD)
    found = client.stat()
    client.quit()
    return found


def ftp_errand(port: int, context: ssl.SSLContext | None) -> bytes:
    client = ftplib.FTP(timeout=20) if context is None else ftplib.FTP_TLS(timeout=20, context=context)
    client.connect("localhost" if context else "127.0.0.1", port)
    client.login("alice", "alice-secret")
    if isinstance(client, ftplib.FTP_TLS):
        client.prot_p()
    client.storbinary("STOR f", io.BytesIO(b"content" * 1000))
    got = bytearray()
    client.retrbinary("RETR f", got.extend)
    client.quit()
    return bytes(got)


ERRANDS = {"pop3": (pop3_errand, (0, 0)), "ftp": (ftp_errand, b"content" * 1000)}
CARDS = {"pop3": POP3, "ftp": FTP, "ssh": SSH}


@loops
@pytest.mark.parametrize("room", ERRANDS)
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("faults", [(), (Slice(5), Latency(0.005, 0.01))], ids=["plain", "faulty"])
def test_stock_clients_do_their_errands(
    faults: tuple, tls: bool, room: str, loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [(direction, fault) for fault in faults for direction in ("up", "down")]

    async def go() -> None:
        async with rooms(tmp_path, monkeypatch, both, CARDS[room]) as (served, wired):
            context = served.client_context() if tls else None
            errand, wanted = ERRANDS[room]
            assert await asyncio.to_thread(errand, served.port(room), context) == wanted
            assert len(wired.relays) == 1

    run(go(), loop)


@loops
@pytest.mark.parametrize("port", ["pop3s", "ftps"])
def test_implicit_tls_behind_a_relay(port: str, loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        async with rooms(tmp_path, monkeypatch, [("down", Slice(100))], CARDS[port[:-1]]) as (served, _):
            context = served.client_context()
            reader, writer = await asyncio.open_connection("localhost", served.port(port), ssl=context)
            assert (await reader.readline())[:3] in (b"+OK", b"220")
            writer.write(b"QUIT\r\n")
            assert await reader.readline()
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

    run(go(), loop)


@loops
def test_a_handshake_that_is_corrupt_or_cut(loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        async with rooms(tmp_path, monkeypatch, [], POP3) as (served, wired):
            for fault, error in (
                (Corrupt(300), ssl.SSLError),
                (CutAfter(10), (ssl.SSLError, ConnectionError)),
                (Reset(10), ConnectionResetError),
            ):
                wired.faults[:] = [("down", fault)]
                with pytest.raises(error):
                    await asyncio.open_connection("localhost", served.port("pop3s"), ssl=served.client_context())

    run(go(), loop)


GREETINGS = {"pop3": b"+OK", "ftp": b"220", "ssh": b"SSH"}


@loops
@pytest.mark.parametrize("port", GREETINGS)
def test_a_greeting_is_cut_reset_and_half_closed(
    port: str, loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go() -> None:
        async with rooms(tmp_path, monkeypatch, [], CARDS[port]) as (served, wired):
            number = served.port(port)
            wired.faults[:] = [("down", Reset(3))]
            with client_of(number) as client:
                assert await client.until_reset() == GREETINGS[port]
            wired.faults[:] = [("down", CutAfter(3))]
            with client_of(number) as client:
                assert await client.rest() == GREETINGS[port]
            wired.faults[:] = [("down", HalfClose(3))]
            with client_of(number) as client:
                assert await client.rest() == GREETINGS[port]
                await client.send(b"QUIT\r\n")
            wired.faults[:] = [("down", Reset())]
            with client_of(number) as client:
                assert await client.until_reset() == b""

    run(go(), loop)


@loops
def test_a_response_is_cut(loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        async with rooms(tmp_path, monkeypatch, [("down", CutAfter(9))], HTTP) as (served, _):
            with client_of(served.port("http")) as client:
                await client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert await client.rest() == b"HTTP/1.1 "

    run(go(), loop)


@loops
def test_an_event_arms_what_follows(loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The greeting passed before; of the next answer three octets arrive."""

    async def go() -> None:
        async with rooms(tmp_path, monkeypatch, [], POP3) as (served, wired):
            with client_of(served.port("pop3")) as client:
                greeting = await client.some()
                assert greeting.startswith(b"+OK")
                wired.relays[0].obey([actions.Reset(3)])
                await client.send(b"CAPA\r\n")
                assert await client.until_reset() == b"+OK"

    run(go(), loop)


@loops
@pytest.mark.parametrize("room", CARDS)
def test_the_journal_sees_the_client(room: str, loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        async with rooms(tmp_path, monkeypatch, [], CARDS[room]) as (served, wired):
            with client_of(served.port(room)) as client:
                assert await client.some()
                peers = {"{}:{}".format(*client.sock.getsockname()[:2])}
            assert {"{}:{}".format(*relay.peer[:2]) for relay in wired.relays} == peers
            await served.yard.journal.flush()
            sessions = await served.yard.journal.sessions("default")
            assert {session.peer for session in sessions} == peers

    run(go(), loop)
