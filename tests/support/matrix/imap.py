"""IMAP, verb by verb."""

from __future__ import annotations

from collections.abc import Iterator

from tests.support.matrix.lines import MIDST, Dialect, Scene, cells
from tests.support.matrix.place import DOMAIN, PASSWORD, Cell, Client, Place

USER = f"m-imap@{DOMAIN}"
LITERAL = b"Subject: harbour\r\n\r\n" + b"Water.\r\n" * 40


def _wire(text: str) -> bytes:
    return (text if text[:1] in "*+" else f"a {text}").encode() + b"\r\n"


_IMAP = Dialect(
    room="imap",
    port="imap",
    secure="imaps",
    greeting=b"* OK",
    refuse="NO not today",
    say="OK so they say",
    wire=_wire,
    again=(b"z NOOP\r\n", b"z OK"),
)
_DONE = rb"a OK[^\n]*\n"
_ASKS = rb"\+ [^\n]*\n"
_LOGIN = ((f"l LOGIN {USER} {PASSWORD}\r\n".encode(), b"l OK"),)
_INBOX = (*_LOGIN, (b"s SELECT INBOX\r\n", b"s OK"))
_IDLE = (*_INBOX, (b"a IDLE\r\n", b"+ "))


def _says(text: str, *, selected: bool = False, truth: bytes = rb"a (?:OK|NO)[^\n]*\n") -> Scene:
    """A command of somebody who is logged in."""
    return Scene(f"a {text}\r\n".encode(), truth, _INBOX if selected else _LOGIN)


def _arrives(place: Place, client: Client) -> None:
    """A message comes into INBOX, from another session."""
    with Client(place.connect("imap")) as other:
        other.line(b"* OK")
        other.say(_LOGIN[0][0])
        other.line(b"l OK")
        _append(other)


def _append(client: Client) -> None:
    client.say(b"a APPEND INBOX {%d+}\r\n%b\r\n" % (len(LITERAL), LITERAL))
    client.line(b"a OK")


_PLAIN = b"AG0taW1hcEBwb3J0eWFyZC50ZXN0AG1hdHJpeC1zZWNyZXQ="
_APPEND = b"a APPEND INBOX {%d+}\r\n%b\r\n" % (len(LITERAL), LITERAL)

SCENES = {
    "capability": Scene(b"a CAPABILITY\r\n", _DONE),
    "noop": Scene(b"a NOOP\r\n", _DONE),
    "logout": Scene(b"a LOGOUT\r\n", _DONE, lies_on=False),
    "id": Scene(b'a ID ("name" "matrix")\r\n', _DONE),
    "starttls": Scene(b"a STARTTLS\r\n", _DONE, lies_on=False),
    "challenge": Scene(b"a AUTHENTICATE LOGIN\r\n", _ASKS, actions=MIDST),
    "authenticate": Scene(b"a AUTHENTICATE PLAIN " + _PLAIN + b"\r\n", _DONE),
    "login": Scene(b"a" + _LOGIN[0][0][1:], _DONE),
    "enable": _says("ENABLE CONDSTORE"),
    "select": _says("SELECT INBOX"),
    "examine": _says("EXAMINE INBOX"),
    "create": _says("CREATE made"),
    "delete": _says("DELETE nothing"),
    "rename": _says("RENAME nothing nowhere"),
    "subscribe": _says("SUBSCRIBE INBOX"),
    "unsubscribe": _says("UNSUBSCRIBE INBOX"),
    "list": _says('LIST "" *'),
    "lsub": _says('LSUB "" *'),
    "namespace": _says("NAMESPACE"),
    "status": _says("STATUS INBOX (MESSAGES)"),
    "append": Scene(_APPEND, _DONE, _LOGIN),
    "idle": Scene(b"a IDLE\r\n", _ASKS, _INBOX, lies_on=False),
    "done": Scene(b"DONE\r\n", _DONE, _IDLE, actions=MIDST),
    "check": _says("CHECK", selected=True),
    "close": _says("CLOSE", selected=True),
    "unselect": _says("UNSELECT", selected=True),
    "expunge": _says("EXPUNGE", selected=True),
    "store": _says(r"STORE 1 +FLAGS (\Flagged)", selected=True),
    "copy": _says("COPY 1 nowhere", selected=True),
    "move": _says("MOVE 1 nowhere", selected=True),
    "fetch": _says("FETCH 1 FLAGS", selected=True),
    "search": _says("SEARCH ALL", selected=True),
    "literal": Scene(b"a APPEND INBOX {7}\r\n", _ASKS, _LOGIN, lies_on=False, say="+ go on", goes_on=True),
    "message": Scene(
        b"a FETCH 1 BODY.PEEK[]\r\n",
        _DONE,
        _INBOX,
        before=rb"\* 1 FETCH \(BODY\[\] \{\d+\}\r\nSubject.*",
        actions=MIDST,
        where={"octets": ">0"},
    ),
    "exists": Scene(
        _arrives,
        rb"\* \d+ EXISTS\r\n",
        _IDLE,
        actions=("refuse", *MIDST),
        goes_on=False,
        refuse="* OK Still here",
    ),
}


def imap(place: Place) -> Iterator[Cell]:
    """IMAP's cells; an INBOX with two messages."""
    place.account("m-imap")
    with Client(place.connect("imap")) as client:
        client.line(b"* OK")
        client.say(_LOGIN[0][0])
        client.line(b"l OK")
        for _ in range(2):
            _append(client)
    yield from cells(_IMAP, SCENES)
