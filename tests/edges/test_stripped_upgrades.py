"""STARTTLS, STLS and AUTH TLS stripped, and announced but refused: at every door, to stock clients."""

from __future__ import annotations

import ftplib
import imaplib
import poplib
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.control import Console
from tests.support.process import Running, serving

LIMIT_S = 20.0
REFUSALS = (smtplib.SMTPException, imaplib.IMAP4.error, poplib.error_proto, *ftplib.all_errors)


@dataclass(frozen=True)
class Door:
    """A port that upgrades.

    Attributes:
        room: Whose.
        port: Its name.
        verb: The rule's verb for the upgrade.
        open: Connects a stock client.
        offers: What it is told that the server has.
        upgrade: Has it ask for TLS.
        asks: What a bare client says to ask all the same.
        unknown: What the answer to that holds then.
        refusal: How the upgrade is refused.
        announced: What is stripped.
    """

    room: str
    port: str
    verb: str
    open: Callable[[int], Any]
    offers: Callable[[Any], set[str]]
    upgrade: Callable[[Any, ssl.SSLContext], object]
    asks: tuple[bytes, ...]
    unknown: bytes
    refusal: str
    announced: frozenset[str]


def smtp(port: int) -> smtplib.SMTP:
    return smtplib.SMTP("localhost", port, "client.test", LIMIT_S)


def lmtp(port: int) -> smtplib.LMTP:
    client = smtplib.LMTP("localhost", port, "client.test")
    client.timeout = LIMIT_S
    return client


def extensions(client: smtplib.SMTP) -> set[str]:
    client.ehlo()
    return {name.upper() for name in client.esmtp_features}


def ftp(port: int) -> ftplib.FTP_TLS:
    client = ftplib.FTP_TLS(timeout=LIMIT_S)
    client.connect("localhost", port)
    return client


def features(client: ftplib.FTP_TLS) -> set[str]:
    return {line.strip() for line in client.sendcmd("FEAT").splitlines()[1:-1]}


def starttls(client: Any, context: ssl.SSLContext) -> object:
    return client.starttls(context=context) if isinstance(client, smtplib.SMTP) else client.starttls(context)


def auth_tls(client: ftplib.FTP_TLS, context: ssl.SSLContext) -> object:
    client.context = context
    return client.auth()


_MAIL = "454 4.7.0 not now"
_STARTTLS = frozenset({"STARTTLS"})
DOORS = [
    *(
        Door("smtp", port, "starttls", smtp, extensions, starttls, (b"EHLO x", b"STARTTLS"), b"500 ", _MAIL, _STARTTLS)
        for port in ("smtp", "submission")
    ),
    Door("smtp", "lmtp", "starttls", lmtp, extensions, starttls, (b"LHLO x", b"STARTTLS"), b"500 ", _MAIL, _STARTTLS),
    Door(
        "imap",
        "imap",
        "starttls",
        lambda port: imaplib.IMAP4("localhost", port, LIMIT_S),
        lambda client: set(client.capabilities),
        starttls,
        (b"a STARTTLS",),
        b"a BAD ",
        "NO not now",
        _STARTTLS,
    ),
    Door(
        "pop3",
        "pop3",
        "stls",
        lambda port: poplib.POP3("localhost", port, LIMIT_S),
        lambda client: set(client.capa()),
        lambda client, context: client.stls(context),
        (b"STLS",),
        b"-ERR ",
        "-ERR not now",
        frozenset({"STLS"}),
    ),
    Door(
        "ftp",
        "ftp",
        "auth",
        ftp,
        features,
        auth_tls,
        (b"AUTH TLS",),
        b"500 ",
        "431 not now",
        frozenset({"AUTH TLS", "PBSZ", "PROT"}),
    ),
]


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("state"), "all") as running:
        yield running


@pytest.fixture
def console(testbed: Running) -> Console:
    console = Console(testbed.port("console"))
    console.ask("sandboxes/default/reset", method="POST")
    return console


def offered(testbed: Running, door: Door) -> set[str]:
    client = door.open(testbed.port(door.port))
    try:
        return door.offers(client)
    finally:
        leave(client)


def tried(testbed: Running, door: Door) -> str:
    """What a stock client says of the upgrade; nothing where TLS stands."""
    client = door.open(testbed.port(door.port))
    try:
        door.offers(client)
        door.upgrade(client, ssl._create_unverified_context())
    except REFUSALS as error:
        return str(error)
    finally:
        leave(client)
    return ""


def leave(client: Any) -> None:
    client.shutdown() if isinstance(client, imaplib.IMAP4) else client.close()


def asked(testbed: Running, door: Door) -> bytes:
    """The answer that a client gets which asks without being told that it may."""
    with (
        socket.create_connection(("localhost", testbed.port(door.port)), LIMIT_S) as bare,
        bare.makefile("rb") as answers,
    ):
        heard = answers.readline()
        for line in door.asks:
            bare.sendall(line + b"\r\n")
            while (heard := answers.readline())[3:4] == b"-":
                pass
        return heard


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.port)
def test_a_stripped_upgrade_is_neither_announced_nor_known(testbed: Running, console: Console, door: Door) -> None:
    before = offered(testbed, door)
    assert before > door.announced
    assert tried(testbed, door) == ""
    console.post("rules", {"on": f"{door.room}.connect", "then": {"persona": "stripped"}})
    assert offered(testbed, door) == before - door.announced  # and all else is as ever
    assert tried(testbed, door)
    assert asked(testbed, door).startswith(door.unknown)


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.port)
def test_an_upgrade_is_announced_and_then_refused(testbed: Running, console: Console, door: Door) -> None:
    console.post("rules", {"on": f"{door.room}.{door.verb}", "times": 1, "then": {"refuse": door.refusal}})
    assert offered(testbed, door) > door.announced
    assert tried(testbed, door)
    assert [rule["hits"] for rule in console.get("rules")] == [1]
    assert tried(testbed, door) == ""  # once, and then no more
