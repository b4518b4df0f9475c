"""The FTP room's edge: takes accepted sockets and runs a control connection of pyftpdlib's on each, on the same loop as everything."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from pathlib import Path
from types import SimpleNamespace

from portyard.commons.card import Port, Service
from portyard.commons.gentle import kept_socket, see_off
from portyard.commons.tls.authority import CertificatePaths, server_context
from portyard.commons.tls.recipes import GOOD, RECIPES
from portyard.commons.wire.wire import Wire
from portyard.commons.yard import Connection, Yard
from portyard.ftp.core.addresses import Surroundings, read_routes
from portyard.ftp.core.listing import DEFAULT_FACTS
from portyard.ftp.ioloop import AsyncioLoop
from portyard.ftp.leaving import Leaving
from portyard.ftp.ruled import Ruled
from portyard.ftp.session import Session
from portyard.ftp.tls import Terms

_ROUTES = Path("/proc/net/route")
_logger = logging.getLogger("portyard.ftp")


async def open_service(yard: Yard, service: Service) -> Room:
    """The room, ready for connections."""
    return Room(yard, service)


class Room:
    """See `portyard.commons.yard.Handler`; drives its sockets by itself.

    Attributes:
        yard: Where it stands.
        ioloop: pyftpdlib's loop over ours.
        server: What pyftpdlib asks of a server object; the listener does the work of one.
        leaving: Connections whose clients have yet to notice that they are over.
        wire: The relays of data connections on which faults may be put.
        passive_ports: Where passive data connections listen; None for any port.
        host: What it calls itself.
    """

    adopts = True

    def __init__(self, yard: Yard, service: Service) -> None:
        self.yard = yard
        self.ioloop = AsyncioLoop()
        self.server = SimpleNamespace(ip_map=[], _accept_new_cons=lambda: True)
        self.leaving = Leaving()
        self.wire = Wire(random.Random(yard.rng.getrandbits(64)))
        self.passive_ports = _port_range(yard.settings.passive_ports)
        self.host = f"{service.name}.{yard.settings.domain}"
        self._service = service
        self._sessions: set[Session] = set()

    def adopt(self, connection: Connection, sock: socket.socket) -> None:
        """Take over an accepted socket."""
        session = Ruled(self, connection, sock)
        session._current_facts = list(DEFAULT_FACTS)
        self._sessions.add(session)
        session.begin()

    def protocol(self, connection: Connection) -> asyncio.Protocol:
        """Never asked for: `adopts` is True."""
        raise NotImplementedError("the FTP room adopts sockets")

    def datagram(self, connection_port: Port) -> asyncio.DatagramProtocol:
        """FTP has no UDP port."""
        raise NotImplementedError("FTP has no UDP port")

    async def close(self) -> None:
        """Say goodbye to everybody, see them off, and close."""
        leaving = []
        for session in list(self._sessions):
            session.reason = "shutdown"
            session.respond("421 The server is closing.")  # RFC 959 §5.4
            leaving.append(kept_socket(session.socket))
            session.close()
        self.ioloop.close()
        await asyncio.gather(see_off(leaving), self.leaving.close())
        await self.wire.close()

    def good_terms(self) -> Terms:
        """The good certificate's terms, made on the spot where need be."""
        return Terms(GOOD, self.yard.tls.server_context())

    async def terms(self, recipe: str) -> Terms:
        """A certificate's terms."""
        return Terms(recipe, await self.yard.tls.context_for(recipe))

    def fresh_terms(self, recipe: str) -> Terms:
        """Terms under which no session of before can be resumed."""
        paths = CertificatePaths(*self.yard.tls.certificate_files(recipe))
        return Terms(recipe, server_context(RECIPES[recipe], paths, self.yard.state / "tls" / "ca.pem"))

    def ended(self, session: Session) -> None:
        """A session is over."""
        self._sessions.discard(session)

    def passive_address(self, local: str, peer: str) -> str:
        """The address that PASV names to this peer."""
        settings = self.yard.settings
        try:
            gateways, networks = read_routes(_ROUTES.read_text().splitlines())
        except (OSError, ValueError):  # another system, or a sandbox without /proc
            gateways, networks = frozenset(), ()
        contained = settings.engine_view == "docker"
        return Surroundings(settings.advertise, contained, gateways, networks).passive_address(local, peer)

    async def sandbox_of_login(self, login: str, home: str) -> str | None:
        """The sandbox that a login name belongs to at a listener of `home`'s, whether its password is right or not."""
        account = await self.yard.accounts.at(home).find(login)
        if account is not None:
            return account.sandbox
        named, slash, _ = login.partition("/")
        if slash:
            sandbox = await self.yard.sandboxes.get(named)
        else:
            sandbox = await self.yard.sandboxes.owner(login.rpartition("@")[2].lower())
        return sandbox.name if sandbox is not None else None

    async def sandbox_of_host(self, name: str) -> str | None:
        """The sandbox that owns a host name's domain; `default` owns localhost and the service's own name."""
        host = name.lower().removesuffix(".")
        if host in ("localhost", self._service.name):
            return "default"
        while host:
            sandbox = await self.yard.sandboxes.owner(host)
            if sandbox is not None:
                return sandbox.name
            host = host.partition(".")[2]
        return None


def _port_range(text: str) -> range | None:
    """`first-last`, both included; None for an empty text."""
    first, dash, last = text.partition("-")
    return range(int(first), int(last) + 1) if dash else None
