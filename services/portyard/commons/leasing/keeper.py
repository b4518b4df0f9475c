"""Opens and closes the leased listeners of one process, as the leases in control.db come and go."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from portyard.commons.binding import Bound, PortTakenError, bind
from portyard.commons.card import Card, Port, Service
from portyard.commons.directory import Endpoint
from portyard.commons.leasing.model import Lease
from portyard.commons.leasing.store import COUNTER, SqlLeases
from portyard.commons.listener import Listener
from portyard.commons.logs import of_room
from portyard.commons.settings import Settings
from portyard.commons.yard import Handler, Yard

Start = Callable[[Bound, Handler, str], Listener]
Locate = Callable[[Bound], Endpoint]
Key = tuple[str, str]  # a sandbox and a service
AGAIN_S = 1.0  # after which leases that couldn't be read or told, on a full disk say, are looked at again

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Open:
    """Leased listeners that accept.

    Attributes:
        lease: For whom, and where.
        listeners: One for each port of the service.
    """

    lease: Lease
    listeners: tuple[Listener, ...]

    def stop(self) -> None:
        """Accept no more; connections that stand go on."""
        for listener in self.listeners:
            listener.stop()


class LeaseKeeper:
    """The leases of one process.

    Args:
        yard: The yard.
        start: Begins to accept on a bound port for a sandbox.
        locate: Where a bound port is, for the directory's readers.
    """

    def __init__(self, yard: Yard, start: Start, locate: Locate) -> None:
        self._yard = yard
        self._leases = SqlLeases(yard.control_database)
        self._start = start
        self._locate = locate
        self._rooms: dict[str, tuple[Card, Service, Handler]] = {}
        self._open: dict[Key, Open] = {}
        self._free = list(leased_numbers(yard.settings))
        self._ranged = bool(self._free)
        self._turn = asyncio.Lock()
        self._closed = False
        self._tries_again = False

    def serve(self, card: Card, service: Service, handler: Handler) -> None:
        """From now on this service's leases are kept here."""
        self._rooms[service.name] = (card, service, handler)
        self.look()

    def look(self) -> None:
        """Something moved: bring the listeners to what is written."""
        if not self._closed:
            self._yard.spawn(self._settle_at_last())

    async def run(self) -> None:
        """Look whenever a lease is wanted or given back, in whichever process, until cancelled."""
        async for _ in self._yard.watcher.watch_slowly(COUNTER):
            await self._settle_at_last()

    def close(self) -> Sequence[Listener]:
        """Stop every leased listener, and return them; what is written stays, so that a service that comes back opens the same ports."""
        self._closed = True
        for each in self._open.values():
            each.stop()
        return [listener for each in self._open.values() for listener in each.listeners]

    async def _settle_at_last(self) -> None:
        """Settle, and where control.db fails again: else this process would open and close no leased listener any more.

        One look at most tries again, however many fail meanwhile: it settles what they would have.
        """
        while not self._closed:
            try:
                return await self._settle()
            except Exception:
                if self._tries_again:
                    return
                _logger.exception("leases could not be settled; they are looked at again")
                self._tries_again = True
                try:
                    await asyncio.sleep(AGAIN_S)
                finally:
                    self._tries_again = False  # before it settles: a look that fails later than that is tried again

    async def _settle(self) -> None:
        async with self._turn:
            wanted = {(lease.sandbox, lease.service): lease for lease in await self._leases.all()}
            if self._closed:
                return
            for key in self._open.keys() - wanted.keys():
                self._end(key)
            news = []
            for key, lease in wanted.items():
                if lease.service not in self._rooms or lease.failure:
                    continue
                if key not in self._open:
                    news.append(self._begin(key, lease))
                elif lease.pending:  # given back and wanted again before we looked: what is open serves
                    news.append(self._open[key].lease)
            if news:
                await self._leases.settle(*news)

    def _begin(self, key: Key, lease: Lease) -> Lease:
        card, service, handler = self._rooms[lease.service]
        before = {endpoint.port: endpoint.number for endpoint in lease.endpoints}
        ports = [port for port in service.ports if port.transport == "tcp"]
        bounds: list[Bound] = []
        try:
            for port in ports:
                bounds.append(self._bind(card, service, port, before.get(port.name, 0)))
        except PortTakenError as error:
            for bound in bounds:
                self._release(bound)
            of_room(card.name).warning("%s: no listener for sandbox %s: %s", service.name, lease.sandbox, error)
            return replace(lease, endpoints=(), accepts=False, failure=str(error))
        self._open[key] = Open(
            replace(lease, endpoints=tuple(self._locate(bound) for bound in bounds), accepts=True),
            tuple(self._start(bound, handler, lease.sandbox) for bound in bounds),
        )
        return self._open[key].lease

    def _bind(self, card: Card, service: Service, port: Port, before: int) -> Bound:
        """The port that the lease had before if it can be had, else the first free one of the range, else any."""
        address = self._yard.settings.listen
        if not self._ranged:
            try:
                return bind(card, service, port, address, before)
            except PortTakenError:
                return bind(card, service, port, address, 0)
        for number in sorted(self._free, key=lambda number: number != before):
            try:
                bound = bind(card, service, port, address, number)
            except PortTakenError:
                continue
            self._free.remove(number)
            return bound
        raise PortTakenError(
            f"every leased port ({self._yard.settings.leased_ports}) is taken; give a lease back, "
            "or widen PORTYARD_LEASED_PORTS and what is published "
            f"(for compose.yaml, PORTYARD_LEASED_{service.name.upper()} does both)"
        )

    def _end(self, key: Key) -> None:
        ended = self._open.pop(key)
        ended.stop()
        for listener in ended.listeners:
            self._yard.spawn(listener.parted())
            self._release(listener.bound, ended.lease.endpoints)

    def _release(self, bound: Bound, endpoints: Iterable[Endpoint] = ()) -> None:
        number = next((each.number for each in endpoints if each.port == bound.port.name), 0) or bound.number
        bound.sock.close()
        if self._ranged:
            self._free.append(number)


def leased_numbers(settings: Settings) -> Sequence[int]:
    """The range that leases take their ports from; empty for any."""
    first, dash, last = settings.leased_ports.partition("-")
    return range(int(first), int(last) + 1) if dash else ()


def leased_rooms(leases: Iterable[Lease], rooms: Mapping[str, str]) -> frozenset[str]:
    """The rooms of which a sandbox has a listener of its own.

    Args:
        leases: The sandbox's.
        rooms: Each service's room, by the service's name.
    """
    return frozenset(rooms[lease.service] for lease in leases if lease.accepts and lease.service in rooms)
