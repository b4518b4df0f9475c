"""What rules do to SFTP, seen from a client that knows nothing of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncssh
import pytest

from portyard.ssh.core.verbs import VOCABULARY
from tests.support.asyncio_tests import LOOPS, run
from tests.support.ssh import folder_of
from tests.support.ssh_client import served
from tests.support.ssh_rules import DATA, LIMIT_S, SOON_S, connect, hangs, later, rule
from tests.support.yard import Served

Work = Callable[[asyncssh.SFTPClient], Awaitable[object]]


async def _read(files: asyncssh.SFTPClient, name: str = "f") -> bytes:
    async with files.open(name, "rb") as file:
        data = await file.read()
        assert isinstance(data, bytes)
        return data


async def _write(files: asyncssh.SFTPClient) -> None:
    async with files.open("w", "wb") as file:
        await file.write(b"x")


async def _with_open(files: asyncssh.SFTPClient, what: str, *args: object) -> None:
    async with files.open("f", "r+b") as file:
        await getattr(file, what)(*args)


OPERATIONS: dict[str, tuple[dict[str, object], Work]] = {
    "open": ({"path": "/f", "mode": "read"}, _read),
    "close": ({"path": "/f"}, _read),
    "read": ({"path": "/f", "offset": 0}, _read),
    "write": ({"path": "/w", "offset": 0, "octets": 1}, _write),
    "stat": ({"path": "/f"}, lambda files: files.stat("f")),
    "lstat": ({"path": "/f"}, lambda files: files.lstat("f")),
    "fstat": ({"path": "/f"}, lambda files: _with_open(files, "stat")),
    "setstat": ({"path": "/f"}, lambda files: files.chmod("f", 0o600)),
    "fsetstat": ({"path": "/f"}, lambda files: _with_open(files, "chmod", 0o600)),
    "opendir": ({"path": "/d"}, lambda files: files.listdir("d")),
    "readdir": ({"path": "/d"}, lambda files: files.listdir("d")),
    "remove": ({"path": "/gone"}, lambda files: files.remove("gone")),
    "mkdir": ({"path": "/new"}, lambda files: files.mkdir("new")),
    "rmdir": ({"path": "/empty"}, lambda files: files.rmdir("empty")),
    "realpath": ({"path": "/d/f"}, lambda files: files.realpath("d/f")),
    "rename": ({"path": "/old", "target": "/d/other"}, lambda files: files.rename("old", "d/other")),
    "readlink": ({"path": "/l"}, lambda files: files.readlink("l")),
    "symlink": ({"path": "/l2", "target": "/f"}, lambda files: files.symlink("f", "l2")),
    "link": ({"path": "/h", "target": "/f"}, lambda files: files.link("f", "h")),
    "statvfs": ({"path": "/d"}, lambda files: files.statvfs("d")),
    "fsync": ({"path": "/f"}, lambda files: _with_open(files, "fsync")),
    "copy": ({"path": "/f", "target": "/copy", "offset": 0}, lambda files: files.remote_copy("f", "copy")),
}


def test_the_table_has_every_operation() -> None:
    announced = {verb.removeprefix("sftp_") for verb in VOCABULARY.verbs if verb.startswith("sftp_")}
    assert announced == OPERATIONS.keys()


async def furnish(room: Served) -> None:
    home = await folder_of(room.yard)
    (home / "f").write_bytes(DATA)
    for name in ("old", "gone"):
        (home / name).write_bytes(b"x")
    for name in ("d", "empty"):
        (home / name).mkdir(exist_ok=True)
    (home / "l").symlink_to("f")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_sftp_operations(operation: str, tmp_path: Path) -> None:
    where, work = OPERATIONS[operation]
    verb = f"sftp_{operation}"

    async def main() -> None:
        async with served(tmp_path) as room:
            await furnish(room)
            await rule(room, verb, where=where, refuse="SSH_FX_PERMISSION_DENIED: not you", times=1)
            async with connect(room) as client, client.start_sftp_client() as files:
                with pytest.raises(asyncssh.SFTPPermissionDenied, match="not you"):
                    await work(files)
                await rule(room, verb, where=where, delay=SOON_S, times=1)
                await later(work(files))
            await rule(room, verb, where=where, hang_up=True, times=1)
            async with connect(room) as client, client.start_sftp_client() as files:
                with pytest.raises((asyncssh.Error, ConnectionError)):
                    await work(files)
                await asyncio.wait_for(client.wait_closed(), LIMIT_S)
            await rule(room, verb, where=where, silence=True, times=1)
            async with connect(room) as client:
                files = await client.start_sftp_client()
                await hangs(room, work(files), client)

    run(main())


def test_a_refusal_does_nothing_and_a_lie_is_told_after_the_deed(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as room, connect(room) as client, client.start_sftp_client() as files:
            await furnish(room)
            await rule(room, "sftp_remove", refuse="no such file", times=1)
            with pytest.raises(asyncssh.SFTPNoSuchFile):
                await files.remove("gone")
            assert await files.exists("gone")
            await rule(room, "sftp_remove", say="failure: the disk is on fire", times=1)
            with pytest.raises(asyncssh.SFTPFailure, match="the disk is on fire"):
                await files.remove("gone")
            assert not await files.exists("gone")
            await rule(room, "sftp_remove", refuse="anything else", times=1)
            with pytest.raises(asyncssh.SFTPFailure, match="anything else"):
                await files.remove("old")
            await rule(room, "sftp_rename", say="ok", times=1)
            await files.rename("nothing", "nowhere")

    run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_download_breaks_off_at_an_offset(loop: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as room:
            await furnish(room)
            await rule(room, "sftp_read", where={"path": "/f", "offset": ">=100000"}, hang_up=True, times=1)
            await rule(room, "sftp_read", where={"path": "/f", "offset": ">=200000"}, refuse="eof", times=1)

            async def pieces(files: asyncssh.SFTPClient) -> bytes:
                async with files.open("f", "rb", block_size=0) as file:
                    got = b""
                    while piece := await file.read(20_000):
                        assert isinstance(piece, bytes)
                        got += piece
                    return got

            async with connect(room) as client, client.start_sftp_client() as files:
                with pytest.raises((asyncssh.Error, ConnectionError)):
                    await pieces(files)
            async with connect(room) as client, client.start_sftp_client() as files:
                assert await pieces(files) == DATA[:200_000]
                assert await pieces(files) == DATA

    run(main(), loop)


def test_magic_names(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path, magic=True) as room, connect(room) as client, client.start_sftp_client() as files:
            with pytest.raises(asyncssh.SFTPFailure):
                await files.open("report+550.txt", "wb")
            async with files.open("plain+name", "wb"):
                pass
            await later(files.mkdir("d+delay200ms"), 0.2)
            with pytest.raises((asyncssh.Error, ConnectionError)):
                await files.open("x+hangup", "wb")

    run(main())


def test_a_retry(tmp_path: Path) -> None:
    """Fail twice, then succeed."""

    async def main() -> None:
        async with served(tmp_path) as room, connect(room) as client, client.start_sftp_client() as files:
            await furnish(room)
            await rule(room, "sftp_open", refuse="failure", times=2)
            for _ in range(2):
                with pytest.raises(asyncssh.SFTPFailure):
                    await _read(files)
            assert await _read(files) == DATA

    run(main())


def test_faults_of_bytes_armed_by_an_event(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as room:
            await furnish(room)
            await rule(room, "sftp_read", where={"path": "/f"}, cut_after=100)
            await rule(room, "exec", where={"command": "slow"}, latency=SOON_S)
            async with connect(room) as client, client.start_sftp_client() as files:
                await later(client.run("slow"))
                with pytest.raises((asyncssh.Error, ConnectionError)):
                    await _read(files)

    run(main())
