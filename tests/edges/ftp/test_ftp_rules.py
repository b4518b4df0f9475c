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
from tests.support.ftp import LIMIT_S, PASSWORD, USER, Client, Ftp, Pipe, open_ftp

SOON_S = 0.15
DATA = bytes(range(256)) * 64

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


async def logged_in(ftp: Ftp) -> Client:
    with (await ftp.root()).open("/f", "wb") as file:
        file.write(DATA)
    return await ftp.logged_in()


async def silent(client: Client, pipe: Pipe | None = None) -> None:
    """Nothing more is said; the connection is open, since what else would end it is waited for."""
    await client.say("NOOP")
    waiting = asyncio.ensure_future(client.reader.read(1))
    done, _ = await asyncio.wait([waiting], timeout=SOON_S)
    assert not done
    waiting.cancel()


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
            assert time.monotonic() - began >= SOON_S
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


async def begin(client: Client, command: str) -> Pipe:
    pipe = await client.data()
    await client.say(command)
    return pipe


async def rest_of(pipe: Pipe) -> bytes:
    return await asyncio.wait_for(pipe.reader.read(), LIMIT_S)


@pytest.mark.parametrize("verb", ["transfer", "data", "complete"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_phases_of_a_download(verb: str, tls: bool, tmp_path: Path) -> None:
    carried = {"transfer": 0, "data": 8192, "complete": len(DATA)}[verb]
    where = {"octets": f">={carried}", "direction": "down", "path": "/f", "command": "RETR"}

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:

            async def ready() -> Client:
                await logged_in(ftp)
                client = await ftp.logged_in(implicit=tls)
                await client.ask("TYPE I")
                return client

            async def fetch(client: Client) -> Pipe:
                pipe = await client.data(tls=False)
                assert (await client.ask("RETR f")).startswith("1")
                if tls:
                    await pipe.writer.start_tls(client.context, server_hostname="localhost")
                return pipe

            client = await ready()
            await ftp.rule(verb, where=where, refuse="426 broken off", times=1)
            assert len(await rest_of(await fetch(client))) == carried
            assert await client.reply() == "426 broken off"
            await ftp.rule(verb, where=where, delay=f"{int(SOON_S * 1000)}ms", times=1)
            began = time.monotonic()
            assert await rest_of(await fetch(client)) == DATA
            assert time.monotonic() - began >= SOON_S
            assert (await client.reply()).startswith("226")
            await ftp.rule(verb, where=where, hang_up=True, times=1)
            assert len(await rest_of(await fetch(client))) == carried
            assert await client.reply() == ""
            client = await ready()
            await ftp.rule(verb, where=where, silence=True, times=1)
            pipe = await fetch(client)
            assert await asyncio.wait_for(pipe.reader.readexactly(carried), LIMIT_S) == DATA[:carried]
            await silent(client)

    run(go())


@pytest.mark.parametrize("verb", ["transfer", "data", "complete"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_phases_of_an_upload(verb: str, tls: bool, tmp_path: Path) -> None:
    where = {"direction": "up", "octets": ">=4096" if verb == "data" else ">=0"}

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:

            async def store(client: Client) -> None:
                pipe = await client.data(tls=False)
                assert (await client.ask("STOR g")).startswith("1")
                if tls:
                    await pipe.writer.start_tls(client.context, server_hostname="localhost")
                pipe.writer.write(DATA)
                pipe.writer.close()

            client = await ftp.logged_in(implicit=tls)
            await client.ask("TYPE I")
            await ftp.rule(verb, where=where, refuse="452 no room", times=1)
            await store(client)
            assert await client.reply() == "452 no room"
            assert (await ftp.root()).list("/") == []
            await ftp.rule(verb, where=where, delay="20ms", times=1)
            await store(client)
            assert (await client.reply()).startswith("226")
            assert await ftp.content("/g") == DATA
            (await ftp.root()).unlink("/g")
            await ftp.rule(verb, where=where, hang_up=True, times=1)
            await store(client)
            assert await client.reply() == ""
            client = await ftp.logged_in(implicit=tls)
            await ftp.rule(verb, where=where, silence=True, times=1)
            await store(client)
            await silent(client)
            assert (await ftp.root()).list("/") == []

    run(go())


@pytest.mark.parametrize("verb", ["retr", "transfer", "complete"])
def test_a_whole_file_and_a_lie_about_it(verb: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await logged_in(ftp)
            await client.ask("TYPE I")
            await ftp.rule(verb, say="451 the disk failed")
            pipe = await client.data()
            assert (await client.ask("RETR f")).startswith("1")
            assert await rest_of(pipe) == DATA
            assert await client.reply() == "451 the disk failed"
            assert (await client.ask("NOOP")).startswith("200")

    run(go())


def test_a_lie_in_place_of_the_150(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await logged_in(ftp)
            await ftp.rule("list", say="125 as you were")
            pipe = await client.data()
            assert await client.ask("LIST") == "125 as you were"
            assert b" f\r\n" in await rest_of(pipe)
            assert (await client.reply()).startswith("226")

    run(go())


@pytest.mark.parametrize("loop", LOOPS)
def test_stubs(loop: str, tmp_path: Path) -> None:
    listing = "-rw-r--r-- 1 a b 5 Jan 01 2020 ghost\n"

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await logged_in(ftp)
            await client.ask("TYPE I")
            await ftp.rule("retr", where={"path": "/ghost/*"}, respond="boo from $path")
            await ftp.rule("list", respond=listing)
            await ftp.rule("nlst", respond="a\nb\n")
            await ftp.rule("mlsd", respond="type=file; a\r\n")
            assert await client.fetch("RETR ghost/1") == b"boo from /ghost/1"
            await client.ask("REST 4")
            assert await client.fetch("RETR ghost/1") == b"from /ghost/1"
            assert await client.fetch("RETR f") == DATA
            assert await client.fetch("LIST anywhere") == listing.replace("\n", "\r\n").encode()
            assert await client.fetch("NLST") == b"a\r\nb\r\n"
            assert await client.fetch("MLSD") == b"type=file; a\r\n"

    run(go(), loop)


def test_data_connections_refused_delayed_and_never_taken(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await logged_in(ftp)
            await ftp.rule("data_connect", where={"mode": "passive"}, refuse="425 no data today", times=2)
            pipe = await client.data()
            assert await rest_of(pipe) == b""
            assert await client.ask("NLST") == "425 no data today"
            port = await client.passive()  # and with the command before the connection
            assert (await client.ask("NLST")).startswith("150")
            pipe = await client.pipe(port)
            assert await client.reply() == "425 no data today"
            assert await client.fetch("NLST") == b"f\r\n"
            await ftp.rule("data_connect", delay=f"{int(SOON_S * 1000)}ms", times=1)
            began = time.monotonic()
            assert await client.fetch("NLST") == b"f\r\n"
            assert time.monotonic() - began >= SOON_S
            await ftp.rule("data_connect", hang_up=True, times=1)
            pipe = await client.data()
            assert await rest_of(pipe) == b""
            assert await client.reply() == ""
            client = await logged_in(ftp)
            await ftp.rule("data_connect", silence=True, times=1)
            await begin(client, "NLST")
            assert (await client.reply()).startswith("150")
            await silent(client)

    run(go())


def test_active_data_connections(tmp_path: Path) -> None:
    async def go() -> None:
        taken: asyncio.Queue[Pipe] = asyncio.Queue()
        pipes: list[Pipe] = []

        async def took(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            pipes.append(Pipe(reader, writer))
            taken.put_nowait(pipes[-1])

        server = await asyncio.start_server(took, "127.0.0.1", 0)
        number = server.sockets[0].getsockname()[1]
        eprt = f"EPRT |1|127.0.0.1|{number}|"
        async with open_ftp(tmp_path) as ftp, server:
            client = await logged_in(ftp)
            await ftp.rule("data_connect", where={"mode": "active"}, refuse="425 can't reach you", times=1)
            assert await client.ask(eprt) == "425 can't reach you"
            assert taken.empty()
            await ftp.rule("data_connect", cut_after=2, times=1)
            assert (await client.ask(eprt)).startswith("200")
            assert (await client.ask("NLST")).startswith("1")
            assert await rest_of(await taken.get()) == b"f\r"
            await client.reply()
            assert (await client.ask(eprt)).startswith("200")
            assert (await client.ask("NLST")).startswith("1")
            assert await rest_of(await taken.get()) == b"f\r\n"
            assert (await client.reply()).startswith("226")
            await ftp.rule("data_connect", silence=True, times=1)
            await client.say(eprt)
            await silent(client)
            assert taken.empty()
            for pipe in pipes:
                await pipe.close()

    run(go())


# Faults of bytes on the data connection


@pytest.mark.parametrize("verb", ["data_connect", "transfer", "data"])
def test_faults_of_bytes_strike_the_data_connection(verb: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await logged_in(ftp)
            await client.ask("TYPE I")

            async def fetch() -> Pipe:
                pipe = await client.data()
                assert (await client.ask("RETR f")).startswith("1")
                return pipe

            await ftp.rule(verb, cut_after=1000, times=1)
            assert await rest_of(await fetch()) == DATA[:1000]
            await client.reply()
            await ftp.rule(verb, corrupt={"after_octets": 10, "octets": 2}, times=1)
            got = await rest_of(await fetch())
            assert [index for index, octet in enumerate(got) if octet != DATA[index]] == [10, 11]
            assert (await client.reply()).startswith("226")
            await ftp.rule(verb, reset={"after_octets": 500}, times=1)
            pipe = await fetch()
            with pytest.raises(ConnectionResetError):
                await rest_of(pipe)
            await client.reply()
            assert (await client.ask("NOOP")).startswith("200")
            await ftp.rule(verb, bandwidth=len(DATA) * 5, times=1)
            began = time.monotonic()
            assert await rest_of(await fetch()) == DATA
            assert time.monotonic() - began > 0.05

    run(go())


# Magic names


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
