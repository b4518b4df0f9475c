"""Web applications on connections that the listener accepted. Knows aiohttp's server side and nothing of what an application serves."""

from __future__ import annotations

import asyncio
from weakref import WeakSet

from aiohttp import web

from portyard.commons.exchange import House
from portyard.commons.gentle import kept, see_off
from portyard.commons.hosted_protocol import HostedProtocol
from portyard.commons.hosted_requests import before_response
from portyard.commons.hosting_parser import DEFAULT_LIMITS, HostingLimits
from portyard.commons.yard import Connection


class Hosting:
    """An application that runs without sockets of its own.

    Args:
        app: The application; its start-up and clean-up signals run with `open` and `close`.
        limits: What each connection may ask of us.
        journalled: Whether exchanges are noted in the connections' logs.
        protocol_class: What drives a connection.
        house: What rules and sandboxes mean to the room; None for one that obeys none.
    """

    adopts = False

    def __init__(
        self,
        app: web.Application,
        limits: HostingLimits = DEFAULT_LIMITS,
        *,
        journalled: bool = True,
        protocol_class: type[HostedProtocol] = HostedProtocol,
        house: House | None = None,
    ) -> None:
        self._app = app
        self._house = house
        self._limits = limits
        self._journalled = journalled
        self._protocol_class = protocol_class
        self._protocols: WeakSet[HostedProtocol] = WeakSet()
        app.on_response_prepare.append(before_response)
        # A handler ends with its client: nobody waits for its answer, and an upload that broke off is to be undone.
        each_s = limits.grace_s / 2  # aiohttp waits so long twice
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=each_s)

    async def open(self) -> Hosting:
        """Start the application; returns itself."""
        await self._runner.setup()
        return self

    def protocol(self, connection: Connection) -> asyncio.Protocol:
        """The protocol of one accepted connection."""
        assert self._runner.server is not None
        protocol = self._protocol_class(
            self._runner.server,
            connection,
            self._limits,
            journalled=self._journalled,
            app=self._app,
            house=self._house,
        )
        self._protocols.add(protocol)
        return protocol

    def adopt(self, connection: Connection, sock: object) -> None:
        """Not used: connections come as transports."""
        raise NotImplementedError

    def datagram(self, connection_port: object) -> asyncio.DatagramProtocol:
        """Not used: there are no datagrams here."""
        raise NotImplementedError

    async def close(self) -> None:
        """Give running requests `grace_s`, then end them."""
        for protocol in list(self._protocols):
            if protocol.hushed and protocol.gentle is not None:
                protocol.gentle.abort()  # nothing is to be waited for
        await self._runner.cleanup()
        leaving = [protocol.gentle for protocol in list(self._protocols) if protocol.gentle is not None]
        socks = [kept(transport.get_extra_info) for transport in leaving]
        for transport in leaving:
            transport.abort()
        await see_off(socks)
