"""The submission agent: takes mail of those who logged in, completes it, spools it (RFC 6409)."""

from __future__ import annotations

from collections.abc import Sequence

from portyard.commons.sandbox.model import Sandbox
from portyard.smtp.core import trace
from portyard.smtp.core.model import Mailbox, Peer, PeerError, Recipient, Reply, Taker, Transaction, reply
from portyard.smtp.core.roles.addressing import RELAYING_DENIED, complete
from portyard.smtp.core.roles.agent import Spooling


class Submission(Spooling):
    """Takes any recipient: where the mail goes is found out later, and what can't go shows as failed in the queue."""

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
        """See Door. Adds Received, Date and Message-ID (RFC 6409 §8), and the empty line where there is no header; nothing else."""
        moment = self._moment(transaction)
        added = trace.missing_fields(octets, moment=moment, delivery_id=transaction.id, host=self._host)
        return await self._hand_on(peer, transaction, moment, added + trace.separator(octets) + octets)
