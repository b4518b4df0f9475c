"""DNS on the wire: datagrams and streams. Knows sockets and tasks; what the answer is, the core says."""

from __future__ import annotations

import asyncio
import logging
from typing import cast

from portyard.commons.card import Port, Service
from portyard.commons.conversation import Conversations
from portyard.commons.effects import Framing, Session
from portyard.commons.records.sql import SqlRecords
from portyard.commons.yard import Connection, Yard
from portyard.dns.core.framing import LengthFraming
from portyard.dns.core.session import Outcome, Resolver, StreamSession, failed, shown
from portyard.dns.views import Views

WAITING_LIMIT = 1000  # datagrams that wait to be answered; UDP's askers ask again when one beyond is dropped

_logger = logging.getLogger(__name__)

Peer = tuple[str, int]


async def open_service(yard: Yard, service: Service) -> Handler:
    """The DNS room's service."""
    views = Views(yard.directory)
    records = await SqlRecords.prepare(yard.control_database)
    return Handler(yard, service, views, Resolver(yard.sandboxes, records, views.places))


class Handler(Conversations):
    """TCP by conversations, UDP by one worker for each port.

    Args:
        yard: The yard.
        service: Ours.
        views: From where peers ask.
        resolver: Answers.
    """

    def __init__(self, yard: Yard, service: Service, views: Views, resolver: Resolver) -> None:
        super().__init__(yard, self._session)
        self._journal = yard.journal
        self._service = service
        self._views = views
        self._resolver = resolver
        self._workers: list[asyncio.Task[None]] = []

    def datagram(self, connection_port: Port) -> asyncio.DatagramProtocol:
        """The protocol of the UDP port."""
        inbox = Inbox()
        self._workers.append(asyncio.get_running_loop().create_task(self._work(inbox, connection_port)))
        return inbox

    async def close(self) -> None:
        """End every conversation and the workers."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        await super().close()

    def _session(self, connection: Connection) -> tuple[Session, Framing]:
        view = self._views.of(connection.peer[0], self._service.name)
        return StreamSession(self._resolver, view, connection.log.join), LengthFraming()

    async def _work(self, inbox: Inbox, port: Port) -> None:
        while True:
            octets, peer = await inbox.queue.get()
            try:
                await self._answer(inbox, port, octets, peer)
            except Exception:
                _logger.exception("a query of %s could not be answered: %s", peer[0], shown(octets))
                reply = failed(octets)
                if reply is not None:
                    inbox.send(reply, peer)

    async def _answer(self, inbox: Inbox, port: Port, octets: bytes, peer: Peer) -> None:
        view = self._views.of(peer[0], self._service.name)
        outcome = await self._resolver.handle(octets, view)
        if outcome.octets is not None:
            inbox.send(outcome.octets, peer)
        self._write_down(outcome, port, peer, inbox.local)

    def _write_down(self, outcome: Outcome, port: Port, peer: Peer, local: Peer) -> None:
        """Each query is a session of its own: UDP knows no longer one."""
        log = self._journal.open_session(
            room="dns",
            service=self._service.name,
            peer=f"{peer[0]}:{peer[1]}",
            local=f"{local[0]}:{local[1]}",
            port=port.name,
        )
        log.join(outcome.sandbox)
        log.command(outcome.asked)
        if outcome.lines:
            log.reply("\r\n".join(outcome.lines))
        log.close()


class Inbox(asyncio.DatagramProtocol):
    """One UDP port: what came and waits, and the way back."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[bytes, Peer]] = asyncio.Queue(WAITING_LIMIT)
        self._transport: asyncio.DatagramTransport | None = None

    @property
    def local(self) -> Peer:
        """Our address and port."""
        assert self._transport is not None
        return cast(Peer, tuple(self._transport.get_extra_info("sockname")[:2]))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.BaseProtocol."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """See asyncio.DatagramProtocol."""
        if self.queue.full():
            _logger.debug("a query of %s was dropped: %s wait already", addr[0], WAITING_LIMIT)
        else:
            self.queue.put_nowait((data, addr))

    def error_received(self, exc: Exception) -> None:
        """An answer that couldn't be delivered; its asker is gone."""
        _logger.debug("a reply could not be delivered: %s", exc)

    def send(self, octets: bytes, peer: Peer) -> None:
        """Send a reply."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(octets, peer)
