"""Being another kind of server: the personas that come with the room, as asyncssh's client sees them."""

from __future__ import annotations

import asyncio
import typing
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from portyard.ssh.core import quirks as names
from portyard.ssh.core.quirks import Quirks
from tests.support.asyncio_tests import LOOPS, run
from tests.support.ssh_personas import MIDDLE, NEW, OLD, PERSONAS, connect, served, wear

pytestmark = pytest.mark.usefixtures("seen")


def test_every_deviation_is_off_by_default_and_used_by_a_persona() -> None:
    used = {
        field
        for quirks in PERSONAS.values()
        for field in Quirks.__struct_fields__
        if getattr(quirks, field) != getattr(Quirks(), field)
    }
    assert set(Quirks.__struct_fields__) - used == {"banner", "penalty_s"}
    assert set(PERSONAS) == {OLD, MIDDLE, NEW}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("persona", list(PERSONAS))
def test_what_a_client_is_offered(persona: str, loop: str, seen: list[str], tmp_path: Path) -> None:
    async def main() -> None:
        quirks = PERSONAS[persona]
        async with served(tmp_path, persona) as room:
            client = await connect(room)
            async with client:
                assert client.get_extra_info("server_version") == f"SSH-2.0-{quirks.version}"
                for name in ("host_keys", "ciphers", "macs", "compressions"):
                    assert client.offered[name] == list(getattr(quirks, name)), name
                assert client.offered["kex"] == [*quirks.kex, *quirks.kex_markers]
                told = quirks.ext_info
                algorithms = quirks.user_keys if quirks.sig_algs is None else quirks.sig_algs
                assert list(client.extensions) == list(told)
                if told:
                    assert client.extensions["server-sig-algs"].split(",") == list(algorithms)
                assert (await client.run("whoami")).stdout == "alice\n"
                async with client.start_sftp_client():
                    assert seen == list(quirks.sftp_extensions)

    run(main(), loop)


def _cells(*personas: str) -> list[Any]:
    """Every algorithm that a persona offers, each alone."""
    arguments = {
        "kex": "kex_algs",
        "host_keys": "server_host_key_algs",
        "ciphers": "encryption_algs",
        "macs": "mac_algs",
    }
    seen, cells = set(), []
    for persona in personas:
        for name, argument in [*arguments.items(), ("compressions", "compression_algs")]:
            for algorithm in getattr(PERSONAS[persona], name):
                if (name, algorithm) not in seen:
                    seen.add((name, algorithm))
                    cells.append(pytest.param(persona, argument, algorithm, id=f"{persona}-{algorithm}"))
    return cells


@pytest.mark.parametrize(("persona", "argument", "algorithm"), _cells(OLD, MIDDLE, NEW))
def test_what_is_offered_is_served(persona: str, argument: str, algorithm: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path, persona) as room:
            alone: dict[str, Any] = {argument: [algorithm]}
            if argument == "mac_algs":  # others bring their own integrity
                alone["encryption_algs"] = ["aes128-ctr"]
            async with await connect(room, **alone) as client:
                assert (await client.run("echo ok")).stdout == "ok\n"

    run(main())


def test_every_name_that_a_persona_may_say_is_served_by_one_of_ours() -> None:
    lists = {
        "kex": names.Kex,
        "host_keys": names.HostKey,
        "ciphers": names.Cipher,
        "macs": names.Mac,
        "sftp_extensions": names.SftpExtension,
    }
    for field, literal in lists.items():
        said = {name for quirks in PERSONAS.values() for name in getattr(quirks, field)}
        assert said == set(typing.get_args(literal)), field


def test_old_and_new_have_no_host_key_in_common(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as room:
            await wear(room, OLD, times=1)
            with pytest.raises(asyncssh.KeyExchangeFailed):
                await connect(room, server_host_key_algs=list(PERSONAS[NEW].host_keys))
            await wear(room, NEW, times=1)
            with pytest.raises(asyncssh.KeyExchangeFailed):
                await connect(room, server_host_key_algs=list(PERSONAS[OLD].host_keys))
            await wear(room, NEW, times=1)
            with pytest.raises(asyncssh.KeyExchangeFailed):
                await connect(room, kex_algs=list(PERSONAS[OLD].kex))

    run(main())


def test_a_host_key_that_is_not_made_yet_is_waited_for(tmp_path: Path) -> None:
    """RSA comes a second after the others, and the old OpenSSH has nothing else."""

    async def main() -> None:
        async with served(tmp_path, OLD, whole=False) as room, await connect(room) as client:
            assert client.offered["host_keys"] == ["ssh-rsa"]

    run(main())


def test_connections_that_sign_by_different_algorithms_of_one_key(tmp_path: Path) -> None:
    """The key is one and the same, and each connection signs as it agreed on while others are under way."""

    async def main() -> None:
        async with served(tmp_path) as room:
            algorithms = ["ssh-rsa", "rsa-sha2-256", "rsa-sha2-512"] * 4
            clients = await asyncio.gather(*(connect(room, server_host_key_algs=[each]) for each in algorithms))
            for client in clients:
                client.abort()

    run(main())
