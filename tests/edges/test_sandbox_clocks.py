"""What the testbed dates, it dates by the sandbox's clock, as stock clients see it; the sandbox beside it keeps the machine's time."""

from __future__ import annotations

import asyncio
import contextlib
import ftplib
import imaplib
import io
import poplib
import smtplib
import socket
import ssl
import urllib.request
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path

import aiohttp
import asyncssh

from portyard.commons.card import Card
from portyard.commons.scenario.parsing import parse_rule
from portyard.commons.scenario.personas import Wardrobe
from portyard.commons.yard import Yard
from portyard.dns.card import CARD as DNS
from portyard.ftp.card import CARD as FTP
from portyard.http.card import CARD as HTTP
from portyard.imap.card import CARD as IMAP
from portyard.pop3.card import CARD as POP3
from portyard.smtp.card import CARD as MAIL
from portyard.smtp.spool import Entry, queue
from portyard.ssh.card import CARD as SSH
from portyard.websocket.card import CARD as WEBSOCKET
from tests.support.asyncio_tests import run
from tests.support.mail_chain import arrived, inbox, queue_changes
from tests.support.process import serving
from tests.support.yard import Served, open_yard, serve

LIMIT_S = 20.0
WHEN = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@contextlib.asynccontextmanager
async def frozen(state: Path, *cards: Card, **changes: object) -> AsyncIterator[Served]:
    """Services, a sandbox t1 whose clock stands at WHEN, and t2 beside it."""
    async with open_yard(state, **changes) as yard, serve(yard, *cards) as served:
        for name in ("t1", "t2"):
            await yard.sandboxes.create(name)
            await yard.accounts.create(name, f"u@{name}.test", "pw")
        await yard.clocks.freeze("t1", WHEN)
        yield served


def submit(served_port: int, sandbox: str, octets: bytes = b"Subject: x\r\n\r\n") -> None:
    with smtplib.SMTP("127.0.0.1", served_port, timeout=LIMIT_S) as client:
        client.login(f"u@{sandbox}.test", "pw")
        client.sendmail(f"u@{sandbox}.test", [f"u@{sandbox}.test"], octets)


async def internal_dates(yard: Yard, login: str) -> list[datetime]:
    account = await yard.accounts.find(login)
    assert account is not None
    box = await yard.mail.mailbox(account.id, "INBOX")
    assert box is not None
    uids = [entry.uid for entry in await yard.mail.entries(box.id)]
    return [message.internal_date async for message in yard.mail.messages(box.id, uids)]


def about_now(moment: datetime) -> bool:
    return abs(datetime.now(UTC) - moment) < timedelta(minutes=5)


def test_every_hop_dates_by_the_recipients_sandbox(tmp_path: Path) -> None:
    async def go() -> None:
        async with frozen(tmp_path, MAIL, DNS) as served:
            port = served.port("submission")
            await asyncio.gather(*(asyncio.to_thread(submit, port, name) for name in ("t1", "t2")))
            (theirs,), (others,) = (
                await arrived(served.yard, "u@t1.test", 1),
                await arrived(served.yard, "u@t2.test", 1),
            )
            told = message_from_bytes(theirs)
            received = [
                parsedate_to_datetime(field.rpartition(";")[2].strip()) for field in told.get_all("Received", [])
            ]
            assert received == [WHEN] * 3
            assert parsedate_to_datetime(told["Date"]) == WHEN
            assert await internal_dates(served.yard, "u@t1.test") == [WHEN]
            assert about_now(parsedate_to_datetime(message_from_bytes(others)["Date"]))
            assert about_now((await internal_dates(served.yard, "u@t2.test"))[0])

    run(go())


async def entries(yard: Yard, attempts: int, sandbox: str = "t1") -> list[Entry]:
    """A sandbox's queue, once everything in it was tried so often."""
    async for _ in queue_changes(yard):
        found = await queue(yard.mail_database, sandbox)
        if found and all(entry.attempts == attempts for entry in found):
            return found
    raise AssertionError


async def greylist(yard: Yard, times: int) -> None:
    """Turn the next hop inside away so often."""
    for name in ("t1", "t2"):
        words = {"on": "smtp.rcpt", "where": {"role": "mta"}, "times": times, "then": {"refuse": "451 4.7.1 later"}}
        await yard.rules.add(name, parse_rule(words))


def test_a_retry_comes_with_its_sandboxs_clock_and_never_while_that_stands(tmp_path: Path) -> None:
    async def go() -> None:
        async with frozen(tmp_path, MAIL, DNS, retry_s=(900.0, 1.0)) as served:
            yard, port = served.yard, served.port("submission")
            await greylist(yard, 1)
            await asyncio.to_thread(submit, port, "t1")
            (entry,) = await entries(yard, 1)
            assert (entry.due, entry.reason) == ((WHEN + timedelta(minutes=15)).timestamp(), "451 4.7.1 later")
            await yard.clocks.advance("t1", timedelta(seconds=899))
            await asyncio.to_thread(submit, port, "t2")  # is turned away, and has a clock of its own
            await entries(yard, 1, "t2")
            await yard.clocks.advance("t2", timedelta(minutes=15))
            assert len(await arrived(yard, "u@t2.test", 1)) == 1
            assert [entry.attempts for entry in await queue(yard.mail_database, "t1")] == [1]
            await yard.clocks.advance("t1", timedelta(seconds=1))
            assert len(await arrived(yard, "u@t1.test", 1)) == 1

    run(go())


def test_another_process_hears_of_the_clock(tmp_path: Path) -> None:
    async def go() -> None:
        with serving(tmp_path, "msa", "mta", "mda", "dns", PORTYARD_RETRY_S="900") as other:
            async with open_yard(tmp_path) as yard:
                await yard.sandboxes.create("t1")
                await yard.sandboxes.create("t2")
                await yard.accounts.create("t1", "u@t1.test", "pw")
                await yard.clocks.freeze("t1", WHEN)
                await greylist(yard, 1)
                await asyncio.to_thread(submit, other.port("submission"), "t1")
                await entries(yard, 1)
                await yard.clocks.advance("t1", timedelta(minutes=15))
                assert len(await arrived(yard, "u@t1.test", 1)) == 1

    run(go())


def test_mail_older_than_four_days_is_given_up(tmp_path: Path) -> None:
    async def go() -> None:
        async with frozen(tmp_path, MAIL, DNS) as served:
            yard = served.yard
            await greylist(yard, 9)
            await asyncio.to_thread(submit, served.port("submission"), "t1")
            await entries(yard, 1)
            await yard.clocks.advance("t1", timedelta(days=5))
            (entry,) = await entries(yard, 2)
            assert (entry.state, entry.reason) == ("failed", "451 4.7.1 later")

    run(go())


def test_an_appended_message_without_a_date_gets_the_sandboxs(tmp_path: Path) -> None:
    def errand(port: int) -> None:
        for name in ("t1", "t2"):
            with imaplib.IMAP4("127.0.0.1", port, timeout=LIMIT_S) as client:
                client.login(f"u@{name}.test", "pw")
                client.append("INBOX", "", "", b"Subject: x\r\n\r\n")

    async def go() -> None:
        async with frozen(tmp_path, IMAP) as served:
            await asyncio.to_thread(errand, served.port("imap"))
            assert await internal_dates(served.yard, "u@t1.test") == [WHEN]
            assert about_now((await internal_dates(served.yard, "u@t2.test"))[0])

    run(go())


def test_ftp_dates_what_it_made(tmp_path: Path) -> None:
    def errand(port: int) -> None:
        for name in ("t1", "t2"):
            with ftplib.FTP(timeout=LIMIT_S) as client:
                client.connect("127.0.0.1", port)
                client.login(f"u@{name}.test", "pw")
                client.mkd("made")
                client.storbinary("STOR made/whole", io.BytesIO(b"x"))
                client.storbinary("APPE made/appended", io.BytesIO(b"y"))
                facts = dict(client.mlsd("made", ["modify"])) | dict(client.mlsd("", ["modify"]))
                times = {facts[found]["modify"] for found in ("whole", "appended", "made")}
                told = datetime.strptime(client.sendcmd("MDTM made/whole")[4:18], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
                listed: list[str] = []
                client.dir("made", listed.append)
                if name == "t1":
                    assert {time[:14] for time in times} == {"20300102030405"}
                    assert told == WHEN
                    assert all("Jan  2 03:04" in line for line in listed)
                else:
                    assert about_now(told)

    async def go() -> None:
        async with frozen(tmp_path, FTP) as served:
            await asyncio.to_thread(errand, served.port("ftp"))

    run(go())


async def date_by_sftp(connection: asyncssh.SSHClientConnection, names: str) -> None:
    """The dates that SFTP shows, and those that it leaves."""
    async with connection.start_sftp_client() as sftp:
        async with sftp.open("/written", "wb+") as file:
            await file.write(b"x" * 100_000)
            assert (await file.stat()).mtime == WHEN.timestamp()
            await file.utime((1, 2))
            assert len(await file.read(10, 0)) == 10
        for found in (await sftp.stat("/written"), await sftp.lstat("/written")):
            assert (found.atime, found.mtime) == (1, 2)  # what the client wants stays
        assert (await connection.run("cat written | wc -c; stat -c '%X %Y' written")).stdout == "100000\n1 2\n"
        await sftp.listdir("/folder")
        await sftp.readlink("/link")
        for name in names.split():
            assert (await sftp.lstat(f"/{name}")).atime == WHEN.timestamp(), name
        await sftp.mkdir("/by-sftp")
        lines = {str(entry.filename): str(entry.longname) for entry in await sftp.readdir("/")}
        assert lines["made"].endswith(" Jan  2 03:04 made"), lines
        assert lines["written"].endswith(" Jan  1  1970 written"), lines
        dated = ("made", "other", "folder", "copy", "by-sftp", ".")
        assert {(await sftp.stat(f"/{name}")).mtime for name in dated} == {WHEN.timestamp()}


def test_ssh_tells_and_dates_by_it(tmp_path: Path) -> None:
    async def go() -> None:
        async with (
            frozen(tmp_path, SSH) as served,
            asyncssh.connect(
                "127.0.0.1",
                served.port("ssh"),
                username="u@t1.test",
                password="pw",
                known_hosts=None,
                client_keys=None,
                config=None,
            ) as connection,
        ):
            assert (await connection.run("date -u +%Y-%m-%dT%H:%M:%S")).stdout == "2030-01-02T03:04:05\n"
            await connection.run("echo redirected > made; echo teed | tee other; mkdir folder; cp made copy")
            second = f"{WHEN.timestamp():.0f}"
            assert (await connection.run("stat -c '%Y %Z' made")).stdout == f"{second} {second}\n"
            await connection.run("ln -s made link; cat made link other; ls -R; tail -c 3 copy >> other")
            names = "made other folder copy link ."
            assert (await connection.run(f"stat -c %X {names}")).stdout == f"{second}\n" * 6
            assert (await connection.run("stat -c %x made")).stdout.startswith("2030-01-02 03:04:05")
            await date_by_sftp(connection, names)

    run(go())


def test_http_dates_its_answers_and_files(tmp_path: Path) -> None:
    def errand(port: int) -> None:
        for sandbox, right in (("t1", lambda moment: moment == WHEN), ("t2", about_now)):
            password = urllib.request.HTTPPasswordMgrWithPriorAuth()
            password.add_password(None, f"http://127.0.0.1:{port}", f"u@{sandbox}.test", "pw", is_authenticated=True)
            opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(password))
            url = f"http://127.0.0.1:{port}/~{sandbox}"
            opener.open(urllib.request.Request(f"{url}/files/u/a/b.txt", b"x", method="PUT"), timeout=LIMIT_S).close()
            for path, fields in (
                ("/files/u/a/b.txt", ("Date", "Last-Modified")),
                ("/cache", ("Date", "Last-Modified")),
            ):
                with opener.open(url + path, timeout=LIMIT_S) as answer:
                    assert all(right(parsedate_to_datetime(answer.headers[field])) for field in fields), answer.headers

    async def go() -> None:
        async with frozen(tmp_path, HTTP) as served:
            await asyncio.to_thread(errand, served.port("http"))

    run(go())


def test_what_no_application_answers_is_dated_too(tmp_path: Path) -> None:
    def date(port: int, octets: bytes) -> datetime:
        with socket.create_connection(("127.0.0.1", port), LIMIT_S) as client, client.makefile("rb") as answer:
            client.sendall(octets)
            (field,) = [line for line in answer.read().split(b"\r\n") if line.startswith(b"Date: ")]
        return parsedate_to_datetime(field.decode().removeprefix("Date: "))

    async def go() -> None:
        async with frozen(tmp_path, HTTP, WEBSOCKET) as served:
            yard, ours = served.yard, WHEN + timedelta(days=1)
            await yard.clocks.freeze("default", ours)
            for port in ("http", "ws"):
                assert await asyncio.to_thread(date, served.port(port), b"not a request\r\n\r\n") == ours
            told = {"status": 200, "headers": {"Date": "Tue, 15 Nov 1994 08:12:31 GMT"}}
            await yard.rules.add("t1", parse_rule({"on": "http.request", "then": {"respond": told}}))
            asked = b"GET /~t1/get HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            assert (await asyncio.to_thread(date, served.port("http"), asked)).year == 1994

    run(go())


def test_an_upgrade_is_dated_too(tmp_path: Path) -> None:
    async def go() -> None:
        async with frozen(tmp_path, WEBSOCKET) as served, aiohttp.ClientSession() as session:
            url = f"ws://127.0.0.1:{served.port('ws')}/~t1/echo"
            async with session.ws_connect(url) as socket:
                assert parsedate_to_datetime(socket._response.headers["Date"]) == WHEN

    run(go())


def test_pop3_greets_with_it(tmp_path: Path) -> None:
    def errand(port: int) -> bytes:
        client = poplib.POP3("127.0.0.1", port, timeout=LIMIT_S)
        client.quit()
        return client.getwelcome()

    async def go() -> None:
        async with frozen(tmp_path, POP3) as served:
            await served.yard.clocks.freeze("default", WHEN)
            assert f".{WHEN.timestamp():.6f}@".encode() in await asyncio.to_thread(errand, served.port("pop3"))

    run(go())


def test_a_persona_greets_with_it(tmp_path: Path) -> None:
    def greeting(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), LIMIT_S) as client, client.makefile("rb") as lines:
            return lines.readline()

    def greeting_below_tls(port: int, context: ssl.SSLContext) -> bytes:
        with (
            socket.create_connection(("127.0.0.1", port), LIMIT_S) as client,
            context.wrap_socket(client, server_hostname="mail.t1.test") as below,
            below.makefile("rb") as lines,
        ):
            return lines.readline()

    async def go() -> None:
        async with frozen(tmp_path, MAIL, POP3, IMAP) as served:
            yard, ours = served.yard, WHEN + timedelta(days=1)
            await yard.clocks.freeze("default", ours)
            for card, words in ((MAIL, "220 at $time"), (POP3, "at $time"), (IMAP, "at $time")):
                Wardrobe(yard.state).put(card, "timed", {"replies": {"greeting": words}})
                rule = {"on": f"{card.name}.connect", "then": {"persona": "timed"}}
                await yard.rules.add("default", parse_rule(rule))
            for port in ("smtp", "submission", "pop3", "imap"):
                assert format_datetime(ours).encode() in await asyncio.to_thread(greeting, served.port(port)), port
            for port in ("submissions", "pop3s", "imaps"):
                line = await asyncio.to_thread(greeting_below_tls, served.port(port), served.client_context())
                assert format_datetime(WHEN).encode() in line, port

    run(go())


def test_a_reset_drops_what_waits_for_its_turn(tmp_path: Path) -> None:
    async def go() -> None:
        async with frozen(tmp_path, MAIL, DNS, retry_s=(900.0,)) as served:
            yard = served.yard
            await greylist(yard, 1)
            await asyncio.to_thread(submit, served.port("submission"), "t1")
            await entries(yard, 1)
            await yard.sandboxes.reset("t1")  # its clock is the machine's again, 15 minutes are far
            async for _ in queue_changes(yard):
                if not await queue(yard.mail_database, "t1"):
                    break
            await asyncio.to_thread(submit, served.port("submission"), "t1", b"Subject: new\r\n\r\n")
            (message,) = await arrived(yard, "u@t1.test", 1)
            assert b"Subject: new" in message
            assert len(await inbox(yard, "u@t1.test")) == 1

    run(go())
