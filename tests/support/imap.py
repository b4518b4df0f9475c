"""What IMAP's talks share at every height."""

from __future__ import annotations

from portyard.commons.yard import Yard
from portyard.imap.card import EXTENSIONS
from portyard.imap.core.context import Offer
from portyard.imap.core.framing import ImapFraming
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


def core(yard: Yard, *, secure: bool = False, message_limit: int = 1 << 20) -> tuple[ImapSession, ImapFraming]:
    """A session and its framing over a yard's stores, as the edge makes them."""
    offer = Offer(
        starttls=not secure,
        require_tls=yard.settings.require_tls,
        extensions=EXTENSIONS,
        message_limit=message_limit,
        version="1.0",
    )
    return ImapSession(yard.accounts, yard.mail, offer, secure=secure), ImapFraming()
