"""DNS on the wire: datagrams and streams. Knows sockets and tasks; what the answer is, the core says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from typing import cast

from portyard.commons.card import Port, Service
from portyard.commons.conversations import Conversations
from portyard.commons.effects import Close, Effect, Framing, Hush, Joins, Note, Pause, Send, Session
from portyard.commons.insiders import unmapped
from portyard.commons.journal.model import SessionLog
from portyard.commons.journal.pages import form
from portyard.commons.records.sql import SqlRecords
from portyard.commons.scenario.engine import SessionGate
from portyard.commons.yard import Connection, Yard
from portyard.dns.core.framing import LengthFraming
from portyard.dns.core.model import Message
from portyard.dns.core.resolver import Outcome, Resolver, failed, opened, shown
from portyard.dns.core.session import Answering, StreamSession
from portyard.dns.core.transcripts import LONGEST, asked_text
from portyard.dns.core.zones import View
from portyard.dns.flows import Flows
from portyard.dns.views import Views

WAITING_LIMIT = 1000  # datagrams that wait to be answered; UDP's askers ask again when one beyond is dropped
ASKERS = 256  # addresses of which it is known what rules are left to ask

_QUERY = form("command", {}, room="dns")
_REPLY = form("reply", {}, room="dns")

_logger = logging.getLogger(__name__)

Peer = tuple[str, int]
Flow = tuple[Peer, Peer, str]
"""Who asks, whom, and the port's name."""


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
        self._late: set[asyncio.Task[None]] = set()  # answers that a rule may keep waiting
        self._gate = yard.gate
        self._askers: dict[tuple[str, str, View], Answering] = {}
        self._flows = Flows(self._open_notes)

    def datagram(self, connection_port: Port) -> asyncio.DatagramProtocol:
        """The protocol of the UDP port."""
        inbox = Inbox()
        self._workers.append(asyncio.get_running_loop().create_task(self._work(inbox, connection_port)))
        return inbox

    async def close(self) -> None:
        """End every conversation and the workers."""
        tasks = [*self._workers, *self._late]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._flows.close()
        await super().close()

    def _session(self, connection: Connection) -> tuple[Session, Framing]:
        view = self._views.of(connection.peer[0], self._service.name)
        return StreamSession(self._resolver, view, connection.gate), LengthFraming()

    async def _work(self, inbox: Inbox, port: Port) -> None:
        while True:
            octets, peer = await inbox.queue.get()
            await self._saving(inbox, octets, peer, self._take(inbox, port, octets, peer))

    async def _saving(self, inbox: Inbox, octets: bytes, peer: Peer, work: Awaitable[None]) -> None:
        """Do what a datagram asks; where it fails, the peer is told so."""
        try:
            await work
        except Exception:
            _logger.exception("a query of %s could not be answered: %s", peer[0], shown(octets))
            reply = failed(octets)
            if reply is not None:
                inbox.send(reply, peer)

    async def _take(self, inbox: Inbox, port: Port, octets: bytes, peer: Peer) -> None:
        """Answer at once, or, where a rule may keep the answer waiting, while others are answered."""
        query = opened(octets)
        asker = self._asker(port, peer)
        heeded, domain = await asker.weighed(query) if self._gate.armed else (False, None)
        if not heeded:
            notes = self._flows.of((peer, inbox.local, port.name))
            notes.came(octets, query)
            await self._converse(inbox, asker.unruled(query, domain), peer, notes, None)
        elif len(self._late) >= WAITING_LIMIT:
            _logger.debug("a query of %s was dropped: %s are kept waiting by rules", peer[0], WAITING_LIMIT)
        else:
            late = self._saving(inbox, octets, peer, self._answer_late(inbox, port, octets, query, peer))
            task = asyncio.get_running_loop().create_task(late)
            self._late.add(task)
            task.add_done_callback(self._late.discard)

    def _asker(self, port: Port, peer: Peer) -> Answering:
        """By what is known of an address: the rules that are left to ask for its queries stay known."""
        view = self._views.of(peer[0], self._service.name)
        known = port.name, peer[0], view
        found = self._askers.get(known)
        if found is None:
            if len(self._askers) >= ASKERS:
                self._askers.clear()
            found = self._askers[known] = self._answering(view, self._asking(port, peer, "", inside=False))
        return found

    def _asking(self, port: Port, peer: Peer, session: str, *, inside: bool) -> SessionGate:
        told, role = unmapped(peer)[0], self._service.role
        return self._gate.session("dns", session=session, peer=told, role=role, port=port.name, internal=inside)

    def _answering(self, view: View, gate: SessionGate) -> Answering:
        return Answering(self._resolver, view, stream=False, gate=gate)

    async def _answer_late(self, inbox: Inbox, port: Port, octets: bytes, query: Message | Outcome, peer: Peer) -> None:
        """Answer a query that a rule may keep waiting: it is a session of its own, for others come between."""
        notes = self._open_notes((peer, inbox.local, port.name))
        try:
            notes.came(octets, query)
            gate = self._asking(port, peer, notes.log.id, inside=peer in self._gate.insiders)
            view = self._views.of(peer[0], self._service.name)
            await self._converse(inbox, self._answering(view, gate).answer(query), peer, notes, gate)
        finally:
            notes.close()

    def _open_notes(self, flow: Flow) -> Notes:
        peer, local = unmapped(flow[0]), unmapped(flow[1])
        log = self._journal.open_session(
            room="dns",
            service=self._service.name,
            peer=f"{peer[0]}:{peer[1]}",
            local=f"{local[0]}:{local[1]}",
            port=flow[2],
        )
        return Notes(log)

    async def _converse(
        self, inbox: Inbox, effects: AsyncIterator[Effect], peer: Peer, notes: Notes, gate: SessionGate | None
    ) -> None:
        log = notes.log
        async for effect in effects:
            match effect:
                case Joins(sandbox, anew):
                    if anew:
                        log.part()
                    log.join(sandbox)
                    if gate is not None:
                        gate.sandbox = sandbox
                case Send(data, text):
                    inbox.send(data, peer)
                    if text is None:
                        notes.went(data)
                    else:
                        log.reply(text)
                case Note(kind, fields):
                    log.event(kind, **fields)
                case Pause(seconds):
                    await asyncio.sleep(seconds)
                case Hush() | Close():
                    return  # there is no connection: nothing is said, and nothing is there to be closed


class Notes:
    """What the journal is told of datagrams. They are noted as they are, and become text when somebody reads them.

    Args:
        log: The session's pen.

    Attributes:
        went: Notes a reply's octets.
    """

    __slots__ = ("_came", "close", "log", "went")

    def __init__(self, log: SessionLog) -> None:
        self.log = log
        self.close = log.close
        self._came = log.noter(_QUERY)
        self.went = log.noter(_REPLY)

    def came(self, octets: bytes, query: Message | Outcome) -> None:
        """Note what came; what is long or no query as the text that is told of it."""
        if isinstance(query, Outcome):
            self.log.command(query.asked)
        elif query.questions and len(octets) <= LONGEST:
            self._came(octets)
        else:
            self.log.command(asked_text(octets, query))


class Inbox(asyncio.DatagramProtocol):
    """One UDP port: what came and waits, and the way back.

    Attributes:
        local: Our address and port.
    """

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[bytes, Peer]] = asyncio.Queue(WAITING_LIMIT)
        self.local: Peer = ("", 0)
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.BaseProtocol."""
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.local = transport.get_extra_info("sockname")[:2]

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
