"""The SSH room on real sockets, with asyncssh's client and with no client at all."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from portyard.commons.yard import Yard
from portyard.ssh import files as sftp_files
from portyard.ssh import keys, link, options
from portyard.ssh.card import CARD
from tests.support.asyncio_tests import LOOPS, run
from tests.support.ssh import closed_session, folder_of
from tests.support.talks import PASSWORD, USER
from tests.support.yard import Served, open_yard, serve


@contextlib.asynccontextmanager
async def served(folder: Path, **changes: object) -> AsyncIterator[Served]:
    async with open_yard(folder, **changes) as yard, serve(yard, CARD) as running:
        yield running


def connect(room: Served, **changes: Any) -> Any:
    """A client that knows our host keys and nothing of this machine's."""
    chosen: dict[str, Any] = {
        "username": "alice",
        "password": PASSWORD,
        "known_hosts": str(room.yard.state / "ssh" / "known_hosts"),
        "config": None,
        "client_keys": None,
        "agent_path": None,
        **changes,
    }
    return asyncssh.connect("127.0.0.1", room.port("ssh"), **chosen)


async def events_of(yard: Yard) -> list[Any]:
    return await yard.journal.events(await closed_session(yard))


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


# Logging in


def test_too_many_tries(tmp_path: Path) -> None:
    class Stubborn(asyncssh.SSHClient):
        tries = 0

        def password_auth_requested(self) -> str:
            Stubborn.tries += 1
            return f"guess {Stubborn.tries}"

    async def main() -> None:
        async with served(tmp_path) as room:
            with pytest.raises(asyncssh.DisconnectError, match="Too many authentication failures"):
                await connect(room, client_factory=Stubborn, password=None, preferred_auth="password")
            assert Stubborn.tries == link.AUTH_TRIES
            events = await events_of(room.yard)
            refused = [event for event in events if event.fields.get("outcome") == "refused"]
            assert len(refused) == link.AUTH_TRIES + 1  # "none" came first
            assert "guess" not in str([event.fields for event in events])
            assert events[-1].fields["reason"] == "Too many authentication failures"

    run(main())


def logins(events: list[Any]) -> list[dict[str, object]]:
    return [dict(event.fields) for event in events if event.kind == "auth"]


def test_a_login_is_told_once(tmp_path: Path) -> None:
    """Each step of it in one event, nothing twice in it, and the end of it as in every room."""

    async def main() -> None:
        async with served(tmp_path) as room:
            with pytest.raises(asyncssh.PermissionDenied):
                await connect(room, password="wrong", preferred_auth="password")
            none = {"login": "alice", "mechanism": "none", "outcome": "refused"}
            assert logins(await events_of(room.yard)) == [
                none,
                {"login": "alice", "mechanism": "password", "outcome": "refused", "secret": "«secret, 5 bytes»"},
            ]
            for mechanism in ("password", "keyboard-interactive"):
                async with connect(room, preferred_auth=mechanism):
                    pass
                assert logins(await events_of(room.yard)) == [none, {"account": USER, "mechanism": mechanism}]

    run(main())


def test_an_authorized_keys_file_with_options(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as room:
            key = asyncssh.generate_private_key("ssh-ed25519")
            line = f'command="echo forced: $A",environment="A=1" {keys.public_line(key)} her key\n'
            home = await folder_of(room.yard)
            (home / ".ssh").mkdir()
            (home / ".ssh" / "authorized_keys").write_text("no key at all\n" + line)
            async with connect(room, client_keys=[key], password=None) as client:
                assert (await client.run("echo mine")).stdout == "forced: 1\n"
            events = await events_of(room.yard)
            assert logins(events)[-2:] == [
                {
                    "login": "alice",
                    "mechanism": "publickey",
                    "outcome": "acceptable",
                    "key": key.get_fingerprint(),
                },
                {"account": USER, "mechanism": "publickey"},
            ]

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


# Peers that do as they like


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


# Host keys


def test_host_keys_are_made_once_and_private(tmp_path: Path) -> None:
    folder = tmp_path / "ssh"

    async def main() -> None:
        sets = await asyncio.gather(*(asyncio.to_thread(keys.ensure, folder, keys.QUICK) for _ in range(8)))
        assert len({tuple(key.get_fingerprint() for key in made) for made in sets}) == 1

    run(main())
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == {
        name for kind in keys.QUICK for name in (kind.file, f"{kind.file}.pub")
    }
    for kind in keys.QUICK:
        assert (folder / kind.file).stat().st_mode & 0o777 == 0o600


def test_two_processes_make_one_set(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from portyard.ssh import keys; "
        "print([key.get_fingerprint() for key in keys.ensure(pathlib.Path(sys.argv[1]), keys.KINDS)])"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "ssh")], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    told = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert told[0] == told[1]


def test_a_key_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "ssh_host_ed25519_key").write_text("not a key\n")
    with pytest.raises(keys.HostKeyError, match="ssh_host_ed25519_key"):
        keys.ensure(tmp_path, keys.QUICK)


def test_known_hosts_lines() -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    line = keys.known_hosts([key], [("localhost", 3022), ("ssh", 22), ("localhost", 3022)])
    assert line == f"[localhost]:3022,ssh {keys.public_line(key)}\n"
