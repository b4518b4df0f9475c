"""Who still sends when the server has ended something reads why, and isn't cut off; who never stops is, in the end."""

from __future__ import annotations

import asyncio
import contextlib
import ftplib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from portyard.commons.settings import Limits
from portyard.ftp import leaving
from tests.support.asyncio_tests import run
from tests.support.ftp import LIMIT_S, PASSWORD, USER, Ftp, open_ftp

MUCH = bytes(4 << 20)
REFUSAL = "451 not today"
TLS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Much takes its time on a busy machine."""
    monkeypatch.setattr(leaving, "LINGER_S", LIMIT_S)


def login(ftp: Ftp, *, tls: bool) -> ftplib.FTP:
    client: ftplib.FTP = ftplib.FTP_TLS(context=ftp.served.client_context()) if tls else ftplib.FTP()
    client.connect("localhost", ftp.served.port("ftp"), timeout=LIMIT_S)
    client.login(USER, PASSWORD)
    if isinstance(client, ftplib.FTP_TLS):
        client.prot_p()
    return client


def upload(ftp: Ftp, *, tls: bool) -> tuple[str, str]:
    """Send much, whatever the server does meanwhile; the upload's reply and the next one's."""
    client = login(ftp, tls=tls)
    with contextlib.closing(client):
        with client.transfercmd("STOR f") as data:
            data.sendall(MUCH)
        return client.getmultiline(), client.sendcmd("NOOP")


@TLS
@pytest.mark.parametrize(
    ("verb", "where"), [("transfer", {}), ("data", {"octets": ">=8192"})], ids=["before", "in the midst"]
)
def test_a_refused_upload_is_read_to_its_end_and_the_reply_by_its_client(
    verb: str, where: dict[str, str], tls: bool, tmp_path: Path
) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule(verb, where=where, refuse=REFUSAL)
            assert await asyncio.to_thread(upload, ftp, tls=tls) == (REFUSAL, "200 OK.")

    run(go())


@TLS
def test_so_is_one_that_the_server_has_no_room_for(tls: bool, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path, limits=Limits(upload=100_000)) as ftp:
            reply, _ = await asyncio.to_thread(upload, ftp, tls=tls)
            assert reply.startswith("552")

    run(go())


@TLS
def test_one_that_a_rule_hangs_up_on_ends_without_a_reset(tls: bool, tmp_path: Path) -> None:
    def send(ftp: Ftp) -> None:
        client = login(ftp, tls=tls)
        with contextlib.closing(client):
            with client.transfercmd("STOR f") as data:
                data.sendall(MUCH)
            with pytest.raises(EOFError):
                client.getline()

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule("data", where={"octets": ">=8192"}, hang_up=True)
            await asyncio.to_thread(send, ftp)

    run(go())


@TLS
def test_a_reset_is_one(tls: bool, tmp_path: Path) -> None:
    def send(ftp: Ftp) -> str:
        client = login(ftp, tls=tls)
        with contextlib.closing(client):
            with client.transfercmd("STOR f") as data, pytest.raises((ConnectionError, ssl.SSLError)):
                _without_end(data, lambda: MUCH)
            return client.getline()

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule("data", where={"octets": ">=8192"}, reset=True)
            assert (await asyncio.to_thread(send, ftp)).startswith("426")

    run(go())


@pytest.mark.parametrize(("limit", "value"), [("LINGER_S", 0.05), ("LINGER_OCTETS", 1 << 20)])
def test_who_never_stops_is_cut_off(limit: str, value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, limit, value)

    def send(ftp: Ftp) -> str:
        client = login(ftp, tls=False)
        with contextlib.closing(client):
            with client.transfercmd("STOR f") as data, pytest.raises(ConnectionError):
                _without_end(data, lambda: b"x" if limit == "LINGER_S" else MUCH)
            return client.getline()

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule("transfer", refuse=REFUSAL)
            assert await asyncio.to_thread(send, ftp) == REFUSAL

    run(go())


def _without_end(sock: socket.socket, more: Callable[[], bytes]) -> None:
    while True:
        sock.sendall(more())


@TLS
def test_who_sends_commands_behind_its_quit_reads_the_goodbye(tls: bool, tmp_path: Path) -> None:
    def quit_early(ftp: Ftp) -> bytes:
        client = login(ftp, tls=tls)
        assert client.sock is not None
        with contextlib.closing(client):
            client.sock.sendall(b"QUIT\r\n" + b"NOOP\r\n" * 200_000)
            return client.sock.recv(4096) + client.sock.recv(4096)

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            assert await asyncio.to_thread(quit_early, ftp) == b"221 Goodbye.\r\n"

    run(go())


def test_who_still_sends_when_the_service_stops_is_let_go(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule("transfer", refuse=REFUSAL)
            client = await asyncio.to_thread(login, ftp, tls=False)
            data = await asyncio.to_thread(client.transfercmd, "STOR f")
            assert await asyncio.to_thread(client.getline) == REFUSAL
        with (
            data,
            contextlib.closing(client),
        ):  # its connection is closed now: no descriptor is left open, which would warn
            assert await asyncio.to_thread(data.recv, 1) == b""

    run(go())
