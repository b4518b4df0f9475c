"""A RST in the midst of sessions that joined a sandbox on the shared listeners, by every means that a room has of naming one."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tests.support.matrix.place import PASSWORD, PATIENCE_S, Cell, Client, Place
from tests.support.matrix.ssh import Asked, is_reset, log_in
from tests.support.matrix.web import ECHO

USER = "m-joined"


@dataclass(frozen=True)
class Means:
    """How a client names a sandbox, and what it says that the rule is for.

    Attributes:
        name: Of the means.
        verb: The rule's.
        port: Where.
        lines: What is said and what an answer's last line begins with; "$domain" and "$user" stand for what they say.
        ask: What makes the event happen.
        secure: Whether the port begins with TLS, and the client names the domain by SNI.
        upgrade: What is said before TLS begins, and the beginning of the last line of its answer; the client names the domain by SNI.
    """

    name: str
    verb: str
    port: str
    lines: tuple[tuple[str, str], ...]
    ask: str
    secure: bool = False
    upgrade: tuple[tuple[str, str], ...] = ()

    def see(self, place: Place) -> None:
        """Raises AssertionError where no RST comes."""
        with Client(place.connect(self.port)) as client:
            for say, beginning in self.upgrade:
                self._say(client, say, place)
                client.line(beginning.encode())
            if self.secure or self.upgrade:
                client.sock = place.trusting().wrap_socket(client.sock, server_hostname=place.domain)
            for say, beginning in self.lines:
                self._say(client, say, place)
                client.line(beginning.encode())
            self._say(client, self.ask, place)
            client.is_reset()

    def _say(self, client: Client, said: str, place: Place) -> None:
        login = f"{USER}@{place.domain}"
        plain = base64.b64encode(f"\0{login}\0{PASSWORD}".encode()).decode()
        for name, value in (("$domain", place.domain), ("$user", login), ("$plain", plain), ("$name", place.sandbox)):
            said = said.replace(name, value)
        client.say(said.encode())


_EHLO = (("", "220 "), ("EHLO c.test\r\n", "250 "))
_RECIPIENT = "RCPT TO:<anyone@$domain>\r\n"
_MAIL = ("MAIL FROM:<a@harbour.test>\r\n", "250 ")
_NEXT = " HTTP/1.1\r\nHost: localhost\r\n\r\n"
_UPGRADE = ECHO.decode()


def _web(verb: str, port: str, secure: str, asked: str) -> tuple[Means, ...]:
    header = asked.replace("\r\n", "\r\nX-Portyard-Sandbox: $name\r\n", 1)
    return (
        Means("Host", verb, port, (), asked.replace("Host: localhost", "Host: $domain")),
        Means("path", verb, port, (), asked.replace("GET ", "GET /~$name")),
        Means("header", verb, port, (), header),
        Means("SNI", verb, secure, (), asked, secure=True),
    )


MEANS: Mapping[str, tuple[Means, ...]] = {
    "smtp": (
        Means("recipient of the MTA", "rcpt", "smtp", (*_EHLO, _MAIL), _RECIPIENT),
        Means("recipient of the MDA", "rcpt", "lmtp", (("", "220 "), ("LHLO c.test\r\n", "250 "), _MAIL), _RECIPIENT),
        Means("recipient's data", "data", "smtp", (*_EHLO, _MAIL, (_RECIPIENT, "250 ")), "DATA\r\n"),
        Means("login", "mail", "submission", (*_EHLO, ("AUTH PLAIN $plain\r\n", "235 ")), "MAIL FROM:<$user>\r\n"),
        Means("SNI", "noop", "submissions", _EHLO, "NOOP\r\n", secure=True),
        Means("SNI of STARTTLS", "noop", "smtp", (), "NOOP\r\n", upgrade=(*_EHLO, ("STARTTLS\r\n", "220 "))),
    ),
    "pop3": (
        Means("login", "pass", "pop3", (("", "+OK"), ("USER $user\r\n", "+OK")), f"PASS {PASSWORD}\r\n"),
        Means("SNI", "capa", "pop3s", (("", "+OK"),), "CAPA\r\n", secure=True),
        Means("SNI of STLS", "capa", "pop3", (), "CAPA\r\n", upgrade=(("", "+OK"), ("STLS\r\n", "+OK"))),
    ),
    "imap": (
        Means("login", "login", "imap", (("", "* OK"),), f"a LOGIN $user {PASSWORD}\r\n"),
        Means("SNI", "noop", "imaps", (("", "* OK"),), "a NOOP\r\n", secure=True),
        Means("SNI of STARTTLS", "noop", "imap", (), "a NOOP\r\n", upgrade=(("", "* OK"), ("a STARTTLS\r\n", "a OK"))),
    ),
    "ftp": (
        Means("login", "pass", "ftp", (("", "220 "), ("USER $user\r\n", "331 ")), f"PASS {PASSWORD}\r\n"),
        Means("HOST", "noop", "ftp", (("", "220 "), ("HOST $domain\r\n", "220 ")), "NOOP\r\n"),
        Means("SNI", "noop", "ftps", (("", "220 "),), "NOOP\r\n", secure=True),
        Means("SNI of AUTH TLS", "noop", "ftp", (), "NOOP\r\n", upgrade=(("", "220 "), ("AUTH TLS\r\n", "234 "))),
    ),
    "http": _web("request", "http", "https", f"GET /get{_NEXT}"),
    "websocket": _web("upgrade", "ws", "wss", _UPGRADE),
}


JOINABLE = (*MEANS, "ssh")
"""The rooms whose sessions name sandboxes. DNS has no fault of bytes but at `connect`."""


def joined_cells(room: str, place: Place) -> Iterator[Cell]:
    """One for each of a room's means, in the place's sandbox."""
    place.ensure_account("m-ssh" if room == "ssh" else USER)
    views: Mapping[str, tuple[str, Callable[[Place], None]]] = {
        means.name: (means.verb, means.see) for means in MEANS.get(room, ())
    }
    for name, (verb, see) in (views or {"login": ("auth", _is_reset_at_login)}).items():
        yield Cell(room, verb, f"by {name}", {"reset": True}, see)


def _is_reset_at_login(place: Place) -> None:
    async def look() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await is_reset(log_in, Asked(place))

    asyncio.run(look())
