"""Being another kind of server: the personas that come with the room, and each deviation by itself, as asyncssh's client sees it."""

from __future__ import annotations

import asyncio
import contextlib
import typing
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from asyncssh.constants import FXP_STATUS, MSG_EXT_INFO, MSG_UNIMPLEMENTED
from asyncssh.packet import SSHPacket, String

from portyard.commons.scenario.checking import check
from portyard.commons.scenario.parsing import parse_rule
from portyard.commons.scenario.personas import PersonaError, Wardrobe, builtins, make
from portyard.ssh import keys
from portyard.ssh.card import CARD
from portyard.ssh.core import quirks as names
from portyard.ssh.core.quirks import Quirks
from portyard.ssh.core.verbs import VOCABULARY
from portyard.ssh.persona import MSG_PING, MSG_PONG
from tests.support.asyncio_tests import LOOPS, run
from tests.support.ssh import allow, folder_of, make_key
from tests.support.talks import PASSWORD
from tests.support.yard import Served, open_yard, serve

LIMIT_S = 20.0
PERSONAS = {persona.name: persona.quirks["ssh"] for persona in builtins(CARD)}
OLD, MIDDLE, NEW = "openssh-5.3", "openssh-7.4", "openssh-10.0"


@contextlib.asynccontextmanager
async def served(folder: Path, persona: str | None = None, *, whole: bool = True) -> AsyncIterator[Served]:
    """The room; with every host key there, unless they are to be late."""
    if whole:
        keys.ensure(folder / "ssh", keys.KINDS)
    async with open_yard(folder) as yard, serve(yard, CARD) as running:
        if persona is not None:
            await wear(running, persona)
        yield running


async def wear(room: Served, persona: str, **beside: Any) -> None:
    rule = parse_rule({"on": "ssh.connect", "then": {"persona": persona}, **beside})
    check(rule, {"ssh": VOCABULARY})
    await room.yard.rules.add("default", rule)


async def dress(room: Served, **keys_of_persona: Any) -> None:
    """Have the next connection come to a server with these deviations and no others."""
    Wardrobe(room.yard.state).put(CARD, "mine", keys_of_persona)
    await wear(room, "mine", times=1)


class Watcher(asyncssh.SSHClientConnection):
    """A client that keeps what it was told: KEXINIT's lists, extensions, and the messages that nobody handles."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offered: dict[str, list[str]] = {}
        self.extensions: dict[str, str] = {}
        self.heard: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()

    async def _process_kexinit(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        copied = SSHPacket(packet.get_remaining_payload())
        copied.get_bytes(16)
        lists = [[name.decode() for name in copied.get_namelist()] for _ in range(8)]
        self.offered = dict(
            zip(("kex", "host_keys", "ciphers", "", "macs", "", "compressions", ""), lists, strict=False)
        )
        await super()._process_kexinit(pkttype, pktid, packet)

    def _process_ext_info(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        copied = SSHPacket(packet.get_remaining_payload())
        for _ in range(copied.get_uint32()):
            name = copied.get_string().decode()
            self.extensions[name] = copied.get_string().decode()
        super()._process_ext_info(pkttype, pktid, packet)

    def _hear(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        self.heard.put_nowait((pkttype, packet.get_remaining_payload()))

    _packet_handlers = {  # noqa: RUF012
        **asyncssh.SSHClientConnection._packet_handlers,
        20: _process_kexinit,
        MSG_EXT_INFO: _process_ext_info,
        MSG_PONG: _hear,
        MSG_UNIMPLEMENTED: _hear,
    }


async def connect(room: Served, **changes: Any) -> Watcher:
    """Log in, as a client that takes every algorithm there is."""
    chosen: dict[str, Any] = {
        "username": "alice", "password": PASSWORD, "known_hosts": None, "config": None, "client_keys": None,
        "agent_path": None, "kex_algs": "*", "encryption_algs": "*", "mac_algs": "*", "compression_algs": "*",
        "server_host_key_algs": "*", "signature_algs": "*", **changes,
    }  # fmt: skip
    async with asyncio.timeout(LIMIT_S):
        client = await asyncssh.connect("127.0.0.1", room.port("ssh"), **chosen)
    assert isinstance(client, Watcher)
    return client


@pytest.fixture(autouse=True)
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The extensions of the last SFTP server that a client met."""
    names: list[str] = []

    def note(self: object, extensions: list[tuple[bytes, bytes]]) -> None:
        names[:] = [name.decode() for name, _ in extensions]

    monkeypatch.setattr(asyncssh.sftp.SFTPClientHandler, "_log_extensions", note)
    monkeypatch.setattr(asyncssh.connection, "SSHClientConnection", Watcher)
    return names


async def ask(sftp: asyncssh.SFTPClient, name: bytes, *strings: bytes) -> SSHPacket:
    """What is answered to an extension that the client knows nothing of.

    Raises:
        asyncssh.SFTPError: A failure.
    """
    waiter = asyncio.get_running_loop().create_future()
    sftp._handler._send_request(name, [String(each) for each in strings], waiter)
    kind, packet = await asyncio.wait_for(waiter, LIMIT_S)
    if kind == FXP_STATUS:
        sftp._handler._process_status(packet)
    return packet


# The personas


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


# Each deviation


def test_a_whole_room_may_be_old(tmp_path: Path) -> None:
    async def main() -> None:
        keys.ensure(tmp_path / "ssh", keys.KINDS)
        async with (
            open_yard(tmp_path, personas={"ssh": OLD}) as yard,
            serve(yard, CARD) as room,
            await connect(room) as client,
        ):
            assert client.get_extra_info("server_version") == "SSH-2.0-OpenSSH_5.3"

    run(main())


def test_the_strict_key_exchange_takes_two(tmp_path: Path) -> None:
    """Sequence numbers begin again only where both sides said so: else the first packet after NEWKEYS can't be read."""

    async def main() -> None:
        async with served(tmp_path) as room:
            for markers, strict in (([], False), (["kex-strict-s-v00@openssh.com"], True), (["ext-info-s"], False)):
                await dress(room, kex_markers=markers)
                async with await connect(room) as client:
                    assert client._strict_kex is strict
                    assert (await client.run("echo ok")).stdout == "ok\n"

    run(main())


@pytest.mark.parametrize(("kind", "persona", "taken"), [
    ("ed25519", OLD, False), ("ed25519", NEW, True), ("rsa", OLD, True), ("rsa", MIDDLE, True), ("rsa", NEW, True),
])  # fmt: skip
def test_keys_of_users(kind: str, persona: str, taken: bool, tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path / "state", persona) as room:
            key = make_key(tmp_path, kind)
            await allow(room.yard, key)
            own: dict[str, Any] = {"client_keys": [str(key)], "password": None}
            if taken:
                async with await connect(room, **own) as client:
                    assert (await client.run("whoami")).stdout == "alice\n"
            else:
                with pytest.raises(asyncssh.PermissionDenied):
                    await connect(room, **own)

    run(main())


@pytest.mark.parametrize(("algorithm", "taken"), [("ssh-rsa", False), ("rsa-sha2-256", True)])
def test_a_signature_by_an_algorithm_that_is_not_taken(algorithm: str, taken: bool, tmp_path: Path) -> None:
    """The same key, and its owner's, by SHA-1 and by SHA-2."""

    async def main() -> None:
        async with served(tmp_path / "state", NEW) as room:
            key = make_key(tmp_path, "rsa")
            await allow(room.yard, key)
            pair = asyncssh.load_keypairs(str(key))[0]
            pair.sig_algorithms = [algorithm.encode()]
            own: dict[str, Any] = {"client_keys": [pair], "password": None, "signature_algs": [algorithm]}
            if taken:
                (await connect(room, **own)).abort()
            else:
                with pytest.raises(asyncssh.PermissionDenied):
                    await connect(room, **own)

    run(main())


def test_methods_and_the_banner(tmp_path: Path) -> None:
    class Hearing(asyncssh.SSHClient):
        banner = ""

        def auth_banner_received(self, msg: str, lang: str) -> None:
            Hearing.banner = msg

    async def main() -> None:
        async with served(tmp_path) as room:
            await dress(room, methods=["publickey"], banner="no trespassing\nreally")
            with pytest.raises(asyncssh.PermissionDenied):
                await connect(room, client_factory=Hearing)
            assert Hearing.banner == "no trespassing\nreally\n"
            await dress(room, methods=["keyboard-interactive"])
            async with await connect(room) as client:
                assert (await client.run("whoami")).stdout == "alice\n"

    run(main())


def test_how_often_a_login_may_fail(tmp_path: Path) -> None:
    class Guessing(asyncssh.SSHClient):
        tries = 0

        def password_auth_requested(self) -> str:
            self.tries += 1
            Guessing.tries = self.tries
            return "wrong"

        def kbdint_auth_requested(self) -> None:
            return None

    async def main() -> None:
        async with served(tmp_path) as room:
            await dress(room, auth_tries=2)
            with pytest.raises((asyncssh.DisconnectError, asyncssh.PermissionDenied)):
                await connect(room, password=None, client_factory=Guessing)
            assert Guessing.tries == 2

    run(main())


def test_ping(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as room:
            for invited, answer in ((["ping@openssh.com"], (MSG_PONG, String(b"hello"))), ([], None)):
                await dress(room, ext_info=invited)
                async with await connect(room) as client:
                    assert client.extensions.get("ping@openssh.com") == ("0" if invited else None)
                    client.send_packet(MSG_PING, String(b"hello"))
                    kind, data = await asyncio.wait_for(client.heard.get(), LIMIT_S)
                    assert (kind, data) == (answer or (MSG_UNIMPLEMENTED, data))

    run(main())


def test_other_host_keys_are_told_or_not(tmp_path: Path) -> None:
    async def told(room: Served) -> int:
        heard = asyncio.get_running_loop().create_future()

        def hear(added: list[Any], removed: list[Any], retained: list[Any], revoked: list[Any]) -> None:
            heard.set_result(len(added) + len(retained))

        known = room.yard.state / "ssh" / "known_hosts"
        client = await connect(room, known_hosts=str(known), server_host_keys_handler=hear)
        async with client:
            done = asyncio.ensure_future(client.run("true"))
            await asyncio.wait([heard, done], return_when=asyncio.FIRST_COMPLETED)
            await done
            return heard.result() if heard.done() else 0

    async def main() -> None:
        async with served(tmp_path) as room:
            assert await told(room) > 0
            await dress(room, no_host_key_update=True)
            assert await told(room) == 0
            await dress(room, host_keys=["ssh-ed25519", "ssh-rsa"])
            assert await told(room) == 2

    run(main())


def test_sftp_extensions_are_announced_and_served_or_neither(seen: list[str], tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as room:
            await dress(room, sftp_extensions=["limits@openssh.com"])
            async with await connect(room) as client, client.start_sftp_client() as sftp:
                assert seen == ["limits@openssh.com"]
                for name in (b"statvfs@openssh.com", b"expand-path@openssh.com"):
                    with pytest.raises(asyncssh.SFTPOpUnsupported):
                        await ask(sftp, name, b"/")

    run(main())


def test_extensions_that_asyncssh_lacks(tmp_path: Path) -> None:
    async def path_of(sftp: asyncssh.SFTPClient, name: bytes, argument: bytes) -> bytes:
        packet = await ask(sftp, name, argument)
        assert packet.get_uint32() == 1
        return packet.get_string()

    async def main() -> None:
        async with served(tmp_path) as room, await connect(room) as client, client.start_sftp_client() as sftp:
            await sftp.mkdir("d")
            for path, real in ((b"~/d/..", b"/"), (b"~", b"/"), (b"~alice/d", b"/d"), (b"d/./x", b"/d/x")):
                assert await path_of(sftp, b"expand-path@openssh.com", path) == real
            for user in (b"", b"alice"):
                assert await path_of(sftp, b"home-directory", user) == b"/"
            for name, user in ((b"home-directory", b"root"), (b"expand-path@openssh.com", b"~root/x")):
                with pytest.raises(asyncssh.SFTPNoSuchFile):
                    await ask(sftp, name, user)
            with pytest.raises(asyncssh.SFTPBadMessage):
                await ask(sftp, b"users-groups-by-id@openssh.com", b"abc", b"")
            ids = (1000).to_bytes(4) + (0).to_bytes(4)
            reply = await ask(sftp, b"users-groups-by-id@openssh.com", ids, ids[:4])
            assert [reply.get_string(), reply.get_string()] == [String(b"alice") + String(b""), String(b"alice")]

    run(main())


def test_links_name_their_target_first(tmp_path: Path) -> None:
    """asyncssh's client, as others, does as OpenSSH where it thinks that it talks to one."""

    async def main() -> None:
        async with served(tmp_path) as room:
            for version, quirk in (("OpenSSH_9.9", True), ("Other", False)):
                await dress(room, version=version, openssh_symlinks=quirk)
                async with await connect(room) as client, client.start_sftp_client() as sftp:
                    await sftp.symlink("target", f"link-{version}")
                assert (await folder_of(room.yard) / f"link-{version}").readlink() == Path("target")

    run(main())


def test_penalties(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as room:
            Wardrobe(room.yard.state).put(CARD, "mine", {"penalty_s": 200})
            await wear(room, "mine")
            for _ in range(3):
                with pytest.raises(asyncssh.PermissionDenied):
                    await connect(room, password="wrong")
                await closed(room)
            reader, writer = await asyncio.open_connection("127.0.0.1", room.port("ssh"))
            assert await asyncio.wait_for(reader.read(), LIMIT_S) == b"Not allowed at this time\r\n"
            writer.close()
            await writer.wait_closed()

    async def closed(room: Served) -> None:
        while any(record.closed_at is None for record in await sessions(room)):  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(0)

    async def sessions(room: Served) -> Any:
        await room.yard.journal.flush()
        return await room.yard.journal.sessions("default", room="ssh")

    run(main())


@pytest.mark.parametrize(
    ("keys_of_persona", "key"),
    [
        ({"version": "a\nb"}, "version"),
        ({"version": "has-hyphen"}, "version"),
        ({"kex": ["sntrup761x25519-sha512@openssh.com"]}, "kex"),
        ({"ciphers": []}, ""),
        ({"host_keys": ["ssh-dss"]}, "host_keys"),
        ({"sftp_extensions": ["check-file"]}, "sftp_extensions"),
        ({"auth_tries": -1}, "auth_tries"),
        ({"methods": ["hostbased"]}, "methods"),
        ({"bannner": "x"}, "bannner"),
    ],
)
def test_malformed_personas_are_refused_whole(keys_of_persona: dict[str, Any], key: str) -> None:
    with pytest.raises(PersonaError) as refused:
        make(CARD, "mine", keys_of_persona)
    assert key in refused.value.key
