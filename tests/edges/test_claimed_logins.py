"""A login joins the sandbox that its name claims before anything is proved, in every room: for somebody who doesn't exist, too."""

from __future__ import annotations

import asyncio
import base64
import ftplib
import imaplib
import poplib
import smtplib
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import pytest

from portyard.commons.card import Card
from portyard.commons.scenario.parsing import parse_rule
from portyard.ftp.card import CARD as FTP
from portyard.http.card import CARD as HTTP
from portyard.imap.card import CARD as IMAP
from portyard.pop3.card import CARD as POP3
from portyard.smtp.card import CARD as MAIL
from portyard.ssh.card import CARD as SSH
from tests.support.asyncio_tests import run
from tests.support.yard import open_yard, serve

NAME, WRONG = "nobody@t1.test", "wrong"
LIMIT_S = 20.0


def base64_of(text: str) -> bytes:
    return base64.b64encode(text.encode())


def pop3(port: int, *lines: bytes) -> str:
    client = poplib.POP3("127.0.0.1", port, timeout=LIMIT_S)
    try:
        for line in lines:
            client._shortcmd(line.decode())  # type: ignore[attr-defined]
    except poplib.error_proto as error:
        return str(error)
    finally:
        client.close()
    return ""


def pop3_plain(port: int) -> str:
    return pop3(port, b"AUTH PLAIN " + base64_of(f"\0{NAME}\0{WRONG}"))


def imap_login(port: int) -> str:
    with imaplib.IMAP4("127.0.0.1", port, timeout=LIMIT_S) as client:
        try:
            client.login(NAME, WRONG)
        except imaplib.IMAP4.error as error:
            return str(error)
    return ""


def imap_authenticate(port: int) -> str:
    with imaplib.IMAP4("127.0.0.1", port, timeout=LIMIT_S) as client:
        try:
            client.authenticate("PLAIN", lambda _: f"\0{NAME}\0{WRONG}".encode())
        except imaplib.IMAP4.error as error:
            return str(error)
    return ""


def smtp(mechanism: str) -> Callable[[int], str]:
    def errand(port: int) -> str:
        with smtplib.SMTP("127.0.0.1", port, timeout=LIMIT_S) as client:
            client.ehlo()
            client.user, client.password = NAME, WRONG
            try:
                client.auth(mechanism, getattr(client, f"auth_{mechanism.lower()}"))
            except smtplib.SMTPException as error:
                return str(error)
        return ""

    return errand


def ftp(port: int) -> str:
    with ftplib.FTP(timeout=LIMIT_S) as client:
        client.connect("127.0.0.1", port)
        try:
            client.login(NAME, WRONG)
        except ftplib.Error as error:
            return str(error)
    return ""


def ssh(port: int) -> str:
    async def go() -> None:
        async with asyncssh.connect(
            "127.0.0.1", port, username=NAME, password=WRONG, known_hosts=None, client_keys=None, config=None
        ):
            raise AssertionError

    try:
        asyncio.run(go())
    except (asyncssh.Error, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def http(port: int) -> str:
    headers = {"Authorization": "Basic " + base64_of(f"{NAME}:{WRONG}").decode()}
    try:
        urllib.request.urlopen(
            urllib.request.Request(f"http://127.0.0.1:{port}/files/nobody/x", headers=headers), timeout=LIMIT_S
        )
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read()!r}"
    return ""


@dataclass(frozen=True)
class Case:
    """One way to log in.

    Attributes:
        card: The room's.
        port: The port's name.
        verb: What the rule is on.
        refusal: What the rule refuses with, as the room wants it.
        shown: What the client then sees of it, and what it would see else.
        errand: Logs in as nobody with a wrong password; what the client was told.
    """

    card: Card
    port: str
    verb: str
    refusal: str | int
    shown: str
    errand: Callable[[int], str]


CASES = {
    "pop3 USER": Case(POP3, "pop3", "pop3.user", "-ERR not t1", "not t1", lambda port: pop3(port, b"USER " + NAME.encode())),
    "pop3 PASS": Case(
        POP3, "pop3", "pop3.pass", "-ERR not t1", "not t1",
        lambda port: pop3(port, b"USER " + NAME.encode(), b"PASS " + WRONG.encode()),
    ),
    "pop3 APOP": Case(
        POP3, "pop3", "pop3.apop", "-ERR not t1", "not t1", lambda port: pop3(port, f"APOP {NAME} {'0' * 32}".encode())
    ),
    "pop3 AUTH PLAIN": Case(POP3, "pop3", "pop3.auth", "-ERR not t1", "not t1", pop3_plain),
    "imap LOGIN": Case(IMAP, "imap", "imap.login", "NO not t1", "not t1", imap_login),
    "imap AUTHENTICATE": Case(IMAP, "imap", "imap.authenticate", "NO not t1", "not t1", imap_authenticate),
    "smtp AUTH PLAIN": Case(MAIL, "submission", "smtp.auth", "454 4.7.0 not t1", "not t1", smtp("PLAIN")),
    "smtp AUTH LOGIN": Case(MAIL, "submission", "smtp.auth", "454 4.7.0 not t1", "not t1", smtp("LOGIN")),
    "ftp USER": Case(FTP, "ftp", "ftp.user", "530 not t1", "not t1", ftp),
    "ftp PASS": Case(FTP, "ftp", "ftp.pass", "530 not t1", "not t1", ftp),
    "http Basic": Case(HTTP, "http", "http.request", 429, "429", http),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_rule_of_the_claimed_sandbox_meets_a_login_of_nobody(name: str, tmp_path: Path) -> None:
    case = CASES[name]

    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, case.card) as served:
            await yard.sandboxes.create("t1")
            told = await asyncio.to_thread(case.errand, served.port(case.port))
            assert told or name == "pop3 USER"  # who exists isn't told there
            assert case.shown not in told
            rule = (await yard.rules.add("t1", parse_rule({"on": case.verb, "then": {"refuse": case.refusal}})))[0]
            assert case.shown in await asyncio.to_thread(case.errand, served.port(case.port))
            (kept,) = await yard.rules.list("t1")
            assert (kept.id, kept.hits) == (rule.id, 1)
            await yard.journal.flush()
            assert [session.room for session in await yard.journal.sessions("t1")] == [case.card.name] * 2

    run(go())


def test_ssh_too(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, SSH) as served:
            await yard.sandboxes.create("t1")
            assert "PermissionDenied" in await asyncio.to_thread(ssh, served.port("ssh"))
            await yard.rules.add("t1", parse_rule({"on": "ssh.auth", "times": 1, "then": {"hang_up": True}}))
            assert "ConnectionLost" in await asyncio.to_thread(ssh, served.port("ssh"))
            assert [kept.hits for kept in await yard.rules.list("t1")] == [1]
            await yard.journal.flush()
            assert [session.room for session in await yard.journal.sessions("t1")] == ["ssh"] * 2

    run(go())
