"""The SSH room's edge: asyncssh's server side on the connections that the listener accepted."""

from __future__ import annotations

import asyncio
import copy
import logging
from functools import partial
from pathlib import Path
from weakref import WeakSet

import asyncssh

from portyard.commons.card import Port, Service
from portyard.commons.gentle import SAYING_S, kept, see_off
from portyard.commons.yard import Connection, Yard
from portyard.ssh import keys
from portyard.ssh.core.quirks import OURS, Quirks
from portyard.ssh.hosted import quieten
from portyard.ssh.link import Link, Owner
from portyard.ssh.options import build_options, lacks_keys
from portyard.ssh.penalties import Penalties, Who
from portyard.ssh.persona import quirks_of

DRESSED = 64  # personas whose options are kept
BARRED = "Not allowed at this time"  # sshd's words

_logger = logging.getLogger("portyard.ssh")


async def open_service(yard: Yard, service: Service) -> Room:
    """The room's factory, see its card.

    Raises:
        HostKeyError: The host keys can't be made or read.
    """
    logging.getLogger("asyncssh").setLevel(logging.WARNING)  # it tells every connection's story; the journal does that
    quieten()
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
        self._every: WeakSet[Link] = WeakSet()
        self._keys: list[asyncssh.SSHKey] = []
        self._whole = asyncio.Event()
        self._options: dict[Quirks, asyncssh.SSHServerConnectionOptions] = {}
        self._penalties = Penalties()

    async def open(self) -> None:
        """Have the host keys that are there or quickly made; the others follow behind."""
        first = list(keys.QUICK) + await asyncio.to_thread(keys.existing, self._folder, keys.SLOW)
        await self._take_keys(first)
        if len(first) < len(keys.KINDS):
            self.yard.spawn(self._take_keys(list(keys.KINDS)))

    async def _take_keys(self, kinds: list[keys.KeyKind]) -> None:
        found = await asyncio.to_thread(keys.ensure, self._folder, kinds)
        options = await asyncio.to_thread(build_options, found)
        self._keys, self._options = found, {OURS: options}
        if len(kinds) == len(keys.KINDS):
            self._whole.set()
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
        quirks = quirks_of(connection)
        options = copy.copy(self._options_of(quirks))
        links: list[Link] = []
        options.protocol_factory = lambda: Owner(links[0])
        link = Link(asyncio.get_running_loop(), options, self.yard, connection, self._links)
        if quirks.penalty_s:
            who = (connection.gate.sandbox if connection.gate is not None else "", connection.peer[0])
            link.failed = partial(self._penalise, who, quirks.penalty_s)
            link.prepare = partial(self._prepare, link, who)
        elif lacks_keys(options, quirks):
            link.prepare = partial(self._prepare, link, None)
        links.append(link)
        self._every.add(link)
        return link

    def _options_of(self, quirks: Quirks) -> asyncssh.SSHServerConnectionOptions:
        known = self._options.get(quirks)
        if known is None:
            assert self._options, "open() comes first"
            if len(self._options) >= DRESSED:
                self._options = {OURS: self._options[OURS]}
            known = self._options[quirks] = build_options(self._keys, quirks)
        return known

    async def _prepare(self, link: Link, who: Who | None) -> str:
        """Refuse who has to wait; wait for keys that the persona has and that aren't made yet."""
        if who is not None and self._penalties.refuses(who, asyncio.get_running_loop().time()):
            return BARRED
        if not self._whole.is_set():
            await self._whole.wait()
            link.take_host_keys(self._options_of(link.quirks))
        return ""

    def _penalise(self, who: Who, penalty_s: float) -> None:
        self._penalties.add(who, penalty_s, asyncio.get_running_loop().time())

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
            _, late = await asyncio.wait(endings, timeout=SAYING_S)
            for task in late:
                task.cancel()
        leaving = [link.parting for link in self._every if link.parting is not None]
        socks = [kept(transport.get_extra_info) for transport in leaving]
        for transport in leaving:
            transport.let_go()
        await see_off(socks)
