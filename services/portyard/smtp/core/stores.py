"""The interfaces that the core awaits: the spool, and what a role decides about recipients and messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from portyard.commons.sandbox.model import Sandbox
from portyard.smtp.core.model import Mailbox, Peer, Recipient, Reply, Taker, Transaction


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message to be committed to the spool.

    Attributes:
        id: Its delivery id.
        reverse_path: Whom bounces go to.
        eight_bit: Its octets pass 127, or BODY=8BITMIME was declared.
        smtputf8: SMTPUTF8 was declared.
        recipients: At least one.
        octets: Header and body, lines ending in CRLF.
    """

    id: str
    reverse_path: Mailbox
    eight_bit: bool
    smtputf8: bool
    recipients: Sequence[Recipient]
    octets: bytes = field(repr=False)


class Spool(Protocol):
    """A hop's queue."""

    async def commit(self, arrival: Arrival) -> None:
        """Take the message over; returns once it is committed. A repeat of (id, recipient) changes nothing.

        Raises:
            StoreFullError: Nothing was taken.
        """


class Door(Protocol):
    """What a role decides."""

    async def owner(self, domain: str) -> Sandbox | None:
        """The sandbox that a domain belongs to, known as soon as it is named; None where it is nobody's."""

    async def stands(self, taker: Taker) -> bool:
        """Whether a sandbox is there and wasn't reset since."""

    def present(self, sandbox: str) -> Taker:
        """A sandbox as it is at this moment."""

    async def sender(self, peer: Peer, transaction: Transaction) -> None:
        """Judge a MAIL whose parameters are read.

        Raises:
            PeerError: It is refused.
        """

    async def recipient(
        self, peer: Peer, transaction: Transaction, mailbox: Mailbox, taker: Taker | None = None
    ) -> Recipient:
        """Judge a RCPT; `taker` is who takes it, where a testbed peer says so.

        Raises:
            PeerError: It is refused.
        """

    async def accept(self, peer: Peer, transaction: Transaction, octets: bytes) -> Sequence[Reply]:
        """Take a message over. One reply, or with LMTP one for each recipient in order (RFC 2033 §4.2).

        Raises:
            PeerError: It is refused for every recipient.
        """
