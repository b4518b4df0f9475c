"""What IMAP's talks share at every height."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from portyard.commons.scenario.engine import SessionGate
from portyard.commons.scenario.personas import facts, worn
from portyard.commons.yard import Yard
from portyard.imap.card import EXTENSIONS
from portyard.imap.core.context import Offer
from portyard.imap.core.framing import ImapFraming
from portyard.imap.core.quirks import Quirks
from portyard.imap.core.session import ImapSession

_LOGIN = """\
S: * OK $
C: p1 LOGIN $user $password
S: p1 OK $
"""
PRELUDES = {
    "greeted": "S: * OK $\n",
    "authenticated": _LOGIN,
    "selected": _LOGIN
    + """\
C: p2 SELECT INBOX
S: ...
S: p2 OK [READ-WRITE] $
""",
    "examined": _LOGIN
    + """\
C: p2 EXAMINE INBOX
S: ...
S: p2 OK [READ-ONLY] $
""",
}
BINDINGS: dict[str, str] = {}


def core(
    yard: Yard, *, secure: bool = False, message_limit: int = 1 << 20, gate: SessionGate | None = None
) -> tuple[ImapSession, ImapFraming]:
    """A session and its framing over a yard's stores, as the edge makes them."""
    offer = Offer(
        starttls=not secure,
        require_tls=yard.settings.require_tls,
        extensions=EXTENSIONS,
        message_limit=message_limit,
        version="1.0",
        quirks=worn(gate, Quirks),
        facts=facts("imap.portyard.test", "192.0.2.1", "core", yard.clock.now()),
    )
    return ImapSession(yard.accounts, yard.mail, offer, secure=secure, gate=gate), ImapFraming(offer.quirks.limits.line)


class Reader:
    """Reads the server's parenthesized data: lists of octets and lists, NIL as the octets."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def value(self) -> Any:
        found = _TOKEN.match(self._data, self._at)
        assert found is not None, self._data[self._at : self._at + 80]
        self._at = found.end()
        if found["open"]:
            return list(self._values())
        if found["size"]:
            self._at += int(found["size"])
            return self._data[found.end() : self._at]
        if found["quoted"] is not None:
            return re.sub(rb"\\(.)", rb"\1", found["quoted"])
        return found["atom"]

    def _values(self) -> Iterator[Any]:
        while not (closing := re.compile(rb" *\)").match(self._data, self._at)):
            yield self.value()
        self._at = closing.end()


_TOKEN = re.compile(
    rb' *(?:(?P<open>\()|\{(?P<size>\d+)\}\r\n|"(?P<quoted>(?:[^"\\\r\n]|\\["\\])*)"|(?P<atom>[^\s()"{[]+(?:\[[^\]]*\]\S*)?))'
)


def fetched(sent: bytes) -> dict[bytes, Any]:
    """A FETCH answer's items by name."""
    values = Reader(sent[sent.index(b"(") :]).value()
    return dict(zip(values[::2], values[1::2], strict=True))
