"""Lets a handler class written for aiosmtpd watch and refuse: its `handle_*` hooks are asked before the room decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from portyard.commons.sandbox.model import Sandbox
from portyard.smtp.core.grammar import ReplyReader, print_mailbox
from portyard.smtp.core.model import Mailbox, Peer, PeerError, Recipient, Reply, Taker, Transaction
from portyard.smtp.core.stores import Door


class Hooked(Protocol):
    """What of aiosmtpd's `SMTP` the hooks need."""

    session: Any
    envelope: Any

    async def call_hook(self, command: str, *arguments: Any) -> str | None:  # noqa: ANN401 - aiosmtpd's own type
        """A hook's status, or None where the handler has no such hook."""

    def new_envelope(self) -> Any:  # noqa: ANN401 - aiosmtpd's own type
        """Begin an empty envelope."""


class HookedDoor:
    """A door with a handler in front of it. Only what both take is taken.

    Args:
        door: The role's.
        server: The connection's aiosmtpd server object.
    """

    def __init__(self, door: Door, server: Hooked) -> None:
        self._door = door
        self._server = server

    async def owner(self, domain: str) -> Sandbox | None:
        """See Door."""
        return await self._door.owner(domain)

    async def stands(self, taker: Taker) -> bool:
        """See Door."""
        return await self._door.stands(taker)

    def present(self, sandbox: str) -> Taker:
        """See Door."""
        return self._door.present(sandbox)

    async def sender(self, peer: Peer, transaction: Transaction) -> None:
        """See Door. Hook `handle_MAIL`."""
        session = self._server.session
        session.host_name, session.extended_smtp = peer.hello, peer.esmtp
        session.authenticated, session.auth_data = bool(peer.account), peer.account or None
        envelope = self._server.new_envelope()
        envelope.smtp_utf8 = transaction.smtputf8
        options = ["BODY=8BITMIME"] * transaction.eight_bit + ["SMTPUTF8"] * transaction.smtputf8
        address = print_mailbox(transaction.reverse_path)
        _obey(await self._server.call_hook("MAIL", address, options))
        envelope.mail_from, envelope.mail_options = address, options
        await self._door.sender(peer, transaction)

    async def recipient(
        self, peer: Peer, transaction: Transaction, mailbox: Mailbox, taker: Taker | None = None
    ) -> Recipient:
        """See Door. Hook `handle_RCPT`."""
        address = print_mailbox(mailbox)
        _obey(await self._server.call_hook("RCPT", address, []))
        taken = await self._door.recipient(peer, transaction, mailbox, taker)
        self._server.envelope.rcpt_tos.append(address)
        return taken

    async def accept(self, peer: Peer, transaction: Transaction, octets: bytes) -> Sequence[Reply]:
        """See Door. Hook `handle_DATA`."""
        self._server.envelope.content = self._server.envelope.original_content = octets
        _obey(await self._server.call_hook("DATA"))
        return await self._door.accept(peer, transaction, octets)


def _obey(status: str | None) -> None:
    """A status that is no 2xx refuses."""
    if status is None:
        return
    answer = ReplyReader().feed(status.partition("\r\n")[0].encode())
    if answer is not None and not answer.positive:
        raise PeerError(answer)
