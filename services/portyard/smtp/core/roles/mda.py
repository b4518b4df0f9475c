"""The delivery agent: matches recipients to accounts and stores, one answer for each recipient (RFC 2033)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from portyard.commons.accounts.model import Accounts, ResetSinceError
from portyard.commons.clock import Clocks
from portyard.commons.mailstore.model import INBOX, Mailstore, NoSuchMailboxError, StoreFullError
from portyard.commons.sandbox.model import Sandbox, Sandboxes
from portyard.smtp.core import trace
from portyard.smtp.core.grammar import print_mailbox
from portyard.smtp.core.model import Mailbox, Peer, PeerError, Recipient, Reply, Taker, Transaction, about, reply
from portyard.smtp.core.roles.addressing import (
    UNKNOWN_USER,
    account_for,
    complete,
    known_account,
    may_make,
    take,
)
from portyard.smtp.core.roles.agent import Agent

DELIVERED = reply(250, "2.1.5", "delivered", name="delivered")
DROPPED = reply(250, "2.1.5", "dropped: its sandbox was reset since")
STORE_FULL = reply(452, "4.3.1", "no room to store the message")


class Delivery(Agent):
    """Stores into INBOX, exactly once for each delivery id and recipient."""

    def __init__(self, sandboxes: Sandboxes, accounts: Accounts, mail: Mailstore, clocks: Clocks, host: str) -> None:
        super().__init__(sandboxes, clocks, host)
        self._accounts = accounts
        self._mail = mail

    async def recipient(
        self, peer: Peer, transaction: Transaction, mailbox: Mailbox, taker: Taker | None = None
    ) -> Recipient:
        """See Door. A testbed peer has chosen the sandbox already."""
        address = await complete(self._sandboxes, mailbox, peer.home)
        hop = transaction.hop
        if hop is not None:
            recipient = Recipient(address, hop.sandbox, hop.generation)
            sandbox = await self._sandboxes.get(hop.sandbox)
            if sandbox is None or sandbox.generation != hop.generation:
                return replace(recipient, late=True)  # accepted here, dropped at the end of data
        else:
            sandbox, recipient = await take(self._sandboxes, address, transaction, peer.home)
        if not may_make(sandbox, address) and await known_account(self._accounts, sandbox.name, address) is None:
            raise PeerError(UNKNOWN_USER)
        return recipient

    async def accept(self, peer: Peer, transaction: Transaction, octets: bytes) -> Sequence[Reply]:
        """See Door. One answer for each recipient, in order (RFC 2033 §4.2)."""
        return [await self._deliver(peer, transaction, recipient, octets) for recipient in transaction.recipients]

    async def _deliver(self, peer: Peer, transaction: Transaction, recipient: Recipient, octets: bytes) -> Reply:
        sandbox = await self._sandboxes.get(recipient.sandbox)
        if sandbox is None or sandbox.generation != recipient.generation:
            return DROPPED
        try:
            return await self._store(peer, transaction, recipient, sandbox, octets)
        except PeerError as error:
            return error.reply
        except ResetSinceError:
            return DROPPED
        except StoreFullError:
            return STORE_FULL
        except NoSuchMailboxError:  # the account went in between, alone or with all that its sandbox had
            return UNKNOWN_USER if await self._stands(recipient) else DROPPED

    async def _stands(self, recipient: Recipient) -> bool:
        """Whether the sandbox wasn't reset since the recipient was named."""
        sandbox = await self._sandboxes.get(recipient.sandbox)
        return sandbox is not None and sandbox.generation == recipient.generation

    async def _store(
        self, peer: Peer, transaction: Transaction, recipient: Recipient, sandbox: Sandbox, octets: bytes
    ) -> Reply:
        mailbox = recipient.mailbox
        account = await account_for(self._accounts, sandbox, mailbox)
        if account.generation != recipient.generation:  # read with its number: reset since the sandbox was looked at
            return DROPPED
        moment = self._clocks.now(sandbox.name)
        received = trace.received(
            peer,
            host=self._host,
            lmtp=True,
            smtputf8=transaction.smtputf8,
            delivery_id=transaction.id,
            recipient=mailbox,
            moment=moment,
        )
        await self._mail.append(
            account.id,
            INBOX,
            trace.delivery_fields(transaction.reverse_path, mailbox) + received + trace.separator(octets) + octets,
            internal_date=moment,
            delivery_id=transaction.id,
            recipient=print_mailbox(Mailbox(mailbox.local_part, mailbox.domain.lower())),
        )
        return about(DELIVERED, id=transaction.id, recipient=print_mailbox(mailbox))
