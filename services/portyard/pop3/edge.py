"""POP3 on asyncio: the core over the commons' conversation."""

from __future__ import annotations

import itertools
import os
from functools import partial

from portyard.commons.accounts.claiming import sandbox_of_login
from portyard.commons.card import Service, TlsMode
from portyard.commons.conversations import Conversations
from portyard.commons.locks import Lock, Locks
from portyard.commons.scenario.personas import facts, worn
from portyard.commons.scenario.quirks import Seats
from portyard.commons.yard import Connection, Handler, Yard
from portyard.pop3.core.framing import LineFraming
from portyard.pop3.core.quirks import Quirks
from portyard.pop3.core.session import House, Session

PARTING = b"-ERR [SYS/TEMP] the server is stopping or failed\r\n"


async def open_service(yard: Yard, service: Service) -> Handler:
    """The room's factory, see its card."""
    locks = Locks(yard.state / "locks")
    serial = itertools.count(1)

    def lock(account_id: int) -> Lock | None:
        return locks.take(f"maildrop-{account_id}")

    host, seats = f"{service.name}.{yard.settings.domain}", Seats()

    def make(connection: Connection) -> tuple[Session, LineFraming]:
        accounts = yard.accounts.at(connection.home)
        quirks = worn(connection.gate, Quirks)
        now = yard.clocks.now(connection.sandbox)
        house = House(
            accounts=accounts,
            mail=yard.mail,
            lock=lock,
            timestamp=f"<{os.getpid()}.{next(serial)}.{now.timestamp():.6f}@{yard.settings.domain}>",
            upgradable=connection.port.tls is TlsMode.UPGRADE,
            require_tls=yard.settings.require_tls,
            gate=connection.gate,
            quirks=quirks,
            facts=facts(host, connection.peer[0], connection.log.id, now),
            seats=seats,
            now=yard.clocks.now,
            sandbox_of=partial(sandbox_of_login, accounts, yard.sandboxes),
        )
        session = Session(house, tls=connection.port.tls is TlsMode.IMPLICIT)
        return session, LineFraming(quirks.limits.line)

    return Conversations(yard, make, PARTING)
