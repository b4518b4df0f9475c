"""What rules do to the FTP room, seen from a client that knows nothing of them."""

from __future__ import annotations

import asyncio
import ftplib
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from portyard.commons.scenario.model import Scalar
from portyard.ftp import ruled
from portyard.ftp.core.verbs import VOCABULARY
from tests.support.asyncio_tests import LOOPS, run
from tests.support.ftp import LIMIT_S, PASSWORD, USER, Client, open_ftp
from tests.support.ftp_rules import DATA, SOON_S, logged_in, silent

Errand = Callable[[Client], Awaitable[None]]

# One command line for each verb that a logged-in client can say, and the first digit of its true answer.
LINES = {
    "user": ("USER bob", "331"),
    "pass": ("PASS x", "503"),
    "acct": ("ACCT x", "202"),
    "host": ("HOST localhost", "503"),
    "auth": ("AUTH TLS", "234"),
    "pbsz": ("PBSZ 0", "503"),
    "prot": ("PROT P", "503"),
    "ccc": ("CCC", "533"),
    "rein": ("REIN", "220"),
    "quit": ("QUIT", "221"),
    "pasv": ("PASV", "227"),
    "epsv": ("EPSV", "229"),
    "port": ("PORT 1", "501"),
    "eprt": ("EPRT 1", "501"),
    "type": ("TYPE I", "200"),
    "stru": ("STRU F", "200"),
    "mode": ("MODE S", "200"),
    "rest": ("REST 0", "501"),
    "allo": ("ALLO 5", "202"),
    "retr": ("RETR f", "425"),
    "stor": ("STOR f", "425"),
    "appe": ("APPE f", "425"),
    "stou": ("STOU", "425"),
    "list": ("LIST", "425"),
    "nlst": ("NLST", "425"),
    "mlsd": ("MLSD", "425"),
    "mlst": ("MLST f", "250"),
    "size": ("SIZE f", "213"),
    "mdtm": ("MDTM f", "213"),
    "mfmt": ("MFMT 20200101000000 f", "213"),
    "pwd": ("XPWD", "257"),
    "cwd": ("CWD /", "250"),
    "cdup": ("CDUP", "250"),
    "mkd": ("MKD f", "550"),
    "rmd": ("RMD nothing", "550"),
    "dele": ("DELE f", "250"),
    "rnfr": ("RNFR f", "350"),
    "rnto": ("RNTO g", "503"),
    "abor": ("ABOR", "225"),
    "stat": ("STAT", "211"),
    "site": ("SITE HELP", "214"),
    "feat": ("FEAT", "211"),
    "opts": ("OPTS UTF8 ON", "200"),
    "syst": ("SYST", "215"),
    "help": ("HELP", "214"),
    "noop": ("NOOP", "200"),
    "unknown": ("FROBNICATE x", "500"),
}
MOMENTS = {"connect", "greeting", "tls", "data_connect", "data_tls", "transfer", "data", "complete"}


def test_the_table_has_every_verb() -> None:
    assert LINES.keys() | MOMENTS == VOCABULARY.verbs.keys()


@pytest.mark.parametrize("verb", LINES)
def test_every_command_obeys_every_answer(verb: str, tmp_path: Path) -> None:
    """One client after the other, and then the truth, so that rules spend themselves."""

    async def go() -> None:
        line, truth = LINES[verb]
        async with open_ftp(tmp_path) as ftp:
            client = await logged_in(ftp)
            await ftp.rule(verb, refuse="451 not today", times=1)
            assert await client.ask(line) == "451 not today"
            if truth not in ("234", "221"):
                await ftp.rule(verb, say="299 so they say", times=1)
                assert await client.ask(line) == "299 so they say"
                assert (await client.ask("NOOP")).startswith("200") or verb == "noop"
            await client.close()
            client = await logged_in(ftp)
            await ftp.rule(verb, delay=f"{int(SOON_S * 1000)}ms", times=1)
            began = time.monotonic()
            assert (await client.ask(line)).startswith(truth)
            assert time.monotonic() - began >= SOON_S * 0.9
            await client.close()
            client = await logged_in(ftp)
            await ftp.rule(verb, hang_up=True, times=1)
            assert await client.ask(line) == ""
            client = await logged_in(ftp)
            await ftp.rule(verb, silence=True, times=1)
            await client.say(line)
            await silent(client)

    run(go())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_refusal_moves_nothing_and_a_lie_does(loop: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await logged_in(ftp)
            await ftp.rule("dele", refuse="450 in use", times=1)
            await ftp.rule("dele", say="550 no such file", times=1)
            assert await client.ask("DELE f") == "450 in use"
            assert await ftp.content("/f") == DATA
            assert await client.ask("DELE f") == "550 no such file"
            assert (await ftp.root()).list("/") == []

    run(go(), loop)


@pytest.mark.parametrize("command", ["RETR f", "STOR f"])
@pytest.mark.parametrize("then", [{"refuse": "450 in use"}, {"script": [{"say": "450 in use"}]}])
def test_a_refused_transfer_takes_its_restart_marker_along(
    command: str, then: dict[str, object], tmp_path: Path
) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await logged_in(ftp)
            await ftp.rule(command[:4].lower(), **then, times=1)
            await ftp.rule(command[:4].lower(), where={"offset": 0}, refuse="450 from the beginning")
            assert (await client.ask("TYPE I")).startswith("200")
            assert (await client.ask("REST 3")).startswith("350")
            assert await client.ask(command) == "450 in use"
            assert await client.ask(command) == "450 from the beginning"

    run(go())


def test_a_script_talks_in_the_rooms_place(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in()
            script = [{"say": "331 one-time code?"}, {"expect": "PASS 42"}, {"delay": "10ms"}, {"send": "230 wel"}]
            await ftp.rule("noop", script=[*script, {"send": "come\r\n"}], times=1)
            assert await client.ask("NOOP") == "331 one-time code?"
            assert await client.ask("PASS 42") == "230 welcome"
            assert await client.ask("NOOP") == "200 OK."
            await ftp.rule(
                "noop", script=[{"say": "331 ?"}, {"expect": "yes"}, {"say": "200 never"}, {"hang_up": True}]
            )
            assert await client.ask("NOOP") == "331 ?"
            assert await client.ask("no") == '500 Command "NO" not understood.'
            assert (await client.ask("PWD")).startswith("257")

    run(go())


def test_multi_line_answers_are_replaced_whole(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in()
            await ftp.rule("feat", say="211-Features:\n EPSV\n211 End", times=1)
            assert await client.ask("FEAT") == "211-Features:\n EPSV\n211 End"
            assert "MLST" in await client.ask("FEAT")

    run(go())


# Before anything is said


@pytest.mark.parametrize("implicit", [False, True])
def test_the_greeting(implicit: bool, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule("greeting", refuse="421 come back tomorrow", times=1)
            client = await ftp.knock(implicit=implicit)
            assert [await client.reply(), await client.reply()] == ["421 come back tomorrow", ""]
            await ftp.rule("greeting", say="220 vsFTPd 2.0", delay="20ms", times=1)
            client = await ftp.knock(implicit=implicit)
            assert await client.reply() == "220 vsFTPd 2.0"
            await client.login()
            await ftp.rule("greeting", hang_up=True, times=1)
            client = await ftp.knock(implicit=implicit)
            assert await client.reply() == ""
            await ftp.rule("greeting", silence=True, times=1)
            await silent(await ftp.knock(implicit=implicit))

    run(go())


def test_a_claimed_name_chooses_the_sandbox_before_its_password_is_known(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.yard.sandboxes.create("t1")
            await ftp.rule("user", sandbox="t1", refuse="530 t1 is closed", times=1)
            await ftp.rule("pass", sandbox="t1", refuse="430 wrong, says t1")
            other = await ftp.client()
            assert (await other.ask(f"USER {USER}")).startswith("331")
            client = await ftp.client()
            assert await client.ask("USER u1@t1.test") == "530 t1 is closed"
            assert (await client.ask("USER u1@t1.test")).startswith("331")
            assert await client.ask("PASS whatever") == "430 wrong, says t1"
            assert (await other.ask(f"PASS {PASSWORD}")).startswith("230")
            assert (await (await ftp.client()).ask("HOST t1.test")).startswith("220")

    run(go())


# Transfers


def test_magic_names(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path, magic=True) as ftp:
            client = await logged_in(ftp)
            assert (await client.ask("RETR report+550.txt")).startswith("550 ")
            assert (await client.ask("STOR a+452x1")).startswith("452 ")
            assert (await client.store("STOR a+452x1", b"x")).startswith("226")
            assert (await client.store("STOR plain+name", b"x")).startswith("226")
            assert (await client.ask("MKD d+550")).startswith("550 ")
            assert (await client.ask("DELE f+450")).startswith("450 ")
            assert (await client.ask("RNFR f")).startswith("350 ")
            assert (await client.ask("RNTO g+553")).startswith("553 ")
            assert (await client.ask("SIZE f+450")).startswith("550 No such file")  # no magic there
            assert await client.ask("RETR g+hangup") == ""
            assert (await (await ftp.client()).ask("USER eve+430@portyard.test")).startswith("430 ")

    run(go())


# Stock clients


def test_ftplib_retries(tmp_path: Path) -> None:
    """Fail twice, then succeed."""

    def errand(port: int) -> list[str]:
        said = []
        with ftplib.FTP(timeout=LIMIT_S) as client:
            client.connect("127.0.0.1", port)
            client.login(USER, PASSWORD)
            for _ in range(3):
                try:
                    client.retrbinary("RETR f", lambda _: None)
                except ftplib.error_temp as error:
                    said.append(str(error))
            client.quit()
        return said

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await logged_in(ftp)
            await ftp.rule("retr", refuse="450 try again", times=2)
            assert await asyncio.to_thread(errand, ftp.served.port("ftp")) == ["450 try again"] * 2

    run(go())


def test_a_fault_is_journalled_and_counted(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in()
            await ftp.rule("noop", name="grumble", refuse="500 no")
            await client.ask("NOOP")
            (fault,) = await ftp.events("fault")
            assert (fault.fields["verb"], fault.fields["rule"], fault.fields["does"]) == ("noop", "grumble", ["refuse"])

    run(go())


def test_the_listener_socket_is_the_only_one_left(tmp_path: Path) -> None:
    """Whoever is silenced may leave, and leaves nothing behind."""

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule("noop", silence=True)
            client = await ftp.logged_in()
            await client.say("NOOP")
            sock = client.writer.get_extra_info("socket")
            sock.shutdown(socket.SHUT_WR)
            assert await asyncio.wait_for(client.reader.read(), LIMIT_S) == b""
            assert [event.kind for event in await ftp.events("closed")] == ["closed"]

    run(go())


# Faults of bytes on the control connection


@pytest.mark.parametrize("implicit", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("verb", ["noop", "retr"])
def test_faults_of_bytes_armed_by_a_command_strike_the_control_connection(
    verb: str, implicit: bool, tmp_path: Path
) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule(verb, reset=True)
            client = await ftp.logged_in(implicit=implicit)
            assert (await client.ask("PWD")).startswith("257")
            await client.say(LINES[verb][0])
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(client.reader.read(), LIMIT_S)

    run(go())


def test_faults_of_bytes_from_the_start(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule("connect", cut_after=4, times=1)
            client = await ftp.knock()
            assert await asyncio.wait_for(client.reader.read(), LIMIT_S) == b"220 "
            await ftp.rule("connect", slice={"octets": 1}, times=1)
            client = await ftp.client()
            assert (await client.ask("AUTH TLS")).startswith("234")
            await client.start_tls()
            await client.login()
            assert (await client.ask("PASV")).startswith("227 Entering passive mode (127,0,0,1,")
            await client.ask("TYPE A")
            assert await client.fetch("NLST") == b""

    run(go())


def test_a_repeated_line_is_asked_about_again_when_it_means_something_else(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            root = await ftp.root()
            for folder in ("/d", "/d/d"):
                root.mkdir(folder)
            await ftp.rule("cwd", where={"path": "/d/d/*"}, refuse="550 too deep")
            await ftp.rule("noop", where={"account": "bob*"}, refuse="450 not bob")
            await ftp.rule("type", where={"argument": "E"}, refuse="504 no EBCDIC")
            client = await ftp.logged_in()
            assert [(await client.ask("CWD d"))[:3] for _ in range(2)] == ["250", "250"]
            assert await client.ask("CWD d") == "550 too deep"  # /d/d/d
            assert [(await client.ask("CWD /d"))[:3] for _ in range(2)] == ["250", "250"]
            assert [(await client.ask("TYPE I"))[:3] for _ in range(2)] == ["200", "200"]
            assert await client.ask("TYPE E") == "504 no EBCDIC"
            await ftp.rule("type", refuse="450 later")
            assert await client.ask("TYPE I") == "450 later"
            assert [await client.ask("NOOP") for _ in range(2)] == ["200 OK.", "200 OK."]
            await client.ask("USER bob")
            await client.ask("PASS bob-secret")
            assert await client.ask("NOOP") == "450 not bob"

    run(go())


def test_paths_that_nobody_means_are_known_without_their_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[str] = []

    def look(path: str) -> dict[str, Scalar]:
        looked_at.append(path)
        return {"path": path}

    monkeypatch.setattr(ruled, "_path_field", look)

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            (await ftp.root()).mkdir("/d")
            await ftp.rule("mdtm", where={"path": "/e"}, refuse="550 not e")
            await ftp.rule("dele", where={"path": "/d/f"}, refuse="550 not this f")
            client = await logged_in(ftp)
            assert [(await client.ask(line))[:3] for line in ("SIZE f", "MDTM f", "SIZE e")] == ["213", "213", "550"]
            assert [await client.ask(line) for line in ("MDTM e", "MDTM //e")] == ["550 not e", "550 not e"]
            assert (await client.ask("CWD d")).startswith("250")
            assert (await client.ask("SIZE ../f")).startswith("213")
            assert await client.ask("DELE f") == "550 not this f"
            assert [(await client.ask(line))[:3] for line in ("DELE /f", "RMD /d")] == ["250", "250"]
            assert looked_at == ["/f", "/e", "/e", "/e", "/d/f"]  # by the first it is known that it takes a path

    run(go())
