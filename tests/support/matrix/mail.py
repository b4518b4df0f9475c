"""SMTP and POP3, verb by verb."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from functools import partial

from tests.support.matrix.lines import MIDST, Dialect, Scene, cells
from tests.support.matrix.place import DOMAIN, PASSWORD, Cell, Client, Place


def _line(text: str) -> bytes:
    return text.encode() + b"\r\n"


def _plain(name: str) -> bytes:
    return base64.b64encode(f"\0{name}@{DOMAIN}\0{PASSWORD}".encode())


# SMTP

_SMTP = Dialect(
    room="smtp",
    port="smtp",
    secure="submissions",
    greeting=b"220 ",
    refuse="450 4.0.0 not today",
    say="250 2.0.0 so they say",
    wire=_line,
    again=(b"NOOP\r\n", b"250 "),
)
_EHLO = ((b"EHLO c.test\r\n", b"250 "),)
_LHLO = ((b"LHLO c.test\r\n", b"250 "),)
_MAIL = (*_EHLO, (b"MAIL FROM:<a@c.test>\r\n", b"250 "))
_RCPT = (*_MAIL, (b"RCPT TO:<m-smtp@portyard.test>\r\n", b"250 "))
_DATA = (*_RCPT, (b"DATA\r\n", b"354 "))
_MESSAGE = b"Subject: matrix\r\n\r\nText.\r\n.\r\n"
_MSA = "submission"

_SMTP_SCENES = {
    "ehlo": Scene(b"EHLO c.test\r\n", rb"250 [^\n]*\n"),
    "helo": Scene(b"HELO c.test\r\n", rb"250 [^\n]*\n"),
    "lhlo": Scene(b"LHLO c.test\r\n", rb"250 [^\n]*\n", port="lmtp"),
    "starttls": Scene(b"STARTTLS\r\n", rb"220 [^\n]*\n", _EHLO, lies_on=False),
    "challenge": Scene(b"AUTH LOGIN\r\n", rb"334 [^\n]*\n", _EHLO, port=_MSA, lies_on=False),
    "auth": Scene(b"AUTH PLAIN " + _plain("m-smtp") + b"\r\n", rb"235 [^\n]*\n", _EHLO, port=_MSA),
    "mail": Scene(b"MAIL FROM:<a@c.test> SIZE=10\r\n", rb"250 [^\n]*\n", _EHLO),
    "rcpt": Scene(b"RCPT TO:<m-smtp@portyard.test>\r\n", rb"250 [^\n]*\n", _MAIL),
    "data": Scene(b"DATA\r\n", rb"354 [^\n]*\n", _RCPT, lies_on=False),
    "receiving": Scene(
        b"DATA\r\n" + _MESSAGE,
        rb"250 [^\n]*\n",
        _RCPT,
        before=rb"354 [^\n]*\n",
        only=b"DATA\r\n",
        actions=MIDST,
    ),
    "content": Scene(_MESSAGE, rb"250 [^\n]*\n", _DATA),
    "rset": Scene(b"RSET\r\n", rb"250 [^\n]*\n"),
    "noop": Scene(b"NOOP x\r\n", rb"250 [^\n]*\n"),
    "vrfy": Scene(b"VRFY m-smtp\r\n", rb"25\d [^\n]*\n"),
    "expn": Scene(b"EXPN staff\r\n", rb"\d{3} [^\n]*\n"),
    "help": Scene(b"HELP\r\n", rb"214 [^\n]*\n"),
    "quit": Scene(b"QUIT\r\n", rb"221 [^\n]*\n", lies_on=False),
}


def smtp(place: Place) -> Iterator[Cell]:
    """SMTP's cells, as the MTA, the MSA and the MDA speak it."""
    place.account("m-smtp")
    yield from cells(_SMTP, _SMTP_SCENES)


# POP3

_POP3 = Dialect(
    room="pop3",
    port="pop3",
    secure="pop3s",
    greeting=b"+OK",
    refuse="-ERR not today",
    say="+OK so they say",
    wire=_line,
    again=(b"CAPA\r\n", b"+OK"),
)


def pop3(place: Place) -> Iterator[Cell]:
    """POP3's cells; a maildrop with one message."""
    address = place.account("m-pop3")
    with Client(place.connect("lmtp")) as client:
        client.line(b"220 ")
        client.say(b"LHLO c.test\r\n")
        client.line(b"250 ")
        for say in (b"MAIL FROM:<>", b"RCPT TO:<" + address.encode() + b">"):
            client.say(say + b"\r\n")
            client.line(b"250 ")
        client.say(b"DATA\r\n")
        client.line(b"354 ")
        client.say(_MESSAGE)
        client.line(b"250 ")
    yield from cells(_POP3, _pop3_scenes(address))


def _apop(address: str, place: Place, client: Client) -> None:
    """RFC 1939 §7: the greeting's timestamp and the secret, digested."""
    found = re.search(rb"<[^>]+>", client.greeting)
    assert found, client.greeting
    digest = hashlib.md5(found[0] + PASSWORD.encode(), usedforsecurity=False).hexdigest()
    client.say(f"APOP {address} {digest}\r\n".encode())


def _pop3_scenes(address: str) -> dict[str, Scene]:
    user = ((f"USER {address}\r\n".encode(), b"+OK"),)
    login = (*user, (f"PASS {PASSWORD}\r\n".encode(), b"+OK"))
    one, many = rb"\+OK[^\n]*\n", rb"\+OK.*\r\n\.\r\n"
    return {
        "user": Scene(user[0][0], one),
        "pass": Scene(login[1][0], one, user),
        "apop": Scene(partial(_apop, address), one),
        "auth": Scene(b"AUTH PLAIN " + _plain("m-pop3") + b"\r\n", one),
        "capa": Scene(b"CAPA\r\n", many),
        "stls": Scene(b"STLS\r\n", one, lies_on=False),
        "stat": Scene(b"STAT\r\n", one, login),
        "list": Scene(b"LIST\r\n", many, login),
        "uidl": Scene(b"UIDL 1\r\n", one, login),
        "retr": Scene(b"RETR 1\r\n", many, login),
        "top": Scene(b"TOP 1 0\r\n", many, login),
        "dele": Scene(b"DELE 1\r\n", one, login),
        "noop": Scene(b"NOOP\r\n", one, login),
        "rset": Scene(b"RSET\r\n", one, login),
        "quit": Scene(b"QUIT\r\n", one, lies_on=False),
        "message": Scene(
            b"RETR 1\r\n",
            many,
            login,
            before=rb"\+OK[^\n]*\n.*",
            actions=MIDST,
        ),
    }
