"""The SSH room on real sockets, with asyncssh's client: errands, limits and a terminal."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from portyard.ssh import files as sftp_files
from portyard.ssh import link
from tests.support.asyncio_tests import LOOPS, run
from tests.support.ssh import folder_of
from tests.support.ssh_client import connect, events_of, served
from tests.support.talks import PASSWORD, USER


def texts(events: list[Any], kind: str) -> list[str]:
    return [str(event.fields["text"]) for event in events if event.kind == kind and "text" in event.fields]


# Errands


@pytest.mark.parametrize("loop", LOOPS)
def test_an_errand(loop: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as room:
            async with connect(room) as client:
                done = await client.run("echo hello > f; cat f; nope; exit 9")
                assert (done.exit_status, done.stdout, done.stderr) == (9, "hello\n", "sh: nope: command not found\n")
                async with client.start_sftp_client() as files:
                    assert await files.listdir(".") == [".", "..", "f"]
                    await files.rename("f", "g")
                    with pytest.raises(asyncssh.SFTPNoSuchFile):
                        await files.stat("f")
            events = await events_of(room.yard)
            assert [event.kind for event in events][:3] == ["opened", "greeting", "greeting"]
            assert [event.kind for event in events].count("closed") == 1
            assert texts(events, "command") == [
                "echo hello > f; cat f; nope; exit 9",
                "sftp",
                "sftp opendir .",
                "sftp rename f g",
                "sftp stat f",
            ]
            assert texts(events, "reply") == ["exit 9", "ok", "ok", "No such file or directory", "exit 0"]
            assert PASSWORD not in str([event.fields for event in events])
            (record,) = await room.yard.journal.sessions("default")
            assert record.account == USER

    run(main(), loop)


def test_files_are_the_accounts_own(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as room:
            async with connect(room) as client:
                await client.run("echo hers > note")
            async with connect(room, username="bob", password="bob-secret") as client:
                assert (await client.run("ls -a")).stdout == ".\n..\n"

    run(main())


def test_a_stranger_is_refused_and_journalled(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as room:
            with pytest.raises(asyncssh.PermissionDenied):
                await connect(room, username="nobody@portyard.test")
            events = await events_of(room.yard)
            assert any(event.fields.get("login") == "nobody@portyard.test" for event in events)

    run(main())


def test_a_listing_names_no_user_of_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(number: int) -> None:
        raise AssertionError(f"the host's user {number} was looked up")

    monkeypatch.setattr("asyncssh.sftp._lookup_user", never)
    monkeypatch.setattr("asyncssh.sftp._lookup_group", never)

    async def main() -> None:
        async with served(tmp_path) as room, connect(room) as client:
            (await folder_of(room.yard) / "f").write_text("x")
            os.utime(await folder_of(room.yard) / "f", (1 << 40, 1 << 40))
            async with client.start_sftp_client() as files:
                (entry,) = [entry for entry in await files.readdir(".") if entry.filename == "f"]
            assert str(entry.longname).split()[2:4] == ["alice", "alice"]
            assert (entry.attrs.uid, entry.attrs.mtime) == (1000, 0xFFFF_FFFF)
            assert "alice alice" in (await client.run("ls -l f")).stdout

    run(main())


def test_a_transfer_of_nothing_goes_the_way_that_was_meant(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as room:
            async with connect(room) as client, client.start_sftp_client() as files:
                for mode in ("wb", "rb"):
                    async with files.open("empty", mode) as file:
                        await (file.write(b"") if mode == "wb" else file.read())
            events = await events_of(room.yard)
            transfers = [event.fields for event in events if event.kind == "transfer"]
            assert [(each["direction"], each["bytes"]) for each in transfers] == [("receive", 0), ("send", 0)]

    run(main())


# Limits and refusals


def test_sessions_of_one_connection(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as room, connect(room) as client:
            running = [await client.create_process("cat") for _ in range(link.SESSIONS)]
            with pytest.raises(asyncssh.ChannelOpenError):
                await client.create_process("cat")
            running[0].stdin.write_eof()
            await running[0].wait()
            assert (await client.run("echo room again")).stdout == "room again\n"
            for process in running[1:]:
                process.stdin.write_eof()
                await process.wait()

    run(main())


def test_open_handles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sftp_files, "HANDLES", 3)

    async def main() -> None:
        async with served(tmp_path) as room, connect(room) as client, client.start_sftp_client() as files:
            held = [await files.open(f"f{number}", "wb") for number in range(3)]
            with pytest.raises(asyncssh.SFTPFailure, match="Too many open files"):
                await files.open("one more", "wb")
            with pytest.raises(asyncssh.SFTPFailure, match="Too many open files"):
                await files.listdir(".")
            await held[0].close()
            assert len(await files.listdir(".")) == 5
            await files.listdir(".")
            for file in held[1:]:
                await file.close()

    run(main())


def test_an_upload_has_a_limit(tmp_path: Path) -> None:
    async def main() -> None:
        from portyard.commons.settings import Limits

        async with served(tmp_path, limits=Limits(upload=10_000)) as room, connect(room) as client:
            async with client.start_sftp_client() as files:
                with pytest.raises(asyncssh.SFTPFailure, match="File too large"):
                    async with files.open("big", "wb") as file:
                        await file.write(b"x" * 20_000)
                with pytest.raises(asyncssh.SFTPFailure, match="File too large"):
                    await files.truncate("big", 1 << 40)
            done = await client.run("seq 10000 > big")
            assert done.stderr == "sh: File too large\n"
            assert (await folder_of(room.yard) / "big").stat().st_size <= 10_000

    run(main())


def test_nothing_is_forwarded(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as room:
            async with connect(room) as client:
                with pytest.raises(asyncssh.ChannelOpenError, match="forwarding is refused"):
                    await client.open_connection("127.0.0.1", room.port("ssh"))
                with pytest.raises(asyncssh.ChannelOpenError, match="forwarding is refused"):
                    await client.open_unix_connection("/run/any")
                with pytest.raises(asyncssh.ChannelListenError):
                    await client.forward_remote_port("127.0.0.1", 0, "127.0.0.1", 1)
            events = await events_of(room.yard)
            assert texts(events, "reply") == ["refused"] * 3

    run(main())


def test_the_environment_that_is_welcome(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as room, connect(room) as client:
            env = {"LC_ALL": "C", "LANG": "de", "PORTYARD_X": "1", "PATH": "/evil", "LD_PRELOAD": "/evil"}
            done = await client.run("env", env=env)
            got = dict(line.split("=", 1) for line in done.stdout.splitlines())
            assert (got["LC_ALL"], got["LANG"], got["PORTYARD_X"]) == ("C", "de", "1")
            assert "/evil" not in got.values()
            assert "SSH_CONNECTION" in got

    run(main())


@pytest.mark.parametrize("length", [0, 100_000])
def test_copying_at_the_far_end(length: int, tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as room, connect(room) as client, client.start_sftp_client() as files:
            blob = os.urandom(700_000)
            home = await folder_of(room.yard)
            (home / "from").write_bytes(blob)
            async with files.open("from", "rb") as origin, files.open("to", "wb") as copy:
                await files.remote_copy(origin, copy, 10, length, 5)
                with pytest.raises(asyncssh.SFTPError, match="into itself"):
                    await files.remote_copy(copy, copy, 0, 0, 10)
            assert (home / "to").read_bytes() == bytes(5) + blob[10 : 10 + length if length else None]

    run(main())


# A terminal


async def until(process: Any, text: str) -> str:
    """What the terminal shows up to and with a text."""
    return str(await process.stdout.readuntil(text))


def test_a_terminal(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as room:
            async with connect(room) as client:
                process = await client.create_process(term_type="xterm", term_size=(80, 24))
                prompt = "alice@portyard:~$ "
                await until(process, prompt)
                process.stdin.write("echo $TERM $COLUMNS $LINES\n")
                assert "xterm 80 24\r\n" in await until(process, "\n" + prompt)
                process.change_terminal_size(100, 50)
                process.stdin.write("echo $COLUMNS 'two\n")
                await until(process, "\r\n> ")
                process.stdin.write("lines'\n")
                assert "100 two\r\nlines\r\n" in await until(process, "\n" + prompt)
                process.stdin.write("half a line\x03")
                await until(process, "^C\r\n" + prompt)
                process.stdin.write("echo $?; sleep 1000\n")
                assert "130\r\n" in await until(process, "130\r\n")
                process.stdin.write("\x03")
                await until(process, "^C\r\n" + prompt)
                process.stdin.write("cat > f\n")
                process.stdin.write("typed\n\x04")
                await until(process, "\n" + prompt)
                process.stdin.write("cat f; false\n")
                assert "typed\r\n" in await until(process, "\n" + prompt)
                process.stdin.write("\x04")
                await process.wait()
                assert process.exit_status == 1
            lines = texts(await events_of(room.yard), "command")
            assert lines[:3] == ["shell", "echo $TERM $COLUMNS $LINES", "echo $COLUMNS 'two\\nlines'"]

    run(main())


def test_signals(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as room, connect(room) as client:
            process = await client.create_process("sleep 1000")
            process.send_signal("INT")
            await process.wait()
            assert process.exit_status == 130
            process = await client.create_process("sleep 1000")
            process.terminate()
            await process.wait()
            assert process.exit_signal[0] == "TERM"

    run(main())
