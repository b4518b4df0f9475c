"""Who is who: logins, told once each in the journal, and the keys by which the SSH room is known."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from portyard.ssh import keys, link
from tests.support.asyncio_tests import run
from tests.support.ssh import folder_of
from tests.support.ssh_client import connect, events_of, served
from tests.support.talks import USER


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
