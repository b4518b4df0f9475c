"""Runs services: bind every port, open the yard, say ready, import the rooms, serve until told to stop.

Ports are bound before any protocol library is imported; a connection that comes meanwhile waits in the kernel's backlog.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import selectors
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from portyard.commons.binding import Bound, PortTakenError, bind, check_numbers
from portyard.commons.card import HOST_OFFSET, Card, Service, TlsMode
from portyard.commons.directory import Endpoint, endpoint_of
from portyard.commons.hints import did_you_mean
from portyard.commons.importing import imported
from portyard.commons.leasing.store import SqlLeases
from portyard.commons.logs import set_up
from portyard.commons.settings import SettingError, Settings, load
from portyard.commons.yard import Yard

if TYPE_CHECKING:
    from portyard.commons.accepting import Accepting

_logger = logging.getLogger(__name__)

Pair = tuple[Card, Service]


def pairs_of(cards: Iterable[Card], names: Sequence[str] = ()) -> list[Pair]:
    """Each service of these rooms, or those that are named by room or service.

    Raises:
        SettingError: A name is neither a room nor a service.
    """
    every = [(card, service) for card in cards for service in card.services]
    if not names or "all" in names:
        return every
    known = {name for card, service in every for name in (card.name, service.name)}
    for name in names:
        if name not in known:
            near = did_you_mean(name, known)
            raise SettingError(
                f"{name}: no such room or service{near or ';'} known are all, {', '.join(sorted(known))}"
            )
    return [(card, service) for card, service in every if card.name in names or service.name in names]


def standard_numbers(pairs: Sequence[Pair]) -> dict[str, int]:
    """The ports inside a container, by name: the standard ones; where one process serves two services on the same, the later gives way."""
    numbers: dict[str, int] = {}
    owners: dict[tuple[int, str], str] = {}
    for _, service in pairs:
        for port in service.ports:
            first = owners.setdefault((port.inside, port.transport), service.name)
            numbers[port.name] = port.inside if first == service.name else port.host - HOST_OFFSET
    return numbers


def numbers_for(settings: Settings, pairs: Sequence[Pair]) -> dict[str, int]:
    """The port numbers to bind, by name; 0 lets the system choose."""
    if settings.ports == "standard":
        return standard_numbers(pairs)  # overrides speak of the host's side
    ports = [port for _, service in pairs for port in service.ports]
    if settings.ports == "ephemeral":
        return {port.name: settings.port_overrides.get(port.name, 0) for port in ports}
    return {
        port.name: settings.port_overrides.get(port.name, port.host - HOST_OFFSET + settings.port_offset)
        for port in ports
    }


def bind_all(settings: Settings, pairs: Sequence[Pair]) -> list[Bound]:
    """Bind every port, or none.

    Raises:
        PortTakenError: One can't be bound; the others are released.
    """
    bounds: list[Bound] = []
    numbers = numbers_for(settings, pairs)
    try:
        for card, service in pairs:
            bounds += _bind_service(settings, card, service, numbers)
    except PortTakenError:
        _release(bounds)
        raise
    return bounds


def _bind_service(
    settings: Settings, card: Card, service: Service, numbers: dict[str, int], tries: int = 10
) -> list[Bound]:
    """A service's ports; UDP and TCP of one standard port get one number, so a number that only one of them could have is given back."""
    bounds: list[Bound] = []
    chosen: dict[int, int] = {}
    try:
        for port in service.ports:
            number = numbers[port.name] or chosen.get(port.inside, 0)
            bounds.append(bind(card, service, port, settings.listen, number))
            chosen[port.inside] = bounds[-1].number
    except PortTakenError:
        _release(bounds)
        if tries and settings.ports == "ephemeral" and bounds:
            return _bind_service(settings, card, service, numbers, tries - 1)
        raise
    return bounds


def _release(bounds: Sequence[Bound]) -> None:
    for bound in bounds:
        bound.sock.close()


class Serving:
    """The services of one process.

    Args:
        yard: The yard they stand in.
        bounds: Their bound ports.

    Attributes:
        opening: `open` under way, where `serving` runs it.
    """

    def __init__(self, yard: Yard, bounds: Sequence[Bound]) -> None:
        self.yard = yard
        self.bounds = bounds
        self.endpoints = [_endpoint(yard.settings, bound) for bound in bounds]
        self.opening: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._accepting: Accepting | None = None

    async def announce(self) -> None:
        """Tell everybody where the services are, and leave the readiness files. Leases of an earlier life are to be opened again."""
        await self._suspend_leases()
        self._tell()

    def _tell(self) -> None:
        self.yard.directory.forget_the_dead()
        for service in self._services():
            mine = [endpoint for endpoint in self.endpoints if endpoint.service == service.name]
            self.yard.directory.announce(service, mine)
            if self.yard.settings.ready_dir:
                folder = Path(self.yard.settings.ready_dir)
                folder.mkdir(parents=True, exist_ok=True)
                (folder / service.name).write_text("ready\n")

    async def _suspend_leases(self) -> None:
        """Before anybody can ask for one: where it was before isn't where it is now."""
        leases, mine = SqlLeases(self.yard.control_database), {service.name for service in self._services()}
        if any(lease.service in mine for lease in await leases.all()):
            await leases.suspend(sorted(mine))

    async def open(self, after: asyncio.Event | None = None) -> None:
        """Import the rooms and begin to accept: first those for which somebody waits already, else in the house's order.

        Args:
            after: Don't begin before this is set or somebody connects: until then somebody else wants the interpreter for himself.
        """
        if after is not None:
            await self._wanted_or(after)
        accepting = await self._accept()
        await asyncio.to_thread(self.yard.tls.prepare)
        pending = {bound.service: bound.card for bound in self.bounds}
        while pending:
            service = self._wanted(pending)
            await accepting.open(pending.pop(service), service)

    async def _accept(self) -> Accepting:
        await asyncio.to_thread(imported, "portyard.commons.accepting")
        from portyard.commons.accepting import Accepting  # bound first, imported later

        settings = self.yard.settings
        self._accepting = Accepting(self.yard, self.bounds, lambda bound: _endpoint(settings, bound, leased=True))
        return self._accepting

    async def _wanted_or(self, after: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        for bound in self.bounds:
            loop.add_reader(bound.sock, after.set)
        try:
            await after.wait()
        finally:
            for bound in self.bounds:
                loop.remove_reader(bound.sock)

    def _wanted(self, pending: Mapping[Service, Card]) -> Service:
        socks = {bound.sock: bound.service for bound in self.bounds if bound.service in pending}
        with selectors.DefaultSelector() as selector:
            for sock in socks:
                selector.register(sock, selectors.EVENT_READ)
            ready = selector.select(0)
        waiting = {socks[key.fileobj] for key, _ in ready if isinstance(key.fileobj, socket.socket)}
        return next((service for service in pending if service in waiting), next(iter(pending)))

    async def close(self) -> None:
        """Accept no more, end what runs, take the endpoints away."""
        if self._accepting is not None:
            await self._accepting.close()
        for service in self._services():
            self.yard.directory.withdraw(service)
            if self.yard.settings.ready_dir:
                (Path(self.yard.settings.ready_dir) / service.name).unlink(missing_ok=True)
        for bound in self.bounds:
            bound.sock.close()

    def _services(self) -> list[Service]:
        return list(dict.fromkeys(bound.service for bound in self.bounds))


def _endpoint(settings: Settings, bound: Bound, *, leased: bool = False) -> Endpoint:
    port = bound.port
    address = settings.listen if settings.listen not in ("0.0.0.0", "::") else _own_address()  # noqa: S104 - compared
    if leased:
        host_number = bound.number  # the range is the same on both sides
    elif settings.engine_view == "docker":
        fallback = port.host - HOST_OFFSET + settings.port_offset
        host_number = settings.host_ports.get(port.name, settings.port_overrides.get(port.name, fallback))
    else:
        host_number = settings.host_ports.get(port.name, bound.number)
    return endpoint_of(
        bound.service,
        port,
        address=address,
        number=bound.number,
        host=settings.advertise,
        host_number=host_number,
        passive_ports=settings.passive_ports,
    )


def _own_address() -> str:
    """This container's address, as its hosts file says it: no name server is asked."""
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return "127.0.0.1"


def check_certificates(chosen: Mapping[str, str], cards: Iterable[Card]) -> None:
    """Hold the settings' choice of certificates against what there is.

    Raises:
        SettingError: No port has such a name, or speaks TLS; or no certificate or demand has.
    """
    from portyard.commons.tls.recipes import RECIPES

    ports = [port.name for card in cards for s in card.services for port in s.ports if port.tls is not TlsMode.NONE]
    for port, recipe in chosen.items():
        if port not in ports:
            raise SettingError(
                f"tls.{port} = {recipe!r}: no port of this name speaks TLS; known are {', '.join(ports)}"
            )
        if recipe not in RECIPES:
            near = did_you_mean(recipe, RECIPES)
            raise SettingError(f"tls.{port} = {recipe!r}: no such name{near}; known are {', '.join(RECIPES)}")


def check_personas(settings: Settings, state: Path, cards: Iterable[Card]) -> None:
    """Hold the settings' choice of personas against what there is.

    Raises:
        SettingError: A room or service isn't known or has no personas, or a persona isn't there.
    """
    from portyard.commons.scenario.personas import PersonaError, Wardrobe

    try:
        Wardrobe(state, settings.personas).check_chosen(cards)
    except PersonaError as error:
        raise SettingError(str(error)) from None


@contextlib.asynccontextmanager
async def serving(
    settings: Settings, pairs: Sequence[Pair], *, wait: bool = True, after: asyncio.Event | None = None
) -> AsyncIterator[Serving]:
    """Services that run until the block ends.

    Args:
        settings: The settings.
        pairs: Which services.
        wait: False returns once the ports listen; the rooms then open behind.
        after: The rooms open once this is set or somebody connects; at once when None.

    Raises:
        PortTakenError, StateDirectoryError, SettingError: It can't start; the message says why.
    """
    from portyard.commons.opening import open_yard
    from portyard.rooms import cards

    if settings.port_overrides:
        check_numbers(settings.port_overrides, cards())
    if settings.tls:
        check_certificates(settings.tls, cards())
    if settings.domains or settings.domain != Settings().domain:
        from portyard.commons.sandbox.domains import check_settings

        check_settings(settings)
    bounds = bind_all(settings, pairs)
    try:
        async with open_yard(settings, _names(pairs, settings)) as yard:
            if settings.personas:
                check_personas(settings, yard.state, cards())
            running = Serving(yard, bounds)
            await running.announce()
            running.opening = asyncio.get_running_loop().create_task(running.open(after))
            try:
                if wait:
                    await running.opening
                yield running
            finally:
                running.opening.cancel()
                await asyncio.gather(running.opening, return_exceptions=True)
                await running.close()
    finally:
        for bound in bounds:
            bound.sock.close()


def _names(pairs: Sequence[Pair], settings: Settings) -> list[str]:
    """Host names for the certificate: every service's, alone and in each domain that we own.

    They are the same in every process of a testbed, whatever it serves, so that all share one leaf.
    """
    from portyard.rooms import cards

    services = [service.name for card in cards() for service in card.services]
    domains = [settings.domain, *settings.domains]
    return [*services, *domains, *(f"*.{domain}" for domain in domains), *settings.names]


async def serve_until_told(settings: Settings, pairs: Sequence[Pair], ready: Callable[[Serving], None]) -> None:
    """Serve until SIGINT or SIGTERM, or until a room can't be opened."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with serving(settings, pairs, wait=False) as running:
        ready(running)
        _logger.info("ready: %s", ", ".join(f"{e.port} {e.host}:{e.host_number}" for e in running.endpoints))
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait((stopping, running.opening), return_when=asyncio.FIRST_COMPLETED)
        if running.opening.done():
            running.opening.result()  # a room that can't be opened ends the process
            gc.freeze()  # what was imported stays: the collector needn't look at all of it again and again
        await stopping
        _logger.info("stopping")


def run_services(settings: Settings, pairs: Sequence[Pair], ready: Callable[[Serving], None] = lambda _: None) -> int:
    """Run to the end, on uvloop where it is installed; returns the exit status."""
    set_up(settings.log)
    raise_descriptor_limit()
    from portyard.commons.database.engine import StateDirectoryError

    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve_until_told(settings, pairs, ready))
    except (PortTakenError, StateDirectoryError, SettingError) as error:
        print(f"portyard: {error}", file=sys.stderr)
        return 1
    return 0


def run(card: Card, argv: Sequence[str] | None = None) -> int:
    """A room's `__main__`: serve it, or the services of it that are named."""
    try:
        settings = load()
        pairs = pairs_of([card], sys.argv[1:] if argv is None else argv)
    except SettingError as error:
        print(f"portyard: {error}", file=sys.stderr)
        return 2
    return run_services(settings, pairs)


def raise_descriptor_limit() -> None:
    """Every connection is a descriptor: take as many as the system grants."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if os.environ.get("PORTYARD_LOOP") == "asyncio":
        return None
    try:
        import uvloop
    except ImportError:
        return None
    return cast(Callable[[], asyncio.AbstractEventLoop], uvloop.new_event_loop)
