"""The transfer agent: takes mail for the testbed's domains, or for all where it captures, and spools it (RFC 5321)."""

from __future__ import annotations

from collections.abc import Sequence

from portyard.commons.accounts.model import Accounts
from portyard.commons.clock import Clocks
from portyard.commons.sandbox.model import Sandboxes
from portyard.smtp.core import trace
from portyard.smtp.core.model import Mailbox, Peer, PeerError, Recipient, Reply, Taker, Transaction
from portyard.smtp.core.roles.addressing import UNKNOWN_USER, complete, known_account, may_make, owner_of, take
from portyard.smtp.core.roles.msa import arrival_of, moment_of, queued
from portyard.smtp.core.stores import Spool


class Exchange:
    """Never an open relay: what it takes goes to the testbed's own delivery agent and nowhere else."""

    def __init__(self, sandboxes: Sandboxes, accounts: Accounts, spool: Spool, clocks: Clocks, host: str) -> None:
        self._sandboxes = sandboxes
        self._accounts = accounts
        self._spool = spool
        self._clocks = clocks
        self._host = host

    async def owner(self, domain: str) -> str | None:
        """See Door."""
        return await owner_of(self._sandboxes, domain)

    async def sender(self, peer: Peer, transaction: Transaction) -> None:
        """See Door. Anybody may be the sender: testers write what they like."""

    async def recipient(
        self, peer: Peer, transaction: Transaction, mailbox: Mailbox, taker: Taker | None = None
    ) -> Recipient:
        """See Door. Captures or refuses."""
        address = await complete(self._sandboxes, mailbox, peer.home)
        if taker is not None:
            found = await self._sandboxes.get(taker.sandbox)
            if found is None or found.generation != taker.generation:
                return Recipient(address, taker.sandbox, taker.generation)  # accepted here, dropped by the relay
        sandbox, recipient = await take(self._sandboxes, address, transaction.hop, peer.home)
        if not may_make(sandbox, address) and await known_account(self._accounts, sandbox.name, address) is None:
            raise PeerError(UNKNOWN_USER)
        return recipient

    async def accept(self, peer: Peer, transaction: Transaction, octets: bytes) -> Sequence[Reply]:
        """See Door."""
        several = len(transaction.recipients) > 1
        received = trace.received(
            peer,
            host=self._host,
            lmtp=False,
            smtputf8=transaction.smtputf8,
            delivery_id=transaction.id,
            recipient=None if several else transaction.recipients[0].mailbox,
            moment=moment_of(self._clocks, transaction),
        )
        await self._spool.commit(arrival_of(transaction, received + octets))
        return (queued(transaction),)
