"""Accepts, identifies, hands over. One `Listener` per port of a service; binds at once, accepts when its room's handler stands.

Knows sockets and the loop; knows no protocol.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from portyard.commons.binding import Bound
from portyard.commons.card import TlsMode
from portyard.commons.gentle import Lingering
from portyard.commons.insiders import unmapped
from portyard.commons.journal.model import Journal, SessionLog
from portyard.commons.journal.unheard import UnheardLog
from portyard.commons.logs import of_room
from portyard.commons.sandbox.model import DEFAULT
from portyard.commons.scenario.actions import Reset, action_name
from portyard.commons.scenario.engine import Gate
from portyard.commons.scenario.personas import PersonaError, Wardrobe
from portyard.commons.stream import Stream
from portyard.commons.unready import Unready
from portyard.commons.wire.half_close import HalfClose
from portyard.commons.wire.obey import faults_of
from portyard.commons.wire.sockets import close_now, reset_now, reset_transport
from portyard.commons.wire.units import Direction, Fault
from portyard.commons.wire.wire import Wire
from portyard.commons.yard import Connection, Handler, Tls

ACCEPTS_A_TURN = 64  # so that a flood of connections doesn't keep the loop from serving those it has
MOST_REFUSED = 100  # of those who read that there are too many connections; in a flood not everybody is told
FULL_PAUSE_S = 0.1  # how long accepting rests when the process is out of descriptors

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Listener:
    """Hands each accepted connection of a bound port to its room's handler.

    Attributes:
        bound: The port.
        handler: The room's.
        journal: Where each connection's session is opened.
        tls: The one TLS setup.
        gate: The process's gate; every connection gets its session's.
        wire: Where faults of bytes are put on connections.
        limit: Connections at once; those beyond get the service's `overload` words and a close.
        sandbox: In which a connection is from the first octet: whose lease this is, or `default`.
        open_count: Connections that are open now.
        recipe: The certificate or demand that connections meet where nothing else says, or None for a good one.
        wardrobe: The personas that rules may name; None for none.
    """

    bound: Bound
    handler: Handler
    journal: Journal
    tls: Tls
    gate: Gate
    wire: Wire
    limit: int
    sandbox: str = DEFAULT
    open_count: int = 0
    recipe: str | None = None
    wardrobe: Wardrobe | None = None
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _refused: Lingering = field(default_factory=lambda: Lingering(MOST_REFUSED))
    _stopped: bool = False
    _complained: bool = False

    def start(self) -> None:
        """Begin to accept."""
        self._loop.add_reader(self.bound.sock, self._accept)

    def stop(self) -> None:
        """Accept no more and free the port."""
        if not self._stopped:
            self._stopped = True
            self._loop.remove_reader(self.bound.sock)
            self.bound.sock.close()
            for task in self._tasks:
                self._loop.call_soon(self._cancel, task)

    async def parted(self) -> None:
        """See those off who were told to come later; to be called behind `stop`."""
        await self._refused.close()

    def _accept(self) -> None:
        for _ in range(ACCEPTS_A_TURN):
            try:
                sock, peer = self.bound.sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._rest(error)
                return
            sock.setblocking(False)
            if sock.family in (socket.AF_INET, socket.AF_INET6):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._take(sock, unmapped(peer[:2]))

    def _rest(self, error: OSError) -> None:
        """Out of descriptors or memory: leave the others alone and try again soon."""
        if not self._complained:
            self._complained = True
            of_room(self.bound.card.name).error(
                "%s: cannot accept: %s; raise the limit on open files", self.bound.port.name, error.strerror
            )
        self._loop.remove_reader(self.bound.sock)
        self._loop.call_later(FULL_PAUSE_S, self._resume)

    def _resume(self) -> None:
        if not self._stopped:
            self._loop.add_reader(self.bound.sock, self._accept)

    def _take(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        service, port = self.bound.service, self.bound.port
        local = unmapped(sock.getsockname()[:2])
        if self.open_count >= self.limit:
            of_room(self.bound.card.name).warning(
                "%s: %s connections are open, refusing %s", port.name, self.open_count, peer[0]
            )
            self._spawn(self._refuse(sock))
            return

        def closed() -> None:
            self.open_count -= 1
            gate.end()

        log = self._open_log(f"{peer[0]}:{peer[1]}", f"{local[0]}:{local[1]}", closed)
        self.open_count += 1
        inside = peer in self.gate.insiders
        room, home = self.bound.card.name, self.sandbox
        gate = self.gate.session(
            room, session=log.id, peer=peer[0], role=service.role, port=port.name, sandbox=home, internal=inside
        )
        unready = Unready(log)
        connection = Connection(service, port, peer, local, log, gate, unready.arm, home, unready)
        if not inside:
            gate.recipe = self.recipe
        if self.wardrobe is not None and not inside:
            self._wear(connection, self.wardrobe.chosen(room, service.name), by="setting")
        if self.gate.armed and service.journalled:
            self._spawn(self._consider(connection, sock))
        else:
            self._hand_over(connection, sock)

    def _hand_over(self, connection: Connection, sock: socket.socket) -> None:
        if self.handler.adopts:
            self.handler.adopt(connection, sock)
        else:
            self._spawn(self._connect(connection, sock))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        if self._stopped:
            self._loop.call_soon(self._cancel, task)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _cancel(self, task: asyncio.Task[None]) -> None:
        """Cancel a task, which has begun by now and sees to its socket, unless it connects, which takes no time."""
        if task in self._tasks:
            task.cancel()

    async def _consider(self, connection: Connection, sock: socket.socket) -> None:
        """Do with a connection what the rules want of it before anybody says a word."""
        try:
            await self._decide(connection, sock)
        except asyncio.CancelledError:  # before it was handed over: behind that, nothing is waited for
            close_now(sock)
            connection.log.close("shutdown")
            raise

    async def _decide(self, connection: Connection, sock: socket.socket) -> None:
        assert connection.gate is not None
        verdict = await connection.gate.ask("connect")
        if verdict is not None:
            does = [action_name(action) for action in verdict.actions]
            connection.log.event("fault", verb="connect", rule=verdict.rule, does=does)
            connection.gate.recipe = verdict.recipe or connection.gate.recipe
            self._wear(connection, verdict.persona, by="rule", rule=verdict.rule)
            if verdict.delay_s:
                await asyncio.sleep(verdict.delay_s)
            if verdict.hang_up:
                close_now(sock)
                connection.log.close("hung up by a rule")
                return
            if verdict.silence:
                self.wire.hold(sock, lambda: connection.log.close("peer closed"))
                return
            if any(isinstance(fault, Reset) and not fault.after_octets for fault in verdict.faults):
                reset_now(sock)  # without the room, which would greet a peer that is gone
                connection.log.close("reset by a rule")
                return
        faults = faults_of(verdict.faults if verdict is not None else ())
        named = None if self.sandbox == DEFAULT else self.sandbox  # on a shared listener a session may join any
        if faults or await self.gate.asks_for_bytes(self.bound.card.name, named):
            self._relay(connection, sock, faults)
        else:
            self._hand_over(connection, sock)

    def _wear(self, connection: Connection, name: str | None, **why: str) -> None:
        """Have a connection meet another kind of server, and the journal tell; the room as it is, where that one is gone meanwhile."""
        if name is None or self.wardrobe is None or connection.gate is None:
            return
        try:
            self.wardrobe.wear(connection.gate, self.bound.card, connection.service.role, name)
        except PersonaError as error:
            connection.log.event("error", text=f"persona {name}: {error.reason}")
        else:
            connection.log.event("persona", name=name, **why)

    def _relay(self, connection: Connection, sock: socket.socket, faults: Sequence[tuple[Direction, Fault]]) -> None:
        """Put a relay between the client and the room, so that the wire can misbehave."""

        def note(fault: str, direction: str, octets: int) -> None:
            connection.log.event("fault", does=[fault], direction=direction, octets=octets)
            if connection.gate is not None and fault != HalfClose.name:  # nothing that the room still says is heard
                connection.gate.end()

        try:
            relay = self.wire.put_in(sock, sock.getpeername(), faults, note=note)
        except OSError as error:  # out of descriptors, or the peer is gone
            connection.log.close(error.strerror or "gone")
            sock.close()
            return
        self._hand_over(replace(connection, arm=relay.obey, unready=None), relay.sock)

    def _open_log(self, peer: str, local: str, closed: Callable[[], None]) -> SessionLog:
        service = self.bound.service
        if not service.journalled:
            return UnheardLog(closed)
        log = self.journal.open_session(
            room=self.bound.card.name,
            service=service.name,
            peer=peer,
            local=local,
            port=self.bound.port.name,
            closed=closed,
        )
        if self.sandbox != DEFAULT:
            log.join(self.sandbox)
        return log

    async def _refuse(self, sock: socket.socket) -> None:
        """Say why, and let it be read; a port that speaks TLS from the first octet has no words for strangers."""
        stream = Stream(lingering=self._refused)
        try:
            await self._loop.connect_accepted_socket(lambda: stream, sock)
        except OSError:
            _logger.debug("the refused peer is gone already")
            sock.close()
            return
        if self.bound.port.tls is not TlsMode.IMPLICIT:
            stream.write(self.bound.service.overload)
        await stream.part()

    async def _connect(self, connection: Connection, sock: socket.socket) -> None:
        task = asyncio.current_task()
        assert task is not None
        # Not to be cancelled from here on: uvloop would close the socket without a word to the protocol, which would wait on.
        self._tasks.discard(task)
        try:
            transport, _ = await self._loop.connect_accepted_socket(lambda: self._protocol(connection), sock)
            if connection.unready is not None:
                connection.unready.reset = partial(reset_transport, transport, sock)
            if self._stopped:
                connection.log.close("shutdown")
                transport.abort()
        except OSError as error:  # the peer is gone already
            connection.log.close(error.strerror or "gone")
            sock.close()
        except Exception:
            of_room(self.bound.card.name).exception("%s: a connection could not be started", connection.port.name)
            connection.log.close("internal error")
            sock.close()

    def _protocol(self, connection: Connection) -> asyncio.BaseProtocol:
        protocol = self.handler.protocol(connection)
        if connection.port.tls is TlsMode.IMPLICIT:
            return self.tls.implicit(protocol, connection)
        return protocol
