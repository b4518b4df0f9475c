"""A client that is still sending when the server has said its last word reads that word, and then a clean end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import poplib
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from portyard.commons import gentle
from portyard.commons import stream as stream_module
from portyard.commons.gentle import Lingering
from portyard.commons.journal.model import SessionRecord
from portyard.commons.scenario.parsing import parse_rule
from portyard.commons.settings import Limits
from portyard.commons.stream import LINGER_S
from portyard.commons.yard import Yard
from portyard.ftp.card import CARD as FTP
from portyard.imap.card import CARD as IMAP
from portyard.pop3.card import CARD as POP3
from portyard.smtp.card import CARD as SMTP
from tests.support.asyncio_tests import LOOPS, run
from tests.support.yard import Served, open_yard, serve

LIMIT_S = 20.0
SMALL = 4096  # octets: fewer than there are answers
MUCH = 1_000_000  # octets: more than the kernel's buffers and ours take together


@dataclass(frozen=True, slots=True)
class Room:
    """How a room is left.

    Attributes:
        plain: The port that upgrades.
        implicit: The one that speaks TLS from the first octet, or "".
        upgrade: What the client says to have TLS.
        hello: What has to be said first, or b"".
        leave: The client's last command.
        last: How the server's last line begins.
        more: What comes behind it.
        too_many: How a connection beyond the limit is turned away.
        parting: How the last line begins when the service shuts down. POP3 has no word for it (RFC 1939): that is an answer.
    """

    plain: str
    implicit: str
    upgrade: bytes
    hello: bytes
    leave: bytes
    last: bytes
    more: bytes
    too_many: bytes
    parting: bytes


def smtp(plain: str, implicit: str, hello: bytes) -> Room:
    return Room(plain, implicit, b"STARTTLS\r\n", hello, b"QUIT\r\n", b"221 ", b"NOOP\r\n", b"421 ", b"421 ")


ROOMS = {
    "imap": Room("imap", "imaps", b"t STARTTLS\r\n", b"", b"a LOGOUT\r\n", b"a OK", b"b NOOP\r\n", b"* BYE", b"* BYE"),
    "pop3": Room("pop3", "pop3s", b"STLS\r\n", b"", b"QUIT\r\n", b"+OK", b"NOOP\r\n", b"-ERR [SYS/TEMP]", b"-ERR "),
    "mta": smtp("smtp", "", b"EHLO c\r\n"),
    "msa": smtp("submission", "submissions", b"EHLO c\r\n"),
    "mda": smtp("lmtp", "", b"LHLO c\r\n"),
}
STOPPED = {
    **ROOMS,
    "ftp": Room("ftp", "ftps", b"AUTH TLS\r\n", b"", b"QUIT\r\n", b"221 ", b"NOOP\r\n", b"421 ", b"421 "),
}
TALKATIVE = {name: room for name, room in ROOMS.items() if name != "pop3"}  # which soon has enough of errors
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
WAYS = ("plain", *(f"{how} {version}" for how in ("implicit", "upgraded") for version in VERSIONS))


@contextlib.asynccontextmanager
async def served(state: Path, **changes: object) -> AsyncIterator[Served]:
    async with open_yard(state, **changes) as yard, serve(yard, IMAP, POP3, SMTP, FTP) as running:
        yield running


def client_of(running: Served, room: Room, way: str, buffer: int = 0) -> socket.socket:
    """A client that was greeted, with TLS below where the way says so; `buffer` is how much may lie unread with it, in octets."""
    how, _, version = way.partition(" ")
    port = running.port(room.implicit if how == "implicit" else room.plain)
    sock = socket.socket()
    if buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.settimeout(LIMIT_S)
    sock.connect(("127.0.0.1", port))
    context = running.client_context()
    if version:
        context.minimum_version = context.maximum_version = VERSIONS[version]
    if how == "implicit":
        sock = context.wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False)
    line_of(sock)
    if how == "upgraded":
        if room.hello:
            sock.sendall(room.hello)
            while line_of(sock)[3:4] == b"-":
                pass
        sock.sendall(room.upgrade)
        line_of(sock)
        sock = context.wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False)
    return sock


def line_of(sock: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        octet = sock.recv(1)
        assert octet, f"the end came behind {line!r}"
        line += octet
    return line


def rest_of(sock: socket.socket) -> bytes:
    """All up to a clean end; a reset raises, and so does an end without close_notify."""
    return b"".join(iter(lambda: sock.recv(65536), b""))


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that close in the end have the time for it that a busy machine takes."""
    monkeypatch.setattr(stream_module, "LINGER_S", LIMIT_S)
    monkeypatch.setattr(gentle, "SEEING_OFF_S", LIMIT_S)
    monkeypatch.setattr(gentle, "QUIET_S", LIMIT_S)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("room", ROOMS.values(), ids=ROOMS)
@pytest.mark.usefixtures("unhurried")
def test_a_client_that_goes_on_reads_the_last_words(room: Room, way: str, loop: str, tmp_path: Path) -> None:
    if way.startswith("implicit") and not room.implicit:
        way = "plain"  # the room has no such port

    def leave(running: Served) -> None:
        with client_of(running, room, way) as sock:
            sock.sendall(room.leave + room.more * (MUCH // len(room.more)))  # without reading in between
            sock.sendall(room.more)  # and behind the server's end
            assert rest_of(sock).splitlines()[-1].startswith(room.last)

    async def go() -> None:
        async with served(tmp_path) as running:
            await asyncio.to_thread(leave, running)

    run(go(), loop)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("room", ROOMS.values(), ids=ROOMS)
@pytest.mark.usefixtures("unhurried")
def test_a_client_that_is_one_too_many_reads_why(room: Room, loop: str, tmp_path: Path) -> None:
    def knock(running: Served) -> None:
        with socket.create_connection(("127.0.0.1", running.port(room.plain)), timeout=LIMIT_S) as sock:
            sock.sendall(room.more * (MUCH // len(room.more)))
            assert rest_of(sock).startswith(room.too_many)

    async def go() -> None:
        async with served(tmp_path, limits=msgspec.structs.replace(Limits(), connections=0)) as running:
            await asyncio.to_thread(knock, running)

    run(go(), loop)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("way", ["plain", "implicit 1.3"])
@pytest.mark.parametrize("room", STOPPED.values(), ids=STOPPED)
@pytest.mark.usefixtures("unhurried")
def test_a_client_in_the_midst_of_sending_reads_that_the_service_stops(
    room: Room, way: str, loop: str, tmp_path: Path
) -> None:
    if way.startswith("implicit") and not room.implicit:
        way = "plain"

    def go_on_and_read(sock: socket.socket, begun: threading.Event) -> bytes:
        with sock:
            sock.sendall(room.more * 1000)
            begun.set()
            for _ in range(20):
                sock.sendall(room.more * (MUCH // 20 // len(room.more)))
            return rest_of(sock)

    async def go() -> None:
        async with served(tmp_path) as running:
            sock, begun = await asyncio.to_thread(client_of, running, room, way), threading.Event()
            client = asyncio.ensure_future(asyncio.to_thread(go_on_and_read, sock, begun))
            await asyncio.to_thread(begun.wait, LIMIT_S)
        assert (await client).splitlines()[-1].startswith(room.parting)

    run(go(), loop)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("way", ["plain", "implicit 1.3"])
@pytest.mark.parametrize("room", TALKATIVE.values(), ids=TALKATIVE)
@pytest.mark.usefixtures("unhurried")
def test_a_service_that_stops_waits_for_a_client_that_sends_and_has_yet_to_read(
    room: Room, way: str, loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that is said lies unread with the kernel when the service lets go; a reset would take it away."""
    if way.startswith("implicit") and not room.implicit:
        way = "plain"
    begun, gone, let_go = threading.Event(), threading.Event(), Lingering.let_go

    def told(lingering: Lingering) -> None:
        holds = len(lingering) > 0
        let_go(lingering)
        if holds:
            gone.set()

    monkeypatch.setattr(Lingering, "let_go", told)

    def go_on_and_read(sock: socket.socket) -> bytes:
        with sock:
            sock.sendall(room.more * 2000)
            line_of(sock)
            begun.set()
            end = time.monotonic() + LIMIT_S
            while not gone.is_set() and time.monotonic() < end:
                sock.sendall(room.more)
            for _ in range(10):
                sock.sendall(room.more)  # to nobody, where nobody saw it off
            return rest_of(sock)

    async def go() -> None:
        async with served(tmp_path) as running:
            sock = await asyncio.to_thread(client_of, running, room, way, SMALL)
            client = asyncio.ensure_future(asyncio.to_thread(go_on_and_read, sock))
            await asyncio.to_thread(begun.wait, LIMIT_S)
        assert (await client).splitlines()[-1].startswith(room.parting)
        assert gone.is_set()

    run(go(), loop)


def test_a_client_that_never_stops_sending_keeps_no_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gentle, "SEEING_OFF_S", 0.2)

    def go_on_until_cut(sock: socket.socket, begun: threading.Event) -> None:
        begun.set()
        with sock, pytest.raises(OSError, match=r"(?i)reset|pipe|eof"):
            go_on(sock)

    async def go() -> None:
        async with served(tmp_path) as running:
            sock, begun = await asyncio.to_thread(client_of, running, ROOMS["imap"], "plain"), threading.Event()
            client = asyncio.ensure_future(asyncio.to_thread(go_on_until_cut, sock, begun))
            await asyncio.to_thread(begun.wait, LIMIT_S)
        await client

    run(go())


def left(running: Served, room: Room, way: str) -> socket.socket:
    """A client that has left, but doesn't close."""
    sock = client_of(running, room, way)
    sock.sendall(room.leave)
    if way != "plain":
        sock.recv(65536)
    return sock


async def ended(yard: Yard) -> SessionRecord:
    """The only session, once it is over."""
    while True:
        await yard.journal.flush()
        for record in await yard.journal.sessions("default"):
            if record.closed_at is not None:
                return record


@pytest.mark.parametrize("way", ["plain", "implicit 1.3"])
def test_nobody_waits_for_a_client_that_lingers(way: str, tmp_path: Path) -> None:
    """The session is over in the journal, and the service ends, while the client still holds its connection."""

    async def seconds(state: Path) -> float:
        async with served(state) as running:
            begun = time.monotonic()
            sock = await asyncio.to_thread(left, running, ROOMS["pop3"], way)
            record = await ended(running.yard)
            assert record.room == "pop3"
            again = await asyncio.to_thread(left, running, ROOMS["pop3"], way)
        took = time.monotonic() - begun
        sock.close()
        again.close()
        return took

    async def go() -> None:
        took: list[float] = []
        while not took or (min(took) >= LINGER_S and len(took) < 5):  # once is enough: the machine may be busy
            took.append(await seconds(tmp_path / f"{len(took)}"))
        assert min(took) < LINGER_S, took

    run(go())


def test_a_maildrop_is_free_while_its_last_client_lingers(tmp_path: Path) -> None:
    def leave(running: Served) -> socket.socket:
        sock = client_of(running, ROOMS["pop3"], "plain")
        sock.sendall(b"USER alice\r\nPASS alice-secret\r\nQUIT\r\n")
        assert b"+OK" in (line_of(sock), line_of(sock), line_of(sock))[-1]
        return sock

    def enter(running: Served) -> None:
        client = poplib.POP3("127.0.0.1", running.port("pop3"), timeout=LIMIT_S)
        client.user("alice")
        client.pass_("alice-secret")
        client.quit()

    async def go() -> None:
        async with served(tmp_path) as running:
            with await asyncio.to_thread(leave, running):
                await asyncio.to_thread(enter, running)

    run(go())


def go_on(sock: socket.socket) -> None:
    while True:
        sock.sendall(b"x NOOP\r\n")


@pytest.mark.parametrize("way", ["plain", "implicit 1.3"])
def test_a_client_that_never_closes_is_dropped(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "LINGER_S", 0.05)

    def stay(running: Served) -> None:
        sock = left(running, ROOMS["imap"], way)  # not within what is to fail
        with sock, pytest.raises(OSError, match=r"(?i)reset|pipe|eof"):
            go_on(sock)

    async def go() -> None:
        async with served(tmp_path) as running:
            await asyncio.to_thread(stay, running)

    run(go())


@pytest.mark.parametrize("way", ["plain", "implicit 1.3"])
def test_a_reset_by_a_rule_is_a_reset(way: str, tmp_path: Path) -> None:
    def leave(running: Served) -> None:
        with client_of(running, ROOMS["imap"], way) as sock, socket.socket(fileno=os.dup(sock.fileno())) as raw:
            raw.settimeout(LIMIT_S)
            sock.sendall(b"a LOGOUT\r\n")
            with pytest.raises(ConnectionResetError):
                rest_of(raw)  # OpenSSL would call it an end

    async def go() -> None:
        async with served(tmp_path) as running:
            await running.yard.rules.add("default", parse_rule({"on": "imap.logout", "then": {"reset": True}}))
            await asyncio.to_thread(leave, running)

    run(go())


class Held:
    """A connection that lingers."""

    def __init__(self, lingering: Lingering) -> None:
        self._lingering, self.open = lingering, True

    def info(self, name: str) -> None:
        """It has no socket."""

    def let_go(self) -> None:
        self.open = False

    async def gone(self) -> None:
        assert not self.open
        self._lingering.discard(self)


def test_only_so_many_linger() -> None:
    async def go() -> None:
        lingering = Lingering(2)
        first, second, third = (Held(lingering) for _ in range(3))
        for held in (first, second, third):
            lingering.add(held)
        assert [held.open for held in (first, second, third)] == [False, True, True]
        await lingering.close()
        assert len(lingering) == 0
        lingering.add(first := Held(lingering))
        assert (first.open, len(lingering)) == (False, 0)

    run(go())
