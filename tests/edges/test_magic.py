"""Magic words in every place that has them, seen from stock clients: login names, addresses, file names and paths, commands.

On by a switch of each sandbox, off until it is switched on.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ftplib
import http.client
import imaplib
import io
import poplib
import smtplib
import socket
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
import asyncssh
import pytest

from portyard.commons.card import Card
from portyard.ftp.card import CARD as FTP
from portyard.http.card import CARD as HTTP
from portyard.imap.card import CARD as IMAP
from portyard.pop3.card import CARD as POP3
from portyard.smtp.card import CARD as SMTP
from portyard.ssh.card import CARD as SSH
from tests.support.asyncio_tests import run
from tests.support.mail_chain import arrived, chain, submit
from tests.support.talks import PASSWORD
from tests.support.yard import Served, open_yard, serve

LIMIT_S = 20
WAIT_S = 0.15


def pop3(place: Served, login: str) -> str:
    client = poplib.POP3("127.0.0.1", place.port("pop3"), timeout=LIMIT_S)
    try:
        client.user(login)
        client.pass_(PASSWORD)
    except poplib.error_proto as error:
        return str(error.args[0])
    finally:
        client.close()
    return "granted"


def apop(place: Served, login: str) -> str:
    client = poplib.POP3("127.0.0.1", place.port("pop3"), timeout=LIMIT_S)
    try:
        client.apop(login, PASSWORD)
    except poplib.error_proto as error:
        return str(error.args[0])
    finally:
        client.close()
    return "granted"


def sasl(place: Served, login: str) -> str:
    """As `pop3`, by AUTH (RFC 5034), which poplib hasn't."""
    initial = base64.b64encode(f"\0{login}\0{PASSWORD}".encode())
    with socket.create_connection(("127.0.0.1", place.port("pop3")), LIMIT_S) as client, client.makefile("rb") as said:
        said.readline()
        client.sendall(b"AUTH PLAIN " + initial + b"\r\n")
        answer = said.readline().decode()
    return "granted" if answer.startswith("+OK") else answer


def imap(place: Served, login: str) -> str:
    client = imaplib.IMAP4("127.0.0.1", place.port("imap"), timeout=LIMIT_S)
    try:
        client.login(login, PASSWORD)
    except imaplib.IMAP4.error as error:
        return str(error)
    finally:
        client.shutdown()
    return "granted"


def imap_plain(place: Served, login: str) -> str:
    client = imaplib.IMAP4("127.0.0.1", place.port("imap"), timeout=LIMIT_S)
    try:
        client.authenticate("PLAIN", lambda _: f"\0{login}\0{PASSWORD}".encode())
    except imaplib.IMAP4.error as error:
        return str(error)
    finally:
        client.shutdown()
    return "granted"


def submission(place: Served, login: str) -> str:
    with contextlib.suppress(smtplib.SMTPServerDisconnected), smtplib.SMTP(timeout=LIMIT_S) as client:
        client.connect("127.0.0.1", place.port("submission"))
        try:
            client.login(login, PASSWORD)
        except smtplib.SMTPAuthenticationError as error:
            return f"{error.smtp_code} {error.smtp_error!r}"
        return "granted"
    return "disconnected"


def submission_plain(place: Served, login: str) -> str:
    """As `submission`, by one mechanism alone: smtplib's login tries the next one when one is refused, which spends a count for each."""
    with smtplib.SMTP("127.0.0.1", place.port("submission"), timeout=LIMIT_S) as client:
        client.ehlo()
        client.user, client.password = login, PASSWORD
        try:
            client.auth("PLAIN", client.auth_plain)
        except smtplib.SMTPAuthenticationError as error:
            return f"{error.smtp_code} {error.smtp_error!r}"
        return "granted"


def mail(place: Served, address: str) -> str:
    with contextlib.suppress(smtplib.SMTPServerDisconnected), smtplib.SMTP(timeout=LIMIT_S) as client:
        client.connect("127.0.0.1", place.port("smtp"))
        client.helo("x")
        client.mail("me@x.test")
        code, text = client.rcpt(address)
        return "granted" if code == 250 else f"{code} {text!r}"
    return "disconnected"


def ftp_login(place: Served, login: str) -> str:
    with ftplib.FTP(timeout=LIMIT_S) as client:
        client.connect("127.0.0.1", place.port("ftp"))
        try:
            client.login(login, PASSWORD)
        except (ftplib.Error, EOFError) as error:
            return str(error)
        return "granted"


def ftp_file(place: Served, name: str) -> str:
    with ftplib.FTP(timeout=LIMIT_S) as client:
        client.connect("127.0.0.1", place.port("ftp"))
        client.login("alice", PASSWORD)
        try:
            client.storbinary(f"STOR {name}", io.BytesIO(b"x"))
        except (ftplib.Error, EOFError) as error:
            return str(error)
        return "granted"


def web(place: Served, path: str) -> str:
    client = http.client.HTTPConnection("127.0.0.1", place.port("http"), timeout=LIMIT_S)
    try:
        client.request("GET", path)
        status = client.getresponse().status
    except http.client.RemoteDisconnected:
        return "disconnected"
    finally:
        client.close()
    return "granted" if status == 200 else str(status)


def web_file(place: Served, login: str) -> str:
    async def errand() -> str:
        url = f"http://127.0.0.1:{place.port('http')}/files/alice/"
        headers = {"Authorization": aiohttp.encode_basic_auth(login, PASSWORD)}
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
            return "granted" if response.status == 200 else str(response.status)

    return asyncio.run(errand())


def ssh(what: str) -> Callable[[Served, str], str]:
    async def errand(place: Served, text: str) -> str:
        login, command, name = (text if what == kind else "" for kind in ("login", "command", "name"))
        known = str(place.yard.state / "ssh" / "known_hosts")
        try:
            async with asyncssh.connect(
                "127.0.0.1",
                place.port("ssh"),
                username=login or "alice",
                password=PASSWORD,
                known_hosts=known,
                config=None,
                client_keys=None,
                agent_path=None,
            ) as client:
                if command:
                    await client.run(command)
                if name:
                    async with client.start_sftp_client() as files, files.open(name, "wb"):
                        pass
        except (asyncssh.Error, ConnectionError) as error:
            return f"{type(error).__name__} {error}"
        return "granted"

    return lambda place, text: asyncio.run(errand(place, text))


CASES: list[tuple[Card, Callable[[Served, str], str], str, str]] = [
    (POP3, pop3, "alice+550@portyard.test", "-ERR 550 "),
    (POP3, pop3, "alice+hangup@portyard.test", "-ERR EOF"),
    (POP3, sasl, "alice+550@portyard.test", "-ERR 550 "),
    (IMAP, imap, "alice+550@portyard.test", "550 as the address asks"),
    (IMAP, imap, "alice+hangup@portyard.test", "EOF"),
    (SMTP, submission, "alice+454@portyard.test", "454 b'4.0.0 "),
    (SMTP, mail, "anyone+451@portyard.test", "451 b'4.0.0 "),
    (SMTP, mail, "anyone+hangup@portyard.test", "disconnected"),
    (FTP, ftp_login, "alice+430@portyard.test", "430 "),
    (FTP, ftp_file, "/report+552.txt", "552 "),
    (FTP, ftp_file, "/me@home+552@work.txt", "552 "),
    (HTTP, web, "/anything/x+503", "503"),
    (HTTP, web, "/anything/me@home+503@2x.png", "503"),
    (HTTP, web, "/anything/x+hangup", "disconnected"),
    (SSH, ssh("login"), "alice+hangup", "ConnectionLost"),
    (SSH, ssh("command"), "echo x+hangup", "ConnectionLost"),
    (SSH, ssh("command"), "echo x+550", "ChannelOpenError"),
    (SSH, ssh("name"), "report+550@home.txt", "SFTPFailure"),
]


@pytest.mark.parametrize(("card", "errand", "text", "outcome"), CASES, ids=lambda value: getattr(value, "name", None))
def test_magic_words(tmp_path: Path, card: Card, errand: Callable[[Served, str], str], text: str, outcome: str) -> None:
    async def main() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, card) as place:
            assert outcome not in await asyncio.to_thread(errand, place, text)
            await yard.sandboxes.change("default", magic=True)
            assert outcome in await asyncio.to_thread(errand, place, text)

    run(main())


LOGINS: list[tuple[Card, Callable[[Served, str], str], str, str]] = [
    (POP3, pop3, "alice+550x1@portyard.test", "-ERR 550 "),
    (POP3, apop, "alice+550x1@portyard.test", "-ERR 550 "),
    (POP3, sasl, "alice+550x1@portyard.test", "-ERR 550 "),
    (IMAP, imap, "alice+550x1@portyard.test", "550 as the address asks"),
    (IMAP, imap_plain, "alice+550x1@portyard.test", "550 as the address asks"),
    (SMTP, submission_plain, "alice+454x1@portyard.test", "454 b'4.0.0 "),
    (FTP, ftp_login, "alice+430x1", "430 "),
    (SSH, ssh("login"), "alice+hangup+550x1", "ConnectionLost"),
]


@pytest.mark.parametrize(("card", "errand", "login", "refusal"), LOGINS)
def test_a_login_fails_once_and_then_succeeds(
    tmp_path: Path, card: Card, errand: Callable[[Served, str], str], login: str, refusal: str
) -> None:
    """The account needn't have the word in its name; without the switch the word is part of a name that nobody has."""

    async def main() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, card) as place:
            assert await asyncio.to_thread(errand, place, login) != "granted"
            await yard.sandboxes.change("default", magic=True)
            assert refusal in await asyncio.to_thread(errand, place, login)
            assert await asyncio.to_thread(errand, place, login) == "granted"
            await yard.accounts.create("default", login if "@" in login else f"{login}@portyard.test", "another")
            assert await asyncio.to_thread(errand, place, login) != "granted"

    run(main())


def test_a_recipient_is_refused_once_and_then_the_mail_arrives(tmp_path: Path) -> None:
    """At the account without the words, where none is made for strangers."""

    async def main() -> None:
        async with chain(tmp_path, magic=True, capture="own") as served:
            with pytest.raises(smtplib.SMTPRecipientsRefused, match="451"):
                await asyncio.to_thread(submit, served, ["bob+451x1@portyard.test"])
            assert not await asyncio.to_thread(submit, served, ["bob+451x1@portyard.test"])
            assert len(await arrived(served.yard, "bob@portyard.test", 1)) == 1

    run(main())


def test_the_web_hears_words_in_paths_alone_yet_knows_whose_a_login_is(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, HTTP) as place:
            assert await asyncio.to_thread(web_file, place, "alice+503x1@portyard.test") == "401"
            await yard.sandboxes.change("default", magic=True)
            assert await asyncio.to_thread(web_file, place, "alice+503x1@portyard.test") == "granted"
            assert await asyncio.to_thread(web_file, place, "alice+tag@portyard.test") == "401"

    run(main())


@pytest.mark.parametrize(
    ("card", "errand", "text"),
    [
        (POP3, pop3, "alice+delay150ms@portyard.test"),
        (IMAP, imap, "alice+delay150ms@portyard.test"),
        (SMTP, mail, "anyone+delay150ms@portyard.test"),
        (FTP, ftp_file, "/a+delay150ms"),
        (HTTP, web, "/anything/a+delay150ms"),
        (SSH, ssh("login"), "alice+delay150ms"),
        (SSH, ssh("name"), "a+delay150ms"),
    ],
)
def test_magic_waits(tmp_path: Path, card: Card, errand: Callable[[Served, str], str], text: str) -> None:
    async def main() -> None:
        async with open_yard(tmp_path, magic=True) as yard, serve(yard, card) as place:
            began = time.monotonic()
            await asyncio.to_thread(errand, place, text)
            assert time.monotonic() - began >= WAIT_S

    run(main())


def say(client: socket.socket, *lines: str) -> None:
    """Lines behind a greeting, each but the last answered."""
    heard = client.makefile("rb")
    for line in lines:
        while heard.readline()[3:4] == b"-":
            pass
        client.sendall(f"{line}\r\n".encode())


@pytest.mark.parametrize("sandbox", ["default", "t1"])
@pytest.mark.parametrize(
    ("card", "port", "said"),
    [
        (SMTP, "smtp", ("HELO x", "MAIL FROM:<a@harbour.test>", "RCPT TO:<u+reset@$domain>")),
        (SMTP, "lmtp", ("LHLO x", "MAIL FROM:<a@harbour.test>", "RCPT TO:<u+reset@$domain>")),
        (POP3, "pop3", ("USER u+reset@$domain",)),
        (IMAP, "imap", ("a LOGIN u+reset@$domain pw",)),
        (FTP, "ftp", ("USER u+reset@$domain",)),
        (HTTP, "http", ("GET /get+reset HTTP/1.1\r\nHost: $domain\r\n",)),
    ],
)
def test_magic_resets(tmp_path: Path, card: Card, port: str, said: tuple[str, ...], sandbox: str) -> None:
    """A true RST on the listeners that all share, whoever has magic on."""
    domain = "portyard.test" if sandbox == "default" else f"{sandbox}.test"

    def errand(place: Served) -> bytes:
        with socket.create_connection(("127.0.0.1", place.port(port)), LIMIT_S) as client:
            if card is HTTP:
                client.sendall(f"{said[0]}\r\n".replace("$domain", domain).encode())
            else:
                say(client, *(line.replace("$domain", domain) for line in said))
            return client.recv(4096)

    async def main() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, card) as place:
            if sandbox != "default":
                await yard.sandboxes.create(sandbox)
            assert await asyncio.to_thread(errand, place)
            await yard.sandboxes.change(sandbox, magic=True)
            with pytest.raises(ConnectionResetError):
                await asyncio.to_thread(errand, place)

    run(main())


def test_the_switch_is_a_sandbox_s_own(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, SMTP) as place:
            await yard.sandboxes.create("t1", magic=True)
            await yard.sandboxes.create("t2")
            assert (await asyncio.to_thread(mail, place, "anyone+451@t1.test")).startswith("451 ")
            assert await asyncio.to_thread(mail, place, "anyone+451@t2.test") == "granted"
            assert await asyncio.to_thread(mail, place, "anyone+451@portyard.test") == "granted"

    run(main())
