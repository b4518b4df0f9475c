"""Faults of bytes that are armed in the midst of a session: at these moments, each in the directions that it is looked at in.

Down, what comes from the event on is counted; up, what the client says once the event was answered.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from tests.support.matrix.midst_ftp import Download, Upload
from tests.support.matrix.midst_ssh import Run
from tests.support.matrix.octets import Speech, down, up
from tests.support.matrix.place import PASSWORD, Cell, Client, Place
from tests.support.matrix.web import ECHO, LONG, SWITCHED, TEXT, frame

Steps = tuple[tuple[bytes, bytes], ...]
"""What a client says, and a pattern of all that it hears then."""
BOTH = ("down", "up")


class Moment(Protocol):
    """An event in the midst of a session.

    Attributes:
        room: The room.
        verb: The event's verb.
        ways: The directions that it is looked at in.
    """

    @property
    def room(self) -> str: ...
    @property
    def verb(self) -> str: ...
    @property
    def ways(self) -> tuple[str, ...]: ...

    def cells(self, place: Place) -> Iterator[Cell]:
        """Every fault in its directions; what is right is looked up first."""


@dataclass(frozen=True)
class Spoken:
    """A moment that a client comes to by saying something.

    Attributes:
        room: The room.
        verb: The event's verb.
        port: Where.
        lead: How the client comes there.
        ask: What makes the event happen.
        answer: A pattern of the whole answer.
        then: What is said afterwards, and a pattern of how its answer begins.
        ways: The directions that it is looked at in.
        before: A pattern of what is heard of the answer before the event.
        vital: Where in what is said afterwards an octet stands that mustn't change.
        where: What else the rule says.
        locks: A session has its account for itself, and a fault may keep it for long: each has one of its own.
        truth: What comes first after the event; looked up where it is empty.
    """

    room: str
    verb: str
    port: str
    lead: Steps
    ask: bytes
    answer: bytes
    then: tuple[bytes, bytes] = (b"-", b"")
    ways: tuple[str, ...] = BOTH
    before: bytes = b""
    vital: int = 2
    where: Mapping[str, object] = field(default_factory=dict)
    locks: bool = False
    truth: bytes = b""

    def cells(self, place: Place) -> Iterator[Cell]:
        """See Moment."""
        speech = Speech(self.port, *self.then)
        ways: dict[str, Mapping[str, tuple[dict[str, object], Callable[[Client], None]]]] = {
            "down": down(self._truth(place)),
            "up": {
                fault: (then, partial(see, speech)) for fault, (then, see) in up(len(speech.ask), self.vital).items()
            },
        }
        for way in self.ways:
            heard = self.before if way == "down" else self.answer
            for fault, (then, see) in ways[way].items():
                look = partial(self._look, self._user(fault, way), heard, see)
                yield Cell(
                    self.room, self.verb, f"{fault} {way}", {fault: {**then, "direction": way}}, look, self.where
                )

    def users(self) -> set[str]:
        """The names of the accounts that the sessions log in to."""
        return {self._user(fault, way) for fault in ("truth", *up(1)) for way in self.ways}

    def _user(self, fault: str, way: str) -> str:
        """All of a room's are of one length, for they stand in messages whose length is told."""
        number = 2 * ("truth", *up(1)).index(fault) + BOTH.index(way)
        return f"m-midst-{self.room}" + (f"-{self.verb}-{number:02}" if self.locks else "")

    def _truth(self, place: Place) -> bytes:
        if self.truth or "down" not in self.ways:
            return self.truth
        with self._arrived(place, self._user("truth", "down"), self.before) as client:
            return client.until(rb"\A.{8}")

    def _look(self, user: str, heard: bytes, see: Callable[[Client], None], place: Place) -> None:
        with self._arrived(place, user, heard) as client:
            see(client)

    def _arrived(self, place: Place, user: str, heard: bytes) -> Client:
        """A client that has asked, and has heard so much of the answer."""
        client = Client(place.connect(self.port))
        for say, pattern in self.lead:
            client.say(place.named(say.replace(b"$user", f"{user}@{place.domain}".encode())))
            client.until(rb"\A" + pattern)
        client.say(place.named(self.ask.replace(b"$basic", _basic(f"{user}@{place.domain}"))))
        client.until(rb"\A" + heard)
        return client


def _basic(login: str) -> bytes:
    return base64.b64encode(f"{login}:{PASSWORD}".encode())


def _line(beginning: bytes) -> bytes:
    """All up to the end of the line that begins so."""
    return rb"(?:[^\n]*\n)*?" + beginning + rb"[^\n]*\n"


def _login(greeting: bytes, user: str, granted: bytes, password: str, done: bytes) -> Steps:
    return (
        (b"", _line(greeting)),
        (user.encode() + b"\r\n", _line(granted)),
        (password.encode() + b"\r\n", _line(done)),
    )


_MAIL: Steps = (
    (b"", _line(rb"220 ")),
    (b"LHLO c.test\r\n", _line(rb"250 ")),
    (b"MAIL FROM:<>\r\n", _line(rb"250 ")),
)
_MESSAGE = b"Subject: midst\r\n\r\nText.\r\n.\r\n"
_POP3 = _login(rb"\+OK", "USER $user", rb"\+OK", f"PASS {PASSWORD}", rb"\+OK")
_IMAP = _login(rb"\* OK", f"l LOGIN $user {PASSWORD}", rb"l OK", "s SELECT INBOX", rb"s OK")
_FTP = _login(rb"220 ", "USER $user", rb"331 ", f"PASS {PASSWORD}", rb"230 ")
_PUT = (
    b"PUT /files/m-midst-http/f HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n"
    b"Authorization: Basic $basic\r\n\r\n"
)
_GET = b"GET /bytes/5000?seed=1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
_HEAD = rb"HTTP/1\.1 200 .*?\r\n\r\n"
_SWITCHES: Steps = ((ECHO, SWITCHED[2:]),)

MOMENTS: Mapping[str, tuple[Moment, ...]] = {
    "smtp": (
        Spoken(
            "smtp",
            "data",
            "lmtp",
            (*_MAIL, (b"RCPT TO:<$user>\r\n", _line(rb"250 "))),
            b"DATA\r\n",
            _line(rb"354 "),
            (_MESSAGE, rb"250 "),
            vital=len(_MESSAGE) - 3,  # the dot
        ),
    ),
    "pop3": (
        Spoken("pop3", "retr", "pop3", _POP3, b"RETR 1\r\n", rb".*?\r\n\.\r\n", (b"STAT\r\n", rb"\+OK"), locks=True),
        Spoken(
            "pop3", "message", "pop3", _POP3, b"RETR 1\r\n", b"", ways=("down",), before=rb"\+OK[^\n]*\n", locks=True
        ),
    ),
    "imap": (
        Spoken("imap", "fetch", "imap", _IMAP, b"a FETCH 1 FLAGS\r\n", _line(rb"a OK"), (b"b NOOP\r\n", rb"b OK")),
        Spoken(
            "imap",
            "message",
            "imap",
            _IMAP,
            b"a FETCH 1 BODY.PEEK[]\r\n",
            b"",
            ways=("down",),
            before=rb"[^\n]*\{\d+\}\r\n",
        ),
        Spoken(
            "imap",
            "literal",
            "imap",
            _IMAP,
            b"a APPEND INBOX {12}\r\n",
            rb"\+ [^\n]*\n",
            (b"Subject: b\r\n\r\n", rb".*a OK"),
            vital=12,  # the end of the command's line
        ),
    ),
    "ftp": (
        Spoken("ftp", "noop", "ftp", _FTP, b"NOOP\r\n", _line(rb"200 "), (b"PWD\r\n", rb"257 ")),
        Download(),
        Upload(),
        Upload(verb="transfer"),
    ),
    "ssh": (Run(),),
    "http": (
        Spoken(
            "http",
            "request",
            "http",
            (),
            _PUT,
            rb"HTTP/1\.1 100 .*?\r\n\r\n",
            (b"c\r\ncargo aboard\r\n0\r\n\r\n", rb"HTTP/1\.1 20"),
            vital=0,
            ways=("up",),
        ),
        Spoken("http", "request", "http", (), _GET, b"", ways=("down",)),
        Spoken("http", "headers", "http", (), _GET, b"", ways=("down",), before=_HEAD),
    ),
    "websocket": (
        Spoken(
            "websocket",
            "message",
            "ws",
            _SWITCHES,
            frame(TEXT, b"flotsam"),
            rb"\x81\x07flotsam",
            (frame(TEXT, b"jetsam"), rb"\x81\x06jetsam"),
        ),
        Spoken(
            "websocket",
            "fragment",
            "ws",
            _SWITCHES,
            frame(TEXT, LONG.encode()),
            b"",
            ways=("down",),
            before=rb"\x01\x64.{100}",
            truth=b"\x80\x64tide t",
        ),
    ),
}


def midst_cells(room: str, place: Place) -> Iterator[Cell]:
    """All of a room's."""
    place.ensure_account(f"m-midst-{room}")
    for moment in MOMENTS[room]:
        if room in ("pop3", "imap") and isinstance(moment, Spoken):
            _deliver(place, moment.users())
        yield from moment.cells(place)


def _deliver(place: Place, users: set[str]) -> None:
    """A message to each of these accounts."""
    recipients = [place.ensure_account(user).encode() for user in sorted(users)]
    sent = [(b"RCPT TO:<" + each + b">\r\n", _line(rb"250 ")) for each in recipients]
    done = (_MESSAGE, _line(rb"250 ") * len(recipients))
    with Client(place.connect("lmtp")) as client:
        for say, pattern in (*_MAIL, *sent, (b"DATA\r\n", _line(rb"354 ")), done):
            client.say(say)
            client.until(rb"\A" + pattern)
