"""What the agents have in common: they know whose a domain is, and those that hand mail on spool it in one way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from portyard.commons.clock import Clocks
from portyard.commons.sandbox.model import DEFAULT, Sandbox, Sandboxes
from portyard.smtp.core import trace
from portyard.smtp.core.model import Peer, Reply, Taker, Transaction, reply
from portyard.smtp.core.roles.addressing import stands
from portyard.smtp.core.stores import Arrival, Spool


class Agent:
    """Half a Door: each role has its own `recipient` and `accept`."""

    def __init__(self, sandboxes: Sandboxes, clocks: Clocks, host: str) -> None:
        self._sandboxes = sandboxes
        self._clocks = clocks
        self._host = host

    async def owner(self, domain: str) -> Sandbox | None:
        """See Door."""
        return await self._sandboxes.owner(domain.lower())

    async def stands(self, taker: Taker) -> bool:
        """See Door."""
        return await stands(self._sandboxes, taker)

    def present(self, sandbox: str) -> Taker:
        """See Door."""
        return Taker(sandbox, self._sandboxes.generation_now(sandbox))

    async def sender(self, peer: Peer, transaction: Transaction) -> None:
        """See Door. Anybody may be the sender: testers write what they like."""


class Spooling(Agent):
    """Answers 250 when the message is in the spool; another agent gets it from there."""

    def __init__(self, sandboxes: Sandboxes, spool: Spool, clocks: Clocks, host: str) -> None:
        super().__init__(sandboxes, clocks, host)
        self._spool = spool

    def _moment(self, transaction: Transaction) -> datetime:
        """When a message came, on the clock of its recipients' sandbox; on `default`'s where they belong to several."""
        sandboxes = {recipient.sandbox for recipient in transaction.recipients}
        return self._clocks.now(sandboxes.pop() if len(sandboxes) == 1 else DEFAULT)

    async def _hand_on(self, peer: Peer, transaction: Transaction, moment: datetime, octets: bytes) -> Sequence[Reply]:
        """Commit, then answer; `octets` get our Received before them."""
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
        await self._spool.commit(_arrival(transaction, received + trace.separator(octets) + octets))
        return (reply(250, "2.0.0", f"queued as {transaction.id}", name="queued", id=transaction.id),)


def _arrival(transaction: Transaction, octets: bytes) -> Arrival:
    return Arrival(
        id=transaction.id,
        reverse_path=transaction.reverse_path,
        eight_bit=transaction.eight_bit or not octets.isascii(),
        smtputf8=transaction.smtputf8,
        recipients=tuple(transaction.recipients),
        octets=octets,
    )
