"""OpenSSH's ssh, sftp and scp do whole errands."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from portyard.ssh import keys
from portyard.ssh.card import CARD
from tests.support.asyncio_tests import run
from tests.support.ssh import OpenSsh, allow, call, closed_session, folder_of, make_key, needs
from tests.support.yard import open_yard, serve

pytestmark = [pytest.mark.client, needs("ssh", "sftp", "scp", "ssh-keygen", package="openssh-client")]

BLOB = os.urandom(3 * 1024 * 1024 + 17)  # random on purpose: any octet may be lost or changed on the way


@contextlib.asynccontextmanager
async def openssh(folder: Path, kind: str = "ed25519") -> AsyncIterator[OpenSsh]:
    async with open_yard(folder / "state") as yard, serve(yard, CARD) as served:
        key = make_key(folder, kind)
        await allow(yard, key)
        yield OpenSsh(served, folder, key)


def test_ssh_runs_commands(tmp_path: Path) -> None:
    async def main() -> None:
        async with openssh(tmp_path) as client:
            done = await client.ssh("echo out; echo err >&2; exit 3")
            assert (done.status, done.out, done.err) == (3, b"out\n", "err\n")
            done = await client.ssh("nonsense")
            assert (done.status, done.err) == (127, "sh: nonsense: command not found\n")
            done = await client.ssh("cat > blob", given=BLOB)
            assert (done.status, done.out, done.err) == (0, b"", "")
            assert (await folder_of(client.served.yard) / "blob").read_bytes() == BLOB
            done = await client.ssh("cat blob | tee copy | sha256sum")
            assert done.out == f"{hashlib.sha256(BLOB).hexdigest()}  -\n".encode()
            done = await client.ssh("cat copy")
            assert done.out == BLOB

    run(main())


def test_ssh_reads_commands_from_its_input(tmp_path: Path) -> None:
    async def main() -> None:
        async with openssh(tmp_path) as client:
            script = b"mkdir -p a/b\ncd a/b\npwd\necho 'two\nlines' |\ncat -n\nexit 7\necho never\n"
            done = await client.ssh(given=script)
            assert (done.status, done.out, done.err) == (7, b"/a/b\n     1\ttwo\n     2\tlines\n", "")

    run(main())


def test_ssh_on_a_terminal(tmp_path: Path) -> None:
    async def main() -> None:
        async with openssh(tmp_path) as client:
            done = await client.ssh("-tt", given=b"echo $TERM\rexit 4\r", options=("BatchMode=yes",))
            assert done.status == 4
            assert b"alice@portyard:~$ " in done.out

    run(main())


@pytest.mark.parametrize("method", ["password", "keyboard-interactive"])
def test_passwords(method: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with openssh(tmp_path) as client:
            done = await client.with_password("whoami", method=method)
            assert (done.status, done.out) == (0, b"alice\n"), done.err
            done = await client.with_password("whoami", method=method, password="wrong")
            assert done.status == 255
            assert "Permission denied" in done.err

    run(main())


@pytest.mark.parametrize("user", ["alice", "alice@portyard.test", "default/alice@portyard.test"])
def test_names_that_log_in(user: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with openssh(tmp_path) as client:
            client.user = user
            done = await client.ssh("whoami")
            assert (done.status, done.out) == (0, b"alice\n"), done.err

    run(main())


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_keys_of_the_account(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with open_yard(tmp_path / "state") as yard, serve(yard, CARD) as served:
            key = make_key(tmp_path, kind)
            public = key.with_suffix(".pub").read_text().strip()
            await yard.accounts.create("default", "carol@portyard.test", "carol-secret", (public,))
            client = OpenSsh(served, tmp_path, key, "carol@portyard.test")
            done = await client.ssh("whoami")
            assert (done.status, done.out) == (0, b"carol\n"), done.err
            client.user = "alice"
            assert (await client.ssh("whoami")).status == 255
            events = await yard.journal.events(await closed_session(yard))
            refused = [event.fields for event in events if event.fields.get("outcome") == "refused"]
            printed = (await call("ssh-keygen", "-lf", str(key))).out.decode().split()[1]
            assert printed in {fields.get("key") for fields in refused}

    run(main())


@pytest.mark.parametrize("kind", keys.KINDS, ids=lambda kind: kind.algorithm)
def test_every_host_key(kind: keys.KeyKind, tmp_path: Path) -> None:
    async def main() -> None:
        keys.ensure(tmp_path / "state" / "ssh", keys.KINDS)
        async with openssh(tmp_path) as client:
            algorithm = "rsa-sha2-512" if kind.bits else kind.algorithm
            done = await client.ssh("true", options=("BatchMode=yes", f"HostKeyAlgorithms={algorithm}"))
            assert done.status == 0, done.err

    run(main())


def test_nothing_is_forwarded(tmp_path: Path) -> None:
    async def main() -> None:
        async with openssh(tmp_path) as client:
            done = await client.ssh("-W", "127.0.0.1:1")
            assert done.status == 255
            assert "stdio forwarding failed" in done.err
            done = await client.ssh(
                "-R", "0:127.0.0.1:1", "true", options=("BatchMode=yes", "ExitOnForwardFailure=yes")
            )
            assert done.status == 255
            assert "remote port forwarding failed" in done.err

    run(main())


def test_sftp_errand(tmp_path: Path) -> None:
    async def main() -> None:
        async with openssh(tmp_path) as client:
            source, back = tmp_path / "source.bin", tmp_path / "back.bin"
            source.write_bytes(BLOB)
            source.chmod(0o640)
            os.utime(source, (1_000_000_000, 1_000_000_000))
            batch = [
                "pwd",
                "mkdir docs",
                f"put -p {source} docs/blob.bin",
                "rename docs/blob.bin docs/moved.bin",
                "ln -s moved.bin docs/link",
                "ln docs/moved.bin docs/hard",
                "ls -l docs",
                "df -h /",
                f"get -p docs/link {back}",
                "chmod 600 docs/moved.bin",
                "rm docs/hard",
                "-rmdir docs",
                "-ls nowhere",
                "cp docs/moved.bin copy.bin",
            ]
            done = await client.sftp("\n".join(batch) + "\n")
            assert done.status == 0, done.err
            assert back.read_bytes() == BLOB
            assert int(back.stat().st_mtime) == 1_000_000_000
            home = await folder_of(client.served.yard)
            assert (home / "docs" / "moved.bin").stat().st_mode & 0o777 == 0o600
            assert (home / "copy.bin").read_bytes() == BLOB
            assert sorted(path.name for path in (home / "docs").iterdir()) == ["link", "moved.bin"]
            assert b"Remote working directory: /\n" in done.out
            assert b"-rw-r-----" in done.out
            assert 'Can\'t ls: "/nowhere" not found' in done.err

    run(main())


def test_sftp_resumes_an_upload(tmp_path: Path) -> None:
    async def main() -> None:
        async with openssh(tmp_path) as client:
            source = tmp_path / "whole"
            source.write_bytes(BLOB)
            home = await folder_of(client.served.yard)
            (home / "whole").write_bytes(BLOB[:1_000_003])
            done = await client.sftp(f"reput {source} whole\n")
            assert done.status == 0, done.err
            assert (home / "whole").read_bytes() == BLOB

    run(main())


@pytest.mark.parametrize("mode", [[], ["-O"]], ids=["sftp", "legacy"])
def test_scp_both_ways(mode: list[str], tmp_path: Path) -> None:
    async def main() -> None:
        async with openssh(tmp_path) as client:
            tree = tmp_path / "tree"
            (tree / "deep").mkdir(parents=True)
            (tree / "blob").write_bytes(BLOB)
            (tree / "deep" / "empty").touch()
            (tree / "deep" / "späce name").write_text("x\n")
            done = await client.scp(*mode, "-r", "-p", str(tree), client.remote("/"))
            assert done.status == 0, done.err
            home = await folder_of(client.served.yard)
            assert (home / "tree" / "blob").read_bytes() == BLOB
            assert (home / "tree" / "deep" / "späce name").read_text() == "x\n"
            done = await client.scp(*mode, "-r", client.remote("/tree"), str(tmp_path / "back"))
            assert done.status == 0, done.err
            assert (tmp_path / "back" / "blob").read_bytes() == BLOB
            assert (tmp_path / "back" / "deep" / "empty").exists()
            done = await client.scp(*mode, client.remote("/nowhere"), str(tmp_path / "none"))
            assert done.status == 1
            assert "o such file" in done.err
            events = await client.served.yard.journal.events(await closed_session(client.served.yard))
            assert events[-1].kind == "closed"

    run(main())


def test_an_escape_leads_nowhere(tmp_path: Path) -> None:
    async def main() -> None:
        async with openssh(tmp_path) as client:
            outside = tmp_path / "outside"
            outside.write_text("the host's\n")
            batch = [f"symlink {outside} out", "symlink ../../../../../../../etc/passwd up", "-get out", "-get up"]
            done = await client.sftp("\n".join(batch) + "\n")
            assert done.err.count("No such file or directory") == 2
            for command in (
                "cat out",
                "cat up",
                "cat /etc/passwd",
                "cat ../../../../etc/passwd",
                f"cat {outside}",
                "echo $(id)",
                "echo `id`",
                "/bin/bash -c id",
                "cat < up",
                f"cp out x; cat x; echo owned > {outside}",
            ):
                done = await client.ssh(command)
                assert done.status != 0, command
                assert not done.out, command
            assert outside.read_text() == "the host's\n"
            assert (await client.scp("-O", client.remote("out"), str(tmp_path / "got"))).status == 1
            assert not (tmp_path / "got").exists()

    run(main())


def test_shutdown_says_why(tmp_path: Path) -> None:
    async def main() -> None:
        async with openssh(tmp_path) as client:
            command = "echo running; sleep 1000"
            words = ["ssh", *client.options("BatchMode=yes"), "-p", str(client.port), "-l", "alice"]
            words[words.index("LogLevel=ERROR")] = "LogLevel=INFO"
            process = await asyncio.create_subprocess_exec(
                *words, "127.0.0.1", command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
            )
            assert process.stdout is not None
            assert await process.stdout.readline() == b"running\n"
        _, err = await process.communicate()
        assert b":11: the server is stopping" in err
        assert process.returncode == 255

    run(main())
