"""What was being done to files before a sandbox's reset doesn't land after it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ftplib
import socket
from pathlib import Path

import asyncssh
import pytest

from portyard.commons.scenario.parsing import parse_rule
from portyard.commons.yard import Yard
from portyard.ftp.card import CARD as FTP
from portyard.http.card import CARD as HTTP
from portyard.ssh.card import CARD as SSH
from tests.support.asyncio_tests import run
from tests.support.resets import HELD_S, LOGIN, PASSWORD, account_of, held_delays, obeyed, with_t1
from tests.support.ssh_client import connect

LIMIT_S = 20.0


async def files_of(yard: Yard) -> list[str]:
    return yard.files.root(await account_of(yard)).list("/")


@pytest.fixture
def go_on(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """What ends a rule's delay of an hour."""
    return held_delays(monkeypatch)


@pytest.mark.parametrize("command", ["STOR late", "APPE late", "STOU"])
def test_an_ftp_upload_that_goes_on(command: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with with_t1(tmp_path, FTP) as served:

            def begin() -> tuple[ftplib.FTP, socket.socket]:
                client = ftplib.FTP(timeout=LIMIT_S)
                client.connect("127.0.0.1", served.port("ftp"))
                client.login(LOGIN, PASSWORD)
                data = client.transfercmd(command)
                data.sendall(b"x" * 1000)
                return client, data

            def end(client: ftplib.FTP, data: socket.socket) -> None:
                data.sendall(b"y" * 1000)
                data.close()
                for act in (client.voidresp, lambda: client.mkd("late too")):
                    with contextlib.suppress(
                        ftplib.Error
                    ):  # whether it is told or not: the old folder is swept meanwhile
                        act()
                client.close()

            client, data = await asyncio.to_thread(begin)
            await served.yard.sandboxes.reset("t1")
            await asyncio.to_thread(end, client, data)
            assert await files_of(served.yard) == []

    run(go())


def test_sftp_writes_that_go_on(tmp_path: Path) -> None:
    async def go() -> None:
        async with (
            with_t1(tmp_path, SSH) as served,
            connect(served, username=LOGIN, password=PASSWORD) as connection,
            connection.start_sftp_client() as sftp,
        ):
            async with sftp.open("/late", "wb") as file:
                await file.write(b"x")
                await served.yard.sandboxes.reset("t1")
                await file.write(b"y")
            with contextlib.suppress(asyncssh.SFTPError):  # the old folder is swept meanwhile
                await sftp.mkdir("/too")
            await connection.run("echo shell > too_late")
            assert await files_of(served.yard) == []

    run(go())


def test_a_put_whose_body_goes_on(tmp_path: Path) -> None:
    async def go() -> None:
        async with with_t1(tmp_path, HTTP) as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port("http"))
            token = base64.b64encode(f"{LOGIN}:{PASSWORD}".encode())
            head = b"PUT /files/u/late HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\nAuthorization: Basic "
            writer.write(head + token + b"\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")  # it is let in
            await served.yard.sandboxes.reset("t1")
            writer.write(b"xy")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 201")
            writer.close()
            assert await files_of(served.yard) == []

    run(go())


@pytest.mark.parametrize("method", ["PUT", "GET"])
def test_a_request_for_files_that_a_rule_keeps_waiting(method: str, tmp_path: Path, go_on: asyncio.Event) -> None:
    async def go() -> None:
        async with with_t1(tmp_path, HTTP) as served:
            yard = served.yard
            await yard.rules.add("t1", parse_rule({"on": "http.request", "then": {"delay": HELD_S}}))
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port("http"))
            token = base64.b64encode(f"{LOGIN}:{PASSWORD}".encode()).decode()
            rest = f" /files/u/late HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {token}\r\nContent-Length: 2\r\n\r\nxy"
            writer.write(f"{method}{rest}".encode())
            await obeyed(yard, "t1")
            await yard.sandboxes.reset("t1")
            go_on.set()
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 404")
            assert await files_of(yard) == []
            writer.write(f"PUT{rest}".encode())  # the next one on the same connection is of the sandbox as it is now
            assert b"HTTP/1.1 201" in await reader.readuntil(b"\r\n\r\n")
            writer.close()

    run(go())
