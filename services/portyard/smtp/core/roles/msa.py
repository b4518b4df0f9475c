"""The submission agent: takes mail of those who logged in, completes it, spools it (RFC 6409)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from portyard.commons.clock import Clocks
from portyard.commons.sandbox.model import DEFAULT, Sandbox, Sandboxes
from portyard.smtp.core import trace
from portyard.smtp.core.model import Mailbox, Peer, PeerError, Recipient, Reply, Taker, Transaction, reply
from portyard.smtp.core.roles.addressing import RELAYING_DENIED, complete, owner_of
from portyard.smtp.core.stores import Arrival, Spool


class Submission:
    """Takes any recipient: where the mail goes is found out later, and what can't go shows as failed in the queue."""

    def __init__(self, sandboxes: Sandboxes, spool: Spool, clocks: Clocks, host: str) -> None:
        self._sandboxes = sandboxes
        self._spool = spool
        self._clocks = clocks
        self._host = host

    async def owner(self, domain: str) -> str | None:
        """See Door."""
        return await owner_of(self._sandboxes, domain)

    async def sender(self, peer: Peer, transaction: Transaction) -> None:
        """See Door. Anybody may be the sender: testers write what they like."""
        await self._home(peer)

    async def recipient(
        self, peer: Peer, transaction: Transaction, mailbox: Mailbox, taker: Taker | None = None
    ) -> Recipient:
        """See Door. The sandbox is the submitter's; whose the domain is now is told to the next hop."""
        sandbox = await self._home(peer)
        address = await complete(self._sandboxes, mailbox, sandbox.name)
        owner = await self._sandboxes.owner(address.domain.lower())
        other = Taker(owner.name, owner.generation) if owner is not None and owner.name != sandbox.name else None
        return Recipient(address, sandbox.name, sandbox.generation, other)

    async def _home(self, peer: Peer) -> Sandbox:
        """The submitter's sandbox.

        Raises:
            PeerError: It was removed or reset under a running session, which is of the last test then.
        """
        sandbox = await self._sandboxes.get(peer.sandbox or peer.home)
        if sandbox is None:
            raise PeerError(RELAYING_DENIED)
        if peer.account and peer.generation != sandbox.generation:
            raise PeerError(reply(530, "5.7.0", "the sandbox was reset since the login; connect again"))
        return sandbox

    async def accept(self, peer: Peer, transaction: Transaction, octets: bytes) -> Sequence[Reply]:
        """See Door. Adds Received, Date and Message-ID, nothing else (RFC 6409 §8)."""
        moment = moment_of(self._clocks, transaction)
        several = len(transaction.recipients) > 1
        received = trace.received(
            peer,
            host=self._host,
            lmtp=False,
            smtputf8=transaction.smtputf8,
            delivery_id=transaction.id,
            recipient=None if several else transaction.recipients[0].mailbox,
            moment=moment,
        )
        added = trace.missing_fields(octets, moment=moment, delivery_id=transaction.id, host=self._host)
        await self._spool.commit(arrival_of(transaction, received + added + octets))
        return (queued(transaction),)


def arrival_of(transaction: Transaction, octets: bytes) -> Arrival:
    """What goes to the spool."""
    return Arrival(
        id=transaction.id,
        reverse_path=transaction.reverse_path,
        eight_bit=transaction.eight_bit or not octets.isascii(),
        smtputf8=transaction.smtputf8,
        recipients=tuple(transaction.recipients),
        octets=octets,
    )


def moment_of(clocks: Clocks, transaction: Transaction) -> datetime:
    """When a message came, on the clock of its recipients' sandbox; on `default`'s where they belong to several."""
    sandboxes = {recipient.sandbox for recipient in transaction.recipients}
    return clocks.now(sandboxes.pop() if len(sandboxes) == 1 else DEFAULT)


def queued(transaction: Transaction) -> Reply:
    """The answer to a message that is committed."""
    return reply(250, "2.0.0", f"queued as {transaction.id}", name="queued", id=transaction.id)
