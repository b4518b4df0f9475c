"""The FTP room over real sockets: talks, and what only an edge can do."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from portyard.commons.settings import Limits
from portyard.ftp.card import CARD
from tests.support.asyncio_tests import LOOPS, run
from tests.support.ftp import LIMIT_S, PASSWORD, PRELUDES, open_ftp
from tests.support.talk_peers import SocketPeer
from tests.support.talks import FEEDINGS, Talk, TalkRoom, read_talk, run_talk, talk_files
from tests.support.yard import open_yard, serve


@pytest.mark.parametrize("feeding", FEEDINGS)
@pytest.mark.parametrize("path", talk_files("ftp"), ids=lambda path: path.stem)
def test_talk(path: Path, feeding: str, tmp_path: Path) -> None:
    talk = read_talk(path)

    async def go() -> None:
        async with open_yard(tmp_path, require_tls="require-tls" in talk.headers) as yard, serve(yard, CARD) as served:
            implicit = talk.headers.get("port") == "ftps"

            async def connect(_: Talk) -> SocketPeer:
                port = served.port("ftps" if implicit else "ftp")
                return await SocketPeer.connect(port, served.client_context(), implicit=implicit)

            await run_talk(TalkRoom(connect, PRELUDES), yard, talk, feeding)

    run(go())


@pytest.mark.parametrize("loop", LOOPS)
def test_store_fetch_append_resume(loop: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in()
            await client.ask("TYPE I")
            assert (await client.store("STOR f", b"one")).startswith("226")
            assert (await client.store("APPE f", b"two")).startswith("226")
            assert await client.fetch("RETR f") == b"onetwo"
            assert (await client.ask("REST 3")).startswith("350")
            assert await client.fetch("RETR f") == b"two"
            assert (await client.ask("REST 1")).startswith("350")
            assert (await client.store("STOR f", b"X")).startswith("226")
            assert await ftp.content("/f") == b"oXetwo"
            await client.ask("REST 7")
            assert (await client.store("RETR f", b"")).startswith("554")
            assert (await client.store("STOU", b"unique")).startswith("226")
            name = next(name for name in (await client.fetch("NLST")).decode().split() if name != "f")
            assert await ftp.content(name) == b"unique"

    run(go(), loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_what_is_sent_ahead_is_answered_in_order(loop: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.client()
            await client.say(
                f"USER alice\r\nPASS {PASSWORD}\r\nPWD\r\nUSER bob\r\nPASS wrong\r\nPWD\r\nNOOP\r\n".encode()
            )
            codes = [(await client.reply())[:3] for _ in range(7)]
            assert codes == ["331", "230", "257", "331", "530", "530", "200"]

    run(go(), loop)


def test_commands_wait_for_a_transfer(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in()
            pipe = await client.data()
            assert (await client.ask("STOR f")).startswith("1")
            await client.say("NOOP\r\nSIZE f\r\nQUIT")
            pipe.writer.write(b"whole")
            await pipe.close()
            assert [(await client.reply())[:3] for _ in range(4)] == ["226", "200", "213", "221"]
            assert await client.reply() == ""

    run(go())


@pytest.mark.parametrize("signals", [b"", b"\xff\xf4\xff\xf2"])
def test_abort_breaks_a_download_off(signals: bytes, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            with (await ftp.root()).open("/big", "wb") as file:
                file.truncate(64 << 20)
            client = await ftp.logged_in()
            await client.ask("TYPE I")
            pipe = await client.data()
            assert (await client.ask("RETR big")).startswith("1")
            await pipe.reader.read(1000)
            assert (await client.ask(signals + b"ABOR\r\n")).startswith("426")
            assert (await client.reply()).startswith("226")
            await pipe.close()
            assert (await client.ask("ABOR")).startswith("225")
            assert len(await client.fetch("RETR big")) == 64 << 20

    run(go())


def test_abort_of_what_nobody_connected_for(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in()
            await client.passive()
            assert (await client.ask("STOR f")).startswith("150")
            assert (await client.ask("ABOR")).startswith("426")
            assert (await client.reply()).startswith("226")
            assert (await ftp.root()).list("/") == []
            assert (await client.store("STOR f", b"x")).startswith("226")

    run(go())


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("who", ["data", "control"])
def test_a_peer_that_vanishes_leaves_the_old_file(who: str, loop: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in()
            await client.store("STOR f", b"old")
            pipe = await client.data()
            await client.ask("STOR f")
            pipe.writer.write(b"n" * 100_000)
            await pipe.writer.drain()
            if who == "data":
                pipe.reset()
                assert (await client.reply()).startswith("426")
            else:
                client.reset()
                await asyncio.wait_for(pipe.reader.read(), LIMIT_S)
                await pipe.close()
            assert await ftp.content("/f") == b"old"
            assert [event.fields["complete"] for event in await ftp.events("transfer")] == [True, False]

    run(go(), loop)


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client, reader = await ftp.logged_in(), await ftp.logged_in()
            await client.store("STOR f", b"old")
            pipe = await client.data()
            await client.ask("STOR f")
            pipe.writer.write(b"new")
            await pipe.writer.drain()
            assert await reader.fetch("RETR f") == b"old"
            assert await reader.fetch("NLST") == b"f\r\n"
            await pipe.close()
            assert (await client.reply()).startswith("226")
            assert await reader.fetch("RETR f") == b"new"

    run(go())


def test_an_upload_beyond_the_limit(tmp_path: Path) -> None:
    async def go() -> None:
        limits = msgspec.structs.replace(Limits(), upload=1 << 20)
        async with open_ftp(tmp_path, limits=limits) as ftp:
            client = await ftp.logged_in()
            assert (await client.store("STOR f", b"x" * (1 << 20))).startswith("226")
            assert (await client.store("STOR g", b"x" * ((1 << 20) + 1))).startswith("552")
            assert (await client.store("APPE f", b"x")).startswith("552")
            assert (await client.store("STOU", b"x" * (2 << 20))).startswith("552")
            assert (await ftp.root()).list("/") == ["f"]

    run(go())


def test_ascii_is_converted_both_ways(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in()
            assert (await client.store("STOR f", b"a\r\nb\r\n\r")).startswith("226")
            assert await ftp.content("/f") == b"a\nb\n\r"
            assert await client.ask("SIZE f") == "213 7"
            assert await client.fetch("RETR f") == b"a\r\nb\r\n\r"
            await client.ask("TYPE I")
            assert await client.ask("SIZE f") == "213 5"
            assert await client.fetch("RETR f") == b"a\nb\n\r"

    run(go())


def test_names_and_patterns(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            root = await ftp.root()
            root.mkdir("/d")
            for name in ("a.txt", "b.txt", ".c.txt", "ü x", "d/e.txt", "-l"):
                root.open(name, "wb").close()
            root.open("bad\udcff", "wb").close()
            client = await ftp.logged_in()
            assert await client.fetch("NLST *.txt") == b"a.txt\r\nb.txt\r\n"
            assert await client.fetch("NLST /d/*") == b"/d/e.txt\r\n"
            assert await client.fetch("NLST d") == b"e.txt\r\n"
            assert b"bad\xff\r\n" in await client.fetch("NLST -a")
            assert (await client.fetch("LIST -la *.txt")).count(b"\r\n") == 2
            assert b"\xc3\xbc x" in await client.fetch("MLSD")
            assert await client.fetch("NLST -- -l") == b"-l\r\n"
            assert await client.fetch("RETR ü x") == b""

    run(go())


def test_links_lead_nowhere_outside(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            (tmp_path / "secret").write_bytes(b"outside")
            root = await ftp.root()
            root.symlink(str(tmp_path), "/out")
            root.symlink("/", "/back")
            client = await ftp.logged_in()
            for command in ("CWD out", "SIZE out/secret", "MDTM /out/secret", "MLST out/secret", "RNFR out/secret"):
                assert (await client.ask(command)).startswith("550"), command
            assert (await client.store("RETR out/secret", b"")).startswith("550")
            assert (await client.store("STOR ../../../secret", b"in")).startswith("226")
            assert await ftp.content("/secret") == b"in"
            assert (tmp_path / "secret").read_bytes() == b"outside"
            assert (await client.ask("CWD /back/back/..")).startswith('250 "/"')

    run(go())


def test_the_journal_tells_the_session_without_its_secrets(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in()
            await client.store("STOR f", b"12345")
            await client.ask("FEAT")
            await client.ask("QUIT")
            assert await client.reply() == ""
            await ftp.yard.journal.flush()
            (session,) = await ftp.yard.journal.sessions("default")
            assert (session.room, session.account, session.sandbox) == ("ftp", "alice@portyard.test", "default")
            commands = [event.fields["text"] for event in await ftp.events("command")]
            assert commands == ["USER alice", "PASS «secret, 12 bytes»", "EPSV", "STOR f", "FEAT", "QUIT"]
            replies = [str(event.fields["text"]) for event in await ftp.events("reply")]
            assert [reply[:3] for reply in replies] == ["331", "230", "229", "125", "226", "211", "221"]
            assert replies[5].startswith("211-Features:\r\n AUTH TLS\r\n")
            (transfer,) = await ftp.events("transfer")
            assert 0 < int(str(transfer.fields.pop("peer_port"))) < 1 << 16
            assert {**transfer.fields, "seconds": 0} == {
                "command": "STOR",
                "direction": "receive",
                "path": "/f",
                "bytes": 5,
                "seconds": 0,
                "complete": True,
                "begun": {"text": "12345"},
            }
            assert [event.fields["reason"] for event in await ftp.events("closed")] == ["quit"]
            assert PASSWORD not in str(
                [event.fields for kind in ("command", "reply", "auth") for event in await ftp.events(kind)]
            )

    run(go())


@pytest.mark.parametrize("octets", [b"RETR \xff\xfe\r\n", b"RETR a\0b\r\n"])
def test_what_is_no_text_gets_501_and_the_next_command_its_answer(octets: bytes, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in()
            assert (await client.ask(octets)).startswith("501")
            assert (await client.ask("PWD")).startswith("257")

    run(go())


def test_a_line_too_long_is_one_error(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in()
            assert (await client.ask(b"RETR " + b"x" * 100_000 + b"\r\n")).startswith("500")
            assert (await client.ask(b"PWD\n")).startswith("257")  # a lone LF ends a command too

    run(go())


def test_a_flood_of_commands_sent_ahead_ends_the_session(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in()
            await client.passive()
            await client.ask("STOR f")
            client.writer.write(b"NOOP\r\n" * 60_000)
            assert (await client.reply()).startswith("421")

    run(go())


def test_three_wrong_passwords_end_the_session(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client, other = await ftp.client(), await ftp.logged_in()
            for _ in range(3):
                await client.ask("USER alice")
                asked = asyncio.create_task(client.ask("PASS wrong"))
                assert (await other.ask("NOOP")).startswith("200")  # nobody else waits for the delay
                assert (await asked).startswith("530")
            assert await client.reply() == ""
            assert [event.fields["success"] for event in await ftp.events("auth") if "success" in event.fields] == [
                False
            ] * 3

    run(go())


def test_closing_the_room_says_so(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_yard(tmp_path) as yard:
            async with serve(yard, CARD) as served:
                peer = await SocketPeer.connect(served.port("ftp"), served.client_context())
                assert (await peer.line() or "").startswith("220")
            assert (await peer.line() or "").startswith("421")
            assert await peer.line() is None
            await peer.close()

    run(go())


def test_the_journal_tells_commands_and_replies_as_text(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in()
            for line in (
                b"noop\r\n",
                b"\xff\xf4\xff\xf2NOOP\r\n",
                "MKD caf\xe9\r\n".encode(),
                b"FROB x\r\n",
                b"MKD \xe9\r\n",
            ):
                await client.ask(line)
            said = [str(event.fields["text"]) for event in await ftp.events("command")][2:]
            assert said == ["noop", "NOOP", "MKD caf\xe9", "FROB x", "MKD \\udce9"]
            told = [str(event.fields["text"]) for event in await ftp.events("reply")][2:]
            assert told[:2] == ["200 OK.", "200 OK."]
            assert told[2] == '257 "/caf\xe9" directory created.'
            assert [reply[:3] for reply in told[3:]] == ["500", "501"]

    run(go())
