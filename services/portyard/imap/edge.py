"""The IMAP room's edge: a core and its framing for each connection, run by commons' conversation."""

from __future__ import annotations

from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version

from portyard.commons.accounts.claiming import sandbox_of_login
from portyard.commons.card import Service, TlsMode
from portyard.commons.conversations import Conversations
from portyard.commons.effects import Framing, Session
from portyard.commons.scenario.personas import facts, worn
from portyard.commons.scenario.quirks import Seats
from portyard.commons.yard import Connection, Handler, Yard
from portyard.imap.card import EXTENSIONS
from portyard.imap.core.context import Offer
from portyard.imap.core.framing import ImapFraming
from portyard.imap.core.quirks import Quirks
from portyard.imap.core.session import ImapSession

PARTING = b"* BYE [UNAVAILABLE] Server shuts down\r\n"  # RFC 3501 §7.1.5


async def open_service(yard: Yard, service: Service) -> Handler:
    """See Card.factory."""
    host, seats = f"{service.name}.{yard.settings.domain}", Seats()

    def make(connection: Connection) -> tuple[Session, Framing]:
        accounts = yard.accounts.at(connection.home)
        quirks = worn(connection.gate, Quirks)
        offer = Offer(
            starttls=connection.port.tls is TlsMode.UPGRADE,
            require_tls=yard.settings.require_tls,
            extensions=EXTENSIONS,
            message_limit=yard.settings.limits.message,
            version=_version(),
            quirks=quirks,
            facts=facts(host, connection.peer[0], connection.log.id, yard.clocks.now(connection.sandbox)),
            seats=seats,
        )
        secure = connection.port.tls is TlsMode.IMPLICIT
        session = ImapSession(
            accounts,
            yard.mail,
            offer,
            secure=secure,
            gate=connection.gate,
            sandbox_of=partial(sandbox_of_login, accounts, yard.sandboxes),
            clocks=yard.clocks,
        )
        return session, ImapFraming(quirks.limits.line)

    return Conversations(yard, make, PARTING)


@cache  # a distribution's files, which each connection would open and read again
def _version() -> str:
    try:
        return version("portyard")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return ""
