"""A rule hangs up in the midst of the TLS handshake: in every room, behind every way that leads to TLS."""

from __future__ import annotations

import ftplib
import gc
import imaplib
import poplib
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.control import Console
from tests.support.process import Running, serving

LIMIT_S = 20.0
Door = Callable[[Running, ssl.SSLContext], object]


def implicit(port: str) -> Door:
    def meet(testbed: Running, context: ssl.SSLContext) -> None:
        with socket.create_connection(("localhost", testbed.port(port)), LIMIT_S) as plain:
            context.wrap_socket(plain, server_hostname="localhost").close()

    return meet


def imap(testbed: Running, context: ssl.SSLContext) -> None:
    imaplib.IMAP4("localhost", testbed.port("imap"), timeout=LIMIT_S).starttls(context)


def pop3(testbed: Running, context: ssl.SSLContext) -> None:
    poplib.POP3("localhost", testbed.port("pop3"), timeout=LIMIT_S).stls(context)


def smtp(testbed: Running, context: ssl.SSLContext) -> None:
    smtplib.SMTP("localhost", testbed.port("submission"), timeout=LIMIT_S).starttls(context=context)


def ftp(testbed: Running, context: ssl.SSLContext) -> ftplib.FTP_TLS:
    client = ftplib.FTP_TLS(context=context, timeout=LIMIT_S)
    client.connect("localhost", testbed.port("ftp"))
    client.auth()
    return client


def ftp_data(testbed: Running, context: ssl.SSLContext) -> None:
    client = ftp(testbed, context)
    client.login("alice", "alice-secret")
    client.prot_p()
    client.nlst()


DOORS: list[tuple[str, dict[str, Any], Door]] = [
    ("imap", {}, imap),
    ("imap", {}, implicit("imaps")),
    ("pop3", {}, pop3),
    ("pop3", {}, implicit("pop3s")),
    ("smtp", {}, smtp),
    ("smtp", {}, implicit("submissions")),
    ("ftp", {"channel": "control"}, ftp),
    ("ftp", {"channel": "data"}, ftp_data),
    ("ftp", {}, implicit("ftps")),
    ("http", {}, implicit("https")),
    ("websocket", {}, implicit("wss")),
]


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("state"), "all") as running:
        yield running


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # clients leave the socket behind when a handshake fails
@pytest.mark.parametrize(("room", "where", "door"), DOORS)
def test_it_ends_without_a_word(testbed: Running, room: str, where: dict[str, Any], door: Door) -> None:
    console = Console(testbed.port("console"))
    console.ask("sandboxes/default/reset", method="POST")
    context = ssl._create_unverified_context()
    rule = {"on": f"{room}.tls", "where": where, "times": 1, "then": {"hang_up": True}}
    console.post("rules", rule)
    with pytest.raises(ssl.SSLEOFError):
        door(testbed, context)
    (told,) = console.get("rules")
    assert told["hits"] == 1
    (failed,) = console.get("events/wait", kind="tls", text="hung up", count=1, timeout=LIMIT_S)["events"]
    assert failed["fields"]["step"] == "failed"
    assert "alert" not in failed["fields"]
    door(testbed, context)  # once, and then no more
    gc.collect()  # what is left behind warns now, not in another test
