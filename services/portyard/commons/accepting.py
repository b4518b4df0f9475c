"""Accepts connections at bound ports: each service's room, its listeners and its leased ones, in one process.

Apart from `serving`, so that ports are bound and the testbed's state is there before listeners, wire and leases are imported.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from portyard.commons.binding import Bound
from portyard.commons.card import Card, Service
from portyard.commons.importing import imported
from portyard.commons.leasing.keeper import LeaseKeeper, Locate
from portyard.commons.listener import Listener
from portyard.commons.logs import of_room
from portyard.commons.sandbox.model import DEFAULT
from portyard.commons.scenario.personas import Wardrobe
from portyard.commons.wire.wire import Wire
from portyard.commons.yard import Handler, Yard


class Accepting:
    """What accepts in one process.

    Args:
        yard: The yard.
        bounds: The bound ports.
        locate: Where a leased port is, for the directory's readers.
    """

    def __init__(self, yard: Yard, bounds: Sequence[Bound], locate: Locate) -> None:
        self._yard = yard
        self._bounds = bounds
        self._wire = Wire(yard.rng)
        self._wardrobe = Wardrobe(yard.state, yard.settings.personas)
        self._listeners: list[Listener] = []
        self._datagrams: list[asyncio.DatagramTransport] = []
        self._handlers: list[Handler] = []
        self._leases = LeaseKeeper(yard, self._listen, locate)
        yard.spawn(self._leases.run())

    async def open(self, card: Card, service: Service) -> None:
        """Import a service's room, and accept at its ports.

        Raises:
            Exception: The room can't be opened.
        """
        if card.vocabulary is not None:
            self._yard.gate.learn(card.vocabulary)
        handler = await self._handler(card, service)
        self._handlers.append(handler)
        for bound in self._bounds:
            if bound.service is service:
                await self._start(bound, handler)
        self._leases.serve(card, service, handler)
        of_room(card.name).info("%s is open", service.name)

    async def close(self) -> None:
        """Accept no more, and end what runs."""
        leased = self._leases.close()
        for listener in self._listeners:
            listener.stop()
        for transport in self._datagrams:
            transport.close()
        # Each may wait for its peers, and all of it has to be within one container's stop grace.
        await asyncio.gather(
            *(handler.close() for handler in self._handlers),
            *(listener.parted() for listener in (*self._listeners, *leased)),
        )
        await self._wire.close()

    async def _handler(self, card: Card, service: Service) -> Handler:
        module, _, name = card.factory.partition(":")
        try:
            factory = getattr(await asyncio.to_thread(imported, module), name)
            return cast(Handler, await factory(self._yard, service))
        except Exception:
            of_room(card.name).exception("%s cannot be opened", service.name)
            raise

    async def _start(self, bound: Bound, handler: Handler) -> None:
        if bound.port.transport == "udp":
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_datagram_endpoint(lambda: handler.datagram(bound.port), sock=bound.sock)
            self._datagrams.append(transport)
            return
        self._listeners.append(self._listen(bound, handler, DEFAULT))

    def _listen(self, bound: Bound, handler: Handler, sandbox: str) -> Listener:
        yard, limit = self._yard, self._yard.settings.limits.connections
        listener = Listener(bound, handler, yard.journal, yard.tls, yard.gate, self._wire, limit, sandbox)
        listener.wardrobe = self._wardrobe
        listener.recipe = yard.settings.tls.get(bound.port.name)
        listener.start()
        return listener
