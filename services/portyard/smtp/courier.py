"""Which server a hop hands its recipients to: the MSA asks the DNS, the MTA has its MDA."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Final, Protocol

from portyard.commons.directory import Directory
from portyard.commons.sandbox.model import Sandboxes
from portyard.smtp.core.model import PeerError, Reply, reply
from portyard.smtp.core.roles.addressing import RELAYING_DENIED
from portyard.smtp.outlet import Address, Destination
from portyard.smtp.resolver import RefusedError, Resolver
from portyard.smtp.spooled import Queued

SMTP_PORT: Final = 25  # RFC 5321 §4.5.4.2
OUTSIDE: Final = reply(550, "5.7.1", "the domain's server is outside the testbed and not in relay_allow")
NEXT_DOWN: Final = reply(451, "4.4.1", "the next service isn't up")

Route = Destination | Reply


class Courier(Protocol):
    """Chooses destinations."""

    async def route(self, recipient: Queued) -> Route:
        """Where the recipient's mail goes, or why it goes nowhere (for now or for good, as the reply's code says)."""


class LocalCourier:
    """The MTA's: everything goes to the delivery agent, by LMTP."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def route(self, recipient: Queued) -> Route:
        """See Courier."""
        return _service(self._directory, "mda", "lmtp", lmtp=True) or NEXT_DOWN


class MxCourier:
    """The MSA's: MX, host, address; then only what is the testbed's own or in the user's list.

    Args:
        directory: Who is of the testbed, and on which port.
        resolver: Asks the DNS room.
        sandboxes: Whether the submitter's sandbox captures.
        allowed: The user's list, as the setting `relay_allow` has it.
    """

    def __init__(
        self, directory: Directory, resolver: Resolver, sandboxes: Sandboxes, allowed: Sequence[str] = ()
    ) -> None:
        self._directory = directory
        self._resolver = resolver
        self._sandboxes = sandboxes
        self._allowed = dict(_host_and_port(entry) for entry in allowed)

    async def route(self, recipient: Queued) -> Route:
        """See Courier."""
        domain = recipient.mailbox.domain.lower()
        try:
            servers = [("", [_literal(domain)])] if domain.startswith("[") else await self._resolver.exchanges(domain)
        except RefusedError:
            return await self._captured(recipient)
        except PeerError as error:
            return error.reply
        found = [address for host, texts in servers for text in texts if (address := self._address(host, text))]
        return Destination(tuple(dict.fromkeys(found))) if found else OUTSIDE

    async def _captured(self, recipient: Queued) -> Route:
        """The DNS answers for `default`; another sandbox may capture what that one doesn't."""
        sandbox = await self._sandboxes.get(recipient.sandbox)
        if sandbox is None or sandbox.capture != "any":
            return RELAYING_DENIED
        return _service(self._directory, "mta", "smtp") or NEXT_DOWN

    def _address(self, host: str, text: str) -> Address | None:
        """A server that we may connect to, or None."""
        ours = self._directory.find("mta", "smtp")
        if ours is not None and text in (ours.address, ours.host):
            return Address(ours.address, ours.number, "mta", ours=True)
        for name in (text, host.lower()):
            if name in self._allowed:
                return Address(text, self._allowed[name], host or text, ours=False)
        if any(text == endpoint.address for endpoint in self._directory.all()):
            return Address(text, SMTP_PORT, host or text, ours=False)
        return None


def _service(directory: Directory, service: str, port: str, *, lmtp: bool = False) -> Destination | None:
    endpoint = directory.find(service, port)
    if endpoint is None:
        return None
    return Destination((Address(endpoint.address, endpoint.number, service, ours=True),), lmtp)


def _host_and_port(entry: str) -> tuple[str, int]:
    found = re.fullmatch(r"(.*?)(?::(\d+))?", entry)
    assert found is not None
    return found[1].strip("[]").lower(), int(found[2] or SMTP_PORT)


def _literal(domain: str) -> str:
    """An address literal's address (RFC 5321 §4.1.3)."""
    text = domain[1:-1].removeprefix("ipv6:")
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise PeerError(reply(550, "5.1.2", f"{domain} is no address")) from None
