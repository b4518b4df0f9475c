"""The conversations of one service: one for each connection that is accepted, all of them ended when the service closes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator

from portyard.commons.card import Port
from portyard.commons.conversation import Conversation
from portyard.commons.effects import Framing, Session
from portyard.commons.gentle import SAYING_S, Lingering
from portyard.commons.stream import Stream
from portyard.commons.yard import Connection, Yard

_logger = logging.getLogger(__name__)


class UnderWay:
    """The conversations of one service that are under way.

    Attributes:
        lingering: Their connections, once they are over.
    """

    def __init__(self) -> None:
        self.lingering = Lingering()
        self._tasks: set[asyncio.Task[None]] = set()

    def started(self, task: asyncio.Task[None]) -> None:
        """One begins; why it failed, if it does, is logged."""
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def close(self) -> None:
        """End every one with its parting word."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=SAYING_S)
        await self.lingering.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _logger.error("a conversation failed", exc_info=task.exception())


class Conversations:
    """The conversations of one service: starts one for each connection, ends them all at close.

    Args:
        yard: The yard.
        make: A core with its framing for an accepted connection.
        parting: See Conversation.
    """

    adopts = False

    def __init__(self, yard: Yard, make: Callable[[Connection], tuple[Session, Framing]], parting: bytes = b"") -> None:
        self._yard = yard
        self._make = make
        self._parting = parting
        self._under_way = UnderWay()

    def protocol(self, connection: Connection) -> asyncio.Protocol:
        """See Handler."""

        async def upgrade(
            transport: asyncio.Transport, protocol: asyncio.Protocol, pending: bytes
        ) -> asyncio.Transport:
            return await self._yard.tls.upgrade(transport, protocol, connection, pending)

        async def main(stream: Stream) -> None:
            with ended_where_it_cannot_begin(connection, stream):
                session, framing = self._make(connection)
            await Conversation(
                stream,
                session,
                framing,
                connection.log,
                upgrade=upgrade,
                watcher=self._yard.watcher,
                parting=self._parting,
                gate=connection.gate,
                arm=connection.arm,
                shown=self._yard.settings.limits.journal_reply,
            ).run()

        return Stream(main, self._under_way.started, self._under_way.lingering)

    def adopt(self, connection: Connection, sock: object) -> None:
        """See Handler; never called, `adopts` is False."""
        raise NotImplementedError

    def datagram(self, connection_port: Port) -> asyncio.DatagramProtocol:
        """See Handler; these rooms have no UDP port."""
        raise NotImplementedError

    async def close(self) -> None:
        """End every conversation with its parting word."""
        await self._under_way.close()


@contextlib.contextmanager
def ended_where_it_cannot_begin(connection: Connection, stream: Stream) -> Iterator[None]:
    """End a connection whose conversation can't be made, for want of descriptors say: nobody else would, and it would stay for ever."""
    try:
        yield
    except Exception:
        connection.log.close("internal error")
        stream.abort()
        raise
