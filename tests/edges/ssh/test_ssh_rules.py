"""What rules do to logins and channels of the SSH room, seen from a client that knows nothing of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from asyncssh.channel import SSHClientChannel
from asyncssh.packet import SSHPacket

from tests.support.asyncio_tests import LOOPS, run
from tests.support.ssh import OpenSsh, closed_session, folder_of, needs
from tests.support.ssh_client import served
from tests.support.ssh_rules import DATA, LIMIT_S, SOON_S, connect, hangs, later, rule
from tests.support.talks import PASSWORD

# Before anybody logs in


@pytest.mark.parametrize("loop", LOOPS)
def test_the_version_exchange(loop: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as room:

            async def first(limit_s: float = LIMIT_S) -> bytes:
                reader, writer = await asyncio.open_connection("127.0.0.1", room.port("ssh"))
                try:
                    return await asyncio.wait_for(reader.readline(), limit_s)
                finally:
                    writer.close()
                    await writer.wait_closed()

            await rule(room, "greeting", refuse="Not allowed at this time", times=1)
            assert await first() == b"Not allowed at this time\r\n"
            await rule(room, "greeting", hang_up=True, times=1)
            assert await first() == b""
            await rule(room, "greeting", silence=True, times=1)
            with pytest.raises(TimeoutError):
                await first(SOON_S * 3)
            await room.yard.rules.clear("default")  # whoever is late enough hasn't met it
            await rule(room, "greeting", delay=SOON_S, times=1)
            assert (await later(first())).startswith(b"SSH-2.0-")
            await rule(room, "greeting", say="SSH-2.0-OpenSSH_4.3", times=1)
            async with connect(room) as client:
                assert client.get_extra_info("server_version") == "SSH-2.0-OpenSSH_4.3"
            await rule(room, "greeting", say="Welcome to the bastion", times=1)
            async with connect(room) as client:
                assert (await client.run("echo hi")).stdout == "hi\n"

    run(main(), loop)


def test_key_exchange(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as room:
            await rule(room, "kex", where={"client": "*AsyncSSH*"}, refuse="no common ground", times=1)
            with pytest.raises(asyncssh.KeyExchangeFailed, match="no common ground"):
                await connect(room)
            await rule(room, "kex", hang_up=True, times=1)
            with pytest.raises((asyncssh.ConnectionLost, ConnectionError)):
                await connect(room)
            await rule(room, "kex", delay=SOON_S, times=1)
            (await later(connect(room))).close()
            await rule(room, "kex", silence=True, times=1)
            await hangs(room, connect(room))

    run(main())


@pytest.mark.parametrize("method", ["password", "keyboard-interactive", "publickey"])
def test_logins(method: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as room:
            key = asyncssh.generate_private_key("ssh-ed25519")
            home = await folder_of(room.yard) / ".ssh"
            home.mkdir()
            (home / "authorized_keys").write_bytes(key.export_public_key())
            how: dict[str, Any] = {"preferred_auth": method}
            if method == "publickey":
                how |= {"client_keys": [key], "password": None}
            banners: list[str] = []

            class Client(asyncssh.SSHClient):
                def auth_banner_received(self, msg: str, lang: str) -> None:
                    banners.append(msg)

            where = {"method": method, "login": "alice"}
            await rule(room, "auth", where=where, refuse="the directory is down", times=1)
            with pytest.raises(asyncssh.PermissionDenied):
                await connect(room, client_factory=Client, **how)
            assert banners == ["the directory is down\n"]
            await rule(room, "auth", where=where, hang_up=True, times=1)
            with pytest.raises((asyncssh.ConnectionLost, ConnectionError)):
                await connect(room, **how)
            await rule(room, "auth", where=where, delay=SOON_S, times=1)
            (await later(connect(room, **how))).close()
            await rule(room, "auth", where=where, silence=True, times=1)
            await hangs(room, connect(room, **how))
            (await connect(room, **how)).close()

    run(main())


def test_a_claimed_name_chooses_the_sandbox_before_its_password_is_known(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as room:
            await room.yard.sandboxes.create("t1")
            await rule(room, "auth", sandbox="t1", hang_up=True)
            with pytest.raises((asyncssh.ConnectionLost, ConnectionError)):
                await connect(room, username="nobody@t1.test", password="wrong")
            (await connect(room)).close()
            record = await closed_session(room.yard, "t1")
            assert record

    run(main())


class Answering(asyncssh.SSHClient):
    """Answers prompts from a list, and remembers them."""

    def __init__(self, answers: list[str]) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.instructions: list[str] = []
        self.tries = 0

    def kbdint_auth_requested(self) -> str | None:
        self.tries += 1
        return "" if self.tries == 1 else None

    def kbdint_challenge_received(
        self, name: str, instructions: str, lang: str, prompts: Sequence[tuple[str, bool]]
    ) -> list[str]:
        if instructions:
            self.instructions.append(instructions)
        self.asked += [prompt for prompt, _ in prompts]
        return [self.answers.pop(0) for _ in prompts]


SCRIPT = [
    {"send": "Two factors, please."},
    {"say": "Password: "},
    {"expect": PASSWORD},
    {"delay": "10ms"},
    {"say": "Code: "},
    {"say": "Colour: "},
    {"expect": "/^[0-9]{6}$/"},
    {"expect": "blue"},
]


def test_scripted_prompts(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as room:

            async def log_in(*answers: str, **changes: Any) -> Answering:
                client = Answering(list(answers))
                changes = {"password": None, "preferred_auth": "keyboard-interactive", **changes}
                (await connect(room, client_factory=lambda: client, **changes)).close()
                return client

            await rule(room, "prompt", script=SCRIPT, times=4)
            good = await log_in(PASSWORD, "123456", "blue")
            assert (good.asked, good.instructions) == (["Password: ", "Code: ", "Colour: "], ["Two factors, please."])
            for answers in (("wrong",), (PASSWORD, "12345", "blue"), (PASSWORD, "123456", "red")):
                with pytest.raises(asyncssh.PermissionDenied):
                    await log_in(*answers)
            await rule(room, "prompt", say="Passphrase, friend? ", times=1)
            assert (await log_in(PASSWORD)).asked == ["Passphrase, friend? "]
            await rule(room, "prompt", refuse="no prompts today", times=1)
            with pytest.raises(asyncssh.PermissionDenied):
                await log_in(PASSWORD)
            await rule(room, "prompt", script=[{"say": "?"}, {"expect": "*"}], times=1)
            with pytest.raises(asyncssh.PermissionDenied):  # nobody can be logged in as nobody
                await log_in("x", "x", username="nobody@portyard.test")
            await rule(room, "prompt", script=[{"hang_up": True}], times=1)
            with pytest.raises((asyncssh.ConnectionLost, ConnectionError)):
                await log_in()
            await rule(room, "prompt", silence=True, times=1)
            await hangs(room, log_in())

    run(main())


# Channels

Ask = Callable[[asyncssh.SSHClientConnection], Awaitable[object]]
REQUESTS: dict[str, tuple[dict[str, object], Ask]] = {
    "exec": ({"command": "echo *"}, lambda client: client.run("echo hi", check=True)),
    "shell": ({}, lambda client: client.run(input="echo hi\n", check=True)),
    "pty": ({"term": "xterm"}, lambda client: client.run("echo hi", term_type="xterm", check=True)),
    "subsystem": ({"name": "sftp"}, lambda client: client.start_sftp_client()),
    "output": ({"command": "echo *", "octets": 0}, lambda client: client.run("echo hi", check=True)),
}


@pytest.mark.parametrize("verb", REQUESTS)
def test_requests_of_a_channel(verb: str, tmp_path: Path) -> None:
    where, ask = REQUESTS[verb]

    async def main() -> None:
        async with served(tmp_path) as room:
            if verb != "output":
                await rule(room, verb, where=where, refuse="no", times=1)
                async with connect(room) as client:
                    with pytest.raises((asyncssh.ChannelOpenError, asyncssh.SFTPError)):
                        await ask(client)
                    await ask(client)
            await rule(room, verb, where=where, delay=SOON_S, times=1)
            async with connect(room) as client:
                await later(ask(client))
            await rule(room, verb, where=where, hang_up=True, times=1)
            async with connect(room) as client:
                with contextlib.suppress(asyncssh.Error, ConnectionError):
                    await ask(client)
                await asyncio.wait_for(client.wait_closed(), LIMIT_S)
            await rule(room, verb, where=where, silence=True, times=1)
            async with connect(room) as client:
                await hangs(room, ask(client), client)

    run(main())


def test_a_variable_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as room, connect(room) as client:
            await rule(room, "env", where={"name": "LANG", "value": "tlh"}, refuse="no")
            env = {"LANG": "tlh", "LC_ALL": "C"}
            assert (await client.run('echo "$LC_ALL:$LANG"', env=env)).stdout == "C:\n"

    run(main())


@pytest.mark.parametrize("status", [300, 0xFFFFFFFF])
def test_a_status_of_more_than_an_octet(status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 4254 §6.10 has 32 bits; what a client makes of them is its own affair, and asyncssh's takes the last octet."""
    seen: list[int] = []

    def whole(channel: Any, packet: SSHPacket) -> bool:
        seen.append(packet.get_uint32())
        return True

    monkeypatch.setattr(SSHClientChannel, "_process_exit_status_request", whole)

    async def main() -> None:
        async with served(tmp_path) as room, connect(room) as client:
            await rule(room, "exec", where={"command": "deploy"}, respond={"status": status})
            for command in ("deploy", "exit 300", "exit 255"):
                await client.run(command)
            assert seen == [status, 300 & 0xFF, 255]

    run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_predictable_command(loop: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as room:
            stub = {"body": "I am not $command\n", "stderr": "oops\n", "status": 3}
            await rule(room, "exec", where={"command": "deploy*"}, respond=stub)
            await rule(room, "exec", where={"command": "touch*"}, say="touched, honestly\n")
            async with connect(room) as client:
                done = await client.run("deploy --now")
                assert (done.stdout, done.stderr, done.exit_status) == ("I am not deploy --now\n", "oops\n", 3)
                done = await client.run("touch f; echo never seen; exit 4")
                assert (done.stdout, done.exit_status) == ("touched, honestly\n", 4)
                assert (await client.run("ls")).stdout == "f\n"
                done = await client.run("deploy", term_type="xterm")
                assert (done.stdout, done.exit_status) == ("I am not deploy\r\noops\r\n", 3)
            await rule(room, "exec", where={"command": "last"}, respond={"body": "bye\n"}, hang_up=True)
            async with connect(room) as client:
                last = await client.create_process("last")
                assert await last.stdout.readline() == "bye\n"
                await asyncio.wait_for(client.wait_closed(), LIMIT_S)

    run(main(), loop)


def test_output_ends_in_its_midst(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as room:
            (await folder_of(room.yard) / "big").write_bytes(DATA)
            await rule(room, "output", where={"octets": ">=65536"}, hang_up=True)
            async with connect(room) as client:
                process = await client.create_process("cat big", encoding=None)
                got = b""
                with contextlib.suppress(asyncssh.Error):
                    while piece := await process.stdout.read(65536):
                        got += piece
                assert got == DATA[:65536]

    run(main())


# OpenSSH's own programs


@needs("ssh", package="openssh-client")
def test_openssh_sees_the_same(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path / "state") as room:
            ssh = OpenSsh(room, tmp_path)
            await rule(room, "exec", respond={"body": "stub\n", "stderr": "err\n", "status": 7}, times=1)
            done = await ssh.with_password("anything", method="password")
            assert (done.status, done.out) == (7, b"stub\n")
            assert "err" in done.err
            await rule(room, "auth", where={"method": "password"}, refuse="maintenance until noon", times=1)
            done = await ssh.with_password("true", method="password")
            assert done.status == 255
            await rule(room, "greeting", say="SSH-2.0-OpenSSH_7.4", times=1)
            assert (await ssh.with_password("echo hi", method="keyboard-interactive")).out == b"hi\n"
            await rule(room, "kex", refuse="go away", times=1)
            assert (await ssh.with_password("echo hi", method="password")).status == 255

    run(main())


def test_a_fault_is_journalled(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as room:
            await rule(room, "exec", name="slow", delay="1ms")
            async with connect(room) as client:
                await client.run("true")
            events = await room.yard.journal.events(await closed_session(room.yard))
            (fault,) = [event for event in events if event.kind == "fault"]
            assert (fault.fields["verb"], fault.fields["rule"], fault.fields["does"]) == ("exec", "slow", ["delay"])

    run(main())
