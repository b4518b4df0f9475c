"""Peers of the SSH room that do as they like: silent ones, garbage, who vanishes, and who is there when it stops."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from portyard.ssh import options
from portyard.ssh.card import CARD
from tests.support.asyncio_tests import run
from tests.support.ssh import folder_of
from tests.support.ssh_client import connect, events_of, served
from tests.support.yard import open_yard, serve


def test_a_peer_that_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "LOGIN_S", 1.0)

    async def main() -> None:
        async with served(tmp_path) as room:
            reader, writer = await asyncio.open_connection("127.0.0.1", room.port("ssh"))
            assert await reader.readline() == b"SSH-2.0-Portyard\r\n"
            assert await reader.read() == b""
            writer.close()
            assert (await events_of(room.yard))[-1].fields["reason"] == "login timeout expired"

    run(main())


@pytest.mark.parametrize(
    "octets",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0" * 10_000,
        b"SSH-1.5-old\r\n",
        b"SSH-2.0-x\r\n" + b"\xff" * 5000,
        b"SSH-2.0-\xff\r\n",
        b"",
    ],
    ids=["http", "zeros", "version 1", "no packet", "no text", "nothing"],
)
def test_garbage(octets: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with served(tmp_path) as room:
            reader, writer = await asyncio.open_connection("127.0.0.1", room.port("ssh"))
            writer.write(octets)
            writer.write_eof()
            with contextlib.suppress(ConnectionResetError):
                await reader.read()
            writer.close()
            events = await events_of(room.yard)
            assert [event.kind for event in events].count("closed") == 1
            async with connect(room) as client:
                assert (await client.run("echo others live")).stdout == "others live\n"

    run(main())
    assert not [each.message for each in caplog.records if each.name == "portyard.ssh"], "it is no failure of ours"


def test_a_peer_that_vanishes_in_an_upload(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as room:
            client = await connect(room)
            files = await client.start_sftp_client()
            file = await files.open("half", "wb")
            await file.write(b"x" * 50_000)
            process = await client.create_process("cat > piped; sleep 1000")
            process.stdin.write("y")
            client.abort()
            await client.wait_closed()
            events = await events_of(room.yard)
            (transfer,) = [event.fields for event in events if event.kind == "transfer"]
            assert (transfer["path"], transfer["bytes"], transfer["complete"]) == ("/half", 50_000, False)
            assert events[-1].kind == "closed"
            assert (await folder_of(room.yard) / "half").stat().st_size == 50_000

    run(main())


def test_shutdown_ends_everything(tmp_path: Path) -> None:
    async def main() -> None:
        before = len(os.listdir("/proc/self/fd"))
        async with open_yard(tmp_path) as yard:
            async with serve(yard, CARD) as room:
                client = await connect(room)
                process = await client.create_process("sleep 1000")
                files = await client.start_sftp_client()
                await files.open("held", "wb")
                silent = await asyncio.open_connection("127.0.0.1", room.port("ssh"))
            await client.wait_closed()
            assert process.exit_status is None
            silent[1].close()
            await yard.journal.flush()
            for record in await yard.journal.sessions("default"):
                assert (await yard.journal.events(record.id))[-1].fields == {"reason": "shutdown"}
            names = {task.get_coro().__qualname__ for task in asyncio.all_tasks()}  # type: ignore[union-attr]
            assert not {name for name in names if "Session" in name or "Terminal" in name}
        del client, process, files, silent
        assert len(os.listdir("/proc/self/fd")) <= before + 2

    run(main())
