"""The SSH room's edge: asyncssh's server side on the connections that the listener accepted."""

from __future__ import annotations

import asyncio
import copy
import logging
from pathlib import Path

import asyncssh

from portyard.commons.card import Port, Service
from portyard.commons.yard import Connection, Yard
from portyard.ssh import keys
from portyard.ssh.link import Link, Owner

LOGIN_S = 120  # seconds until who hasn't logged in is sent away, OpenSSH's LoginGraceTime
PARTING_S = 5.0  # seconds that connections get to end when the room closes
VERSION = "Portyard"
LINE = 4096  # characters of a line that is typed, a terminal's N_TTY_BUF_SIZE

_logger = logging.getLogger("portyard.ssh")


async def open_service(yard: Yard, service: Service) -> Room:
    """The room's factory, see its card.

    Raises:
        HostKeyError: The host keys can't be made or read.
    """
    logging.getLogger("asyncssh").setLevel(logging.WARNING)  # it tells every connection's story; the journal does that
    room = Room(yard, service, yard.state / "ssh")
    await room.open()
    return room


class Room:
    """See `portyard.commons.yard.Handler`.

    Args:
        yard: Where it stands.
        service: As which service.
        folder: Where the host keys are.
    """

    adopts = False

    def __init__(self, yard: Yard, service: Service, folder: Path) -> None:
        self.yard = yard
        self._service = service
        self._folder = folder
        self._links: set[Link] = set()
        self._options: asyncssh.SSHServerConnectionOptions | None = None

    async def open(self) -> None:
        """Have the host keys that are there or quickly made; the others follow behind."""
        first = list(keys.QUICK) + await asyncio.to_thread(keys.existing, self._folder, keys.SLOW)
        await self._take_keys(first)
        if len(first) < len(keys.KINDS):
            self.yard.spawn(self._take_keys(list(keys.KINDS)))

    async def _take_keys(self, kinds: list[keys.KeyKind]) -> None:
        found = await asyncio.to_thread(keys.ensure, self._folder, kinds)
        self._options = await asyncio.to_thread(build_options, found)
        lines = keys.known_hosts(found, self._places())
        await asyncio.to_thread(keys.write_known_hosts, self._folder, lines)

    def _places(self) -> list[tuple[str, int]]:
        places = []
        for endpoint in self.yard.directory.of(self._service.name):
            for host in ("localhost", "127.0.0.1", "::1", endpoint.host):
                places.append((host, endpoint.host_number))
            for host in (self._service.name, endpoint.address):
                places.append((host, endpoint.number))
        return places or [("localhost", 22), ("127.0.0.1", 22)]

    def protocol(self, connection: Connection) -> asyncio.Protocol:
        """The protocol of one accepted connection."""
        options = copy.copy(self._options)
        assert options is not None, "open() comes first"
        links: list[Link] = []
        options.protocol_factory = lambda: Owner(links[0])
        links.append(Link(asyncio.get_running_loop(), options, self.yard, connection, self._links))
        return links[0]

    def adopt(self, connection: Connection, sock: object) -> None:
        """Never called: `adopts` is False."""
        raise NotImplementedError("connections come as transports")

    def datagram(self, connection_port: Port) -> asyncio.DatagramProtocol:
        """SSH has no UDP port."""
        raise NotImplementedError("SSH has no UDP port")

    async def close(self) -> None:
        """Say goodbye to everybody, and see every connection and task end."""
        links = list(self._links)
        for link in links:
            link.part("shutdown", "the server is stopping")
        endings = [asyncio.ensure_future(link.ended()) for link in links]
        if endings:
            _, late = await asyncio.wait(endings, timeout=PARTING_S)
            for task in late:
                task.cancel()


def build_options(host_keys: list[asyncssh.SSHKey]) -> asyncssh.SSHServerConnectionOptions:
    """What all connections have in common; takes milliseconds, so it is made once."""
    return asyncssh.SSHServerConnectionOptions(
        config=[],
        server_version=VERSION,
        server_host_keys=host_keys,
        send_server_host_keys=True,
        login_timeout=LOGIN_S,
        host_based_auth=False,
        gss_host=None,  # else its name would be looked up
        rdns_lookup=False,
        x509_trusted_certs=None,
        x11_forwarding=False,
        agent_forwarding=False,
        tcp_keepalive=True,
        encoding="utf-8",
        errors="surrogateescape",  # octets that aren't UTF-8 pass a terminal unharmed
        line_history=200,
        max_line_length=LINE,
    )
