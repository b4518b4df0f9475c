"""Being another kind of server: the persona that comes with the room, and each deviation by itself."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from portyard.commons.scenario.personas import PersonaError, Wardrobe, builtins, make
from portyard.ftp.card import CARD
from portyard.ftp.core.quirks import Quirks
from portyard.ftp.persona import Dressed
from tests.support.asyncio_tests import LOOPS, run
from tests.support.ftp import Client, Ftp, open_ftp
from tests.support.ftp_sessions import reuse


async def meet(ftp: Ftp, *, login: bool = True) -> Client:
    """A client that has the greeting behind it, and the login if it wants."""
    client = await ftp.knock()
    assert (await client.reply()).startswith("220 ")
    if login:
        await client.login()
    return client


async def dressed(ftp: Ftp, *, login: bool = True, **quirks: object) -> Client:
    """A client of a server with these deviations and no others."""
    Wardrobe(ftp.yard.state).put(CARD, "mine", quirks)
    await ftp.rule("connect", persona="mine", times=1)
    return await meet(ftp, login=login)


# vsftpd


def test_every_deviation_is_off_by_default_and_used_by_a_persona() -> None:
    (vsftpd,) = [persona for persona in builtins(CARD) if persona.name == "vsftpd"]
    quirks = vsftpd.quirks["ftp"]
    assert isinstance(quirks, Quirks)
    unused = {field for field in Quirks.__struct_fields__ if getattr(quirks, field) == getattr(Quirks(), field)}
    assert unused == {"login_needs_tls", "data_needs_tls"}


async def once_logged_in(client: Client) -> None:
    """Commands, folders and transfers of a client that vsftpd has let in."""
    assert await client.ask("SYST") == "215 UNIX Type: L8"
    for unknown in ("MLSD", "MLST", "MFMT 20200101000000 f", "HOST localhost", "CCC", "FROBNICATE"):
        assert await client.ask(unknown) == "500 Unknown command.", unknown
    for absent in ("REIN", "ACCT x", "SMNT /"):
        assert (await client.ask(absent)).startswith("502 "), absent
    assert (await client.ask("LIST")).startswith("425 ")
    assert re.fullmatch(r"227 Entering Passive Mode \((\d+,){5}\d+\)\.", await client.ask("PASV"))
    assert re.fullmatch(r"229 Entering Extended Passive Mode \(\|\|\|\d+\|\)", await client.ask("EPSV"))
    assert (await client.ask("USER bob")).startswith("530 ")
    assert (await client.ask("USER alice")).startswith("331 ")
    assert (await client.ask("PASS whatever")).startswith("230 ")
    assert (await client.store("STOR f", b"one\ntwo\n")).startswith("226 ")
    assert (await client.ask('MKD d"q')) == '257 "/d""q" created'
    assert (await client.ask('CWD d"q')).startswith("250 ")
    assert (await client.ask("PWD")) == '257 "/d""q" is the current directory'
    assert (await client.ask("CDUP")).startswith("250 ")
    assert (await client.ask("CWD missing")).startswith("550 ")
    pipe = await client.data()
    assert await client.ask("RETR f") == "150 Opening BINARY mode data connection for f (8 bytes)."
    assert await pipe.reader.read() == b"one\ntwo\n"
    assert await client.reply() == "226 Transfer complete."
    lines = (await client.fetch("LIST")).decode().splitlines()
    assert re.fullmatch(r'drwx------ +\d+ 1000 {5}1000 {5} +\d+ \w{3} \d\d \d\d:\d\d d"q', lines[0])
    assert re.fullmatch(r"-rw-------    1 1000     1000            8 \w{3} \d\d \d\d:\d\d f", lines[1])


@pytest.mark.parametrize("loop", LOOPS)
def test_vsftpd(loop: str, tmp_path: Path) -> None:
    """An hour in its life: what a client that knows vsftpd looks at."""

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule("connect", persona="vsftpd")
            client = await ftp.knock()
            assert await client.reply() == "220 (vsFTPd 3.0.5)"
            assert (await ftp.events("greeting"))[0].fields["text"] == "220 (vsFTPd 3.0.5)"
            features = (await client.ask("FEAT")).splitlines()
            assert features[0] == "211-Features:"
            assert features[-1] == "211 End"
            assert [line.strip() for line in features[1:-1]] == [
                "AUTH TLS", "EPRT", "EPSV", "MDTM", "PASV", "PBSZ", "PROT", "REST STREAM", "SIZE", "TVFS",
            ]  # fmt: skip
            assert (await client.ask("OPTS UTF8 ON")).startswith("200 ")
            for early in ("SYST", "NOOP", "PWD", "MLSD", "FROBNICATE", "HOST localhost"):
                assert (await client.ask(early)).startswith("530 "), early
            await client.say("")
            await client.login()
            await once_logged_in(client)
            assert await client.ask("SITE HELP") == "214 CHMOD HELP UMASK"
            assert (await client.ask("SITE FROB")).startswith("500 ")
            state = (await client.ask("STAT")).splitlines()
            assert state[0] == "211-FTP server status:"
            assert state[2] == "     Logged in as alice"
            assert state[3] == "     TYPE: ASCII"
            assert state[-1] == "211 End of status"
            assert (await client.ask("STAT f")).splitlines()[0] == "213-Status follows:"
            helping = (await client.ask("HELP")).splitlines()
            assert helping[1].split()[:4] == ["ABOR", "ACCT", "ALLO", "APPE"]
            assert "MLSD" not in " ".join(helping)
            assert (await client.ask("ABOR")).startswith("225 ")
            assert (await client.ask("QUIT")).startswith("221 ")

    run(go(), loop)


def test_what_vsftpd_announces_is_served(tmp_path: Path) -> None:
    async def go() -> None:
        tries = {
            "AUTH TLS": None, "EPRT": "EPRT |1|127.0.0.1|65000|", "EPSV": "EPSV", "MDTM": "MDTM f", "PASV": "PASV",
            "PBSZ": "PBSZ 0", "PROT": "PROT P", "REST STREAM": "REST 1", "SIZE": "SIZE f", "TVFS": "CWD /d/..",
        }  # fmt: skip
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule("connect", persona="vsftpd")
            client = await meet(ftp, login=False)
            features = [line.strip() for line in (await client.ask("FEAT")).splitlines()[1:-1]]
            assert features == list(tries)
            assert (await client.ask("AUTH TLS")).startswith("234 ")
            await client.start_tls()
            await client.login()
            await client.ask("MKD d")
            await client.store("STOR f", b"12345")
            for feature, line in tries.items():
                reply = await client.ask(line) if line else "200"
                assert reply[0] in "23" or (feature == "EPRT" and reply.startswith("425")), (feature, reply)

    run(go())


def test_vsftpd_wants_the_session_resumed(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule("connect", persona="vsftpd")
            (_, refused), (resumed, done) = await asyncio.to_thread(reuse, ftp)
            assert (refused[:3], resumed, done[:3]) == ("522", True, "226")

    run(go())


def test_a_whole_room_may_be_vsftpd(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path, personas={"ftp": "vsftpd"}) as ftp:
            client = await ftp.knock()
            assert await client.reply() == "220 (vsFTPd 3.0.5)"

    run(go())


# Each deviation


def test_texts_and_meanings(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            replies = {
                "*.550": "553 no $argument in $cwd",
                "greeting.220": "220-a\r",
                "noop.200": "250 $text$$ $peer",
            }
            with pytest.raises(PersonaError, match="replies"):
                make(CARD, "mine", {"replies": replies})
            del replies["greeting.220"]
            client = await dressed(ftp, greeting="ready for $peer", replies=replies)
            assert await client.ask("CWD x") == "553 no x in /"
            assert await client.ask("NOOP") == "250 OK.$ 127.0.0.1"

    run(go())


def test_commands_that_it_does_not_know_or_do(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await dressed(
                ftp,
                login=False,
                unknown=["SYST"],
                unimplemented=["STAT"],
                before_login=["USER", "PASS"],
                parting=["GET"],
            )
            assert (await client.ask("FEAT")).startswith("530 ")
            await client.login()
            assert (await client.ask("SYST")).startswith("500 ")
            assert (await client.ask("STAT")).startswith("502 ")
            assert (await client.ask("GET / HTTP/1.1")).startswith("500 ")
            assert await client.reply() == ""

    run(go())


@pytest.mark.parametrize("columns", [0, 8])
def test_help_tells_what_it_knows(columns: int, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await dressed(ftp, unknown=["AUTH", "PBSZ", "PROT"], help_columns=columns)
            known = (await client.ask("HELP")).split()
            assert "USER" in known
            assert not {"AUTH", "PBSZ", "PROT"} & set(known)
            assert (await client.ask("HELP AUTH")).startswith("501 ")
            assert (await client.ask("HELP USER")).startswith("214 ")
            assert (await client.ask("AUTH TLS")).startswith("500 ")
            assert "AUTH" in (await (await ftp.logged_in()).ask("HELP")).split()

    run(go())


def test_listings(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            root = await ftp.root()
            root.mkdir("/d")
            for name, seconds in (("old", 1), ("new", 2), (".hidden", 3)):
                with root.open(f"/d/{name}", "wb"):
                    pass
                root.utime(f"/d/{name}", seconds, seconds)
            client = await dressed(ftp, obeys_list_options=True, missing_lists_empty=True, nlst_names_paths=True)

            async def names(line: str) -> list[str]:
                return (await client.fetch(line)).decode().split()

            assert await names("NLST d") == ["d/new", "d/old"]
            assert await names("NLST -a /d/") == ["/d/.", "/d/..", "/d/.hidden", "/d/new", "/d/old"]
            assert await names("NLST -r d") == ["d/old", "d/new"]
            assert await names("NLST -tr d") == ["d/old", "d/new"]
            assert await names("NLST missing") == []
            assert len((await client.fetch("LIST -a d")).splitlines()) == 5
            assert await client.fetch("LIST missing") == b""
            assert len((await client.ask("STAT missing")).splitlines()) == 2
            await client.ask("CWD d")
            assert await names("NLST") == ["new", "old"]

    run(go())


def test_numbers_and_old_dates_in_a_listing(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            with (await ftp.root()).open("/f", "wb") as file:
                file.write(b"12345")
            (await ftp.root()).utime("/f", 946_857_600, 946_857_600)
            client = await dressed(ftp, numeric_listing=True)
            line = (await client.fetch("LIST")).decode()
            assert line[10:] == "    1 1000     1000            5 Jan 03  2000 f\r\n"

    run(go())


def test_ascii_converts_nothing(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await dressed(ftp, ascii_is_binary=True, replies={"type.200": "200 $type"})
            assert await client.ask("TYPE A") == "200 ASCII"
            await client.store("STOR f", b"a\r\nb\n")
            assert await client.fetch("RETR f") == b"a\r\nb\n"
            assert await client.ask("SIZE f") == "213 5"
            assert await client.ask("TYPE I") == "200 Binary"

    run(go())


def test_mdtm_sets_a_time(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await dressed(ftp, mdtm_sets_times=True)
            await client.store("STOR a b", b"")
            assert (await client.ask("MDTM 20010203040506 a b")).startswith("213 ")
            assert await client.ask("MDTM a b") == "213 20010203040506"
            assert (await client.ask("MDTM 20010203040506 c")).startswith("550 ")
            assert (await client.ask("MDTM 20019903040506 a b")).startswith("501 ")

    run(go())


def test_a_mask_for_what_is_new(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await dressed(ftp, umask="027")

            async def mode(path: str) -> int:
                return (await ftp.root()).stat(path).st_mode & 0o777

            await client.store("STOR f", b"")
            await client.ask("MKD d")
            assert (await mode("/f"), await mode("/d")) == (0o640, 0o750)
            assert (await client.ask("SITE UMASK")).startswith("200 ")
            assert (await client.ask("SITE UMASK 8")).startswith("501 ")
            assert (await client.ask("SITE UMASK 0")).startswith("200 ")
            await client.ask("SITE CHMOD 600 f")
            await client.store("STOR f", b"")
            await client.store("STOR g", b"")
            assert (await mode("/f"), await mode("/g")) == (0o600, 0o666)

    run(go())


def test_an_error_of_its_own_ends_the_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Dressed, line: str) -> None:
        raise RuntimeError(line)

    monkeypatch.setattr(Dressed, "ftp_NOOP", fail)

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await dressed(ftp, oops=True)
            assert (await client.ask("NOOP")).startswith("500 OOPS: ")
            assert await client.reply() == ""
            client = await ftp.logged_in()
            assert (await client.ask("NOOP")).startswith("451 ")
            assert (await client.ask("PWD")).startswith("257 ")

    run(go())


def test_what_needs_tls(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await dressed(ftp, login=False, login_needs_tls=True, data_needs_tls=True)
            assert (await client.ask("USER alice")).startswith("530 ")
            assert (await client.ask("AUTH TLS")).startswith("234 ")
            await client.start_tls()
            await client.login()
            await client.data()
            assert (await client.ask("NLST")).startswith("522 ")
            await client.ask("PBSZ 0")
            await client.ask("PROT P")
            pipe = await client.data()
            assert (await client.ask("NLST")).startswith("1")
            await pipe.writer.start_tls(client.context, server_hostname="localhost")
            assert (await client.reply()).startswith("226 ")

    run(go())


def test_times(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await dressed(ftp, login=False, idle_s=2.5, login_delay_s=0.5, replies={"*.421": "421 Timeout."})
            await client.ask("USER alice")
            began = time.monotonic()
            assert (await client.ask("PASS wrong")).startswith("530 ")
            assert time.monotonic() - began >= 0.5
            assert await client.reply() == "421 Timeout."

    run(go())


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ({"greetings": "x"}, "greetings"),
        ({"greeting": "a\nb"}, "greeting"),
        ({"features": ["MLST"], "unknown": ["MLST"]}, ""),
        ({"features": ["XCRC"]}, "features"),
        ({"unknown": ["list"]}, "unknown"),
        ({"replies": {"frob.200": "200 x"}}, ""),
        ({"replies": {"cwd.250": "550 no"}}, ""),
        ({"replies": {"cwd.250": "fine"}}, ""),
        ({"umask": "9"}, "umask"),
        ({"session_reuse": "never"}, "session_reuse"),
        ({"idle_s": -1}, "idle_s"),
    ],
)
def test_malformed_personas_are_refused_whole(keys: dict[str, Any], key: str) -> None:
    with pytest.raises(PersonaError) as refused:
        make(CARD, "mine", keys)
    assert key in refused.value.key


def test_ours_is_ours() -> None:
    assert msgspec.structs.asdict(Quirks())["replies"] == {}
    assert make(CARD, "mine", {}).quirks["ftp"] == Quirks()


def test_no_persona_tells_a_password(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await dressed(
                ftp, login=False, replies={"pass.530": "530 <$argument>", "*.230": "230 <$argument>"}
            )
            await client.ask("USER alice")
            assert await client.ask("pass wrong") == "530 <>"
            await client.ask("USER alice")
            assert await client.ask("PASS alice-secret") == "230 <>"

    run(go())
