"""Being another kind of server: each deviation by itself, as asyncssh's client sees it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from asyncssh.constants import FXP_STATUS, MSG_UNIMPLEMENTED
from asyncssh.packet import SSHPacket, String

from portyard.commons.scenario.personas import PersonaError, Wardrobe, make
from portyard.ssh import keys
from portyard.ssh.card import CARD
from portyard.ssh.persona import MSG_PING, MSG_PONG
from tests.support.asyncio_tests import run
from tests.support.ssh import allow, folder_of, make_key
from tests.support.ssh_personas import LIMIT_S, MIDDLE, NEW, OLD, connect, served, wear
from tests.support.yard import Served, open_yard, serve

pytestmark = pytest.mark.usefixtures("seen")


async def dress(room: Served, **keys_of_persona: Any) -> None:
    """Have the next connection come to a server with these deviations and no others."""
    Wardrobe(room.yard.state).put(CARD, "mine", keys_of_persona)
    await wear(room, "mine", times=1)


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
