"""The transfer agent: takes mail for the testbed's domains, or for all where it captures, and spools it (RFC 5321)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from portyard.commons.accounts.model import Accounts
from portyard.commons.clock import Clocks
from portyard.commons.sandbox.model import Sandboxes
from portyard.smtp.core.model import Mailbox, Peer, PeerError, Recipient, Reply, Taker, Transaction
from portyard.smtp.core.roles.addressing import UNKNOWN_USER, complete, known_account, may_make, take
from portyard.smtp.core.roles.agent import Spooling
from portyard.smtp.core.stores import Spool


class Exchange(Spooling):
    """Never an open relay: what it takes goes to the testbed's own delivery agent and nowhere else."""

    def __init__(self, sandboxes: Sandboxes, accounts: Accounts, spool: Spool, clocks: Clocks, host: str) -> None:
        super().__init__(sandboxes, spool, clocks, host)
        self._accounts = accounts

    async def recipient(
        self, peer: Peer, transaction: Transaction, mailbox: Mailbox, taker: Taker | None = None
    ) -> Recipient:
        """See Door. Captures or refuses."""
        address = await complete(self._sandboxes, mailbox, peer.home)
        if taker is not None:
            named = Recipient(address, taker.sandbox, taker.generation, late=not await self.stands(taker))
            if named.late:  # accepted here, dropped by the relay
                return named
        sandbox, recipient = await take(self._sandboxes, address, transaction, peer.home)
        if not may_make(sandbox, address) and await known_account(self._accounts, sandbox.name, address) is None:
            raise PeerError(UNKNOWN_USER)
        if taker is not None and taker.sandbox == recipient.sandbox:  # which may be reset at any moment
            return replace(recipient, generation=taker.generation)
        return recipient

    async def accept(self, peer: Peer, transaction: Transaction, octets: bytes) -> Sequence[Reply]:
        """See Door."""
        return await self._hand_on(peer, transaction, self._moment(transaction), octets)
