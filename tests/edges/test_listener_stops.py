"""A listener that stops leaves no connection behind, whatever it was waiting for."""

from __future__ import annotations

import asyncio
import gc
import socket
from pathlib import Path

import pytest

from portyard.commons.binding import bind
from portyard.commons.listener import Listener
from portyard.commons.wire.wire import Wire
from portyard.commons.yard import Connection
from portyard.pop3.card import CARD
from tests.support.asyncio_tests import LOOPS, run
from tests.support.hosted import ruled_room
from tests.support.yard import open_yard

PATIENCE_S = 30.0


def has_ended(client: socket.socket) -> bool:
    """Whether the peer has closed, by whatever."""
    client.settimeout(PATIENCE_S)
    try:
        while client.recv(4096):
            pass
    except ConnectionResetError:
        pass
    return True


@pytest.mark.parametrize("then", [{"delay": "60s"}, {"silence": True}, {"latency": "60s"}])
def test_who_waits_for_a_rule_is_let_go(then: object, tmp_path: Path) -> None:
    clients: list[socket.socket] = []

    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            await place.rule("pop3.connect", then)
            clients.append(socket.create_connection(("127.0.0.1", place.port)))
            while not any(kind == "fault" for kind, _ in await place.talk()):
                pass

    run(go())
    gc.collect()
    with clients[0] as client:
        assert has_ended(client)


class Stopping(asyncio.Protocol):
    """Stops its listener as soon as it is connected.

    Attributes:
        lost: Set once it hears that the connection is no more.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.listener: Listener | None = None
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert self.listener is not None
        self.listener.stop()

    def connection_lost(self, error: Exception | None) -> None:
        self.connection.log.close("lost")
        self.lost.set()


class Room:
    """A handler of such protocols."""

    adopts = False

    def __init__(self) -> None:
        self.listener: Listener | None = None
        self.made: asyncio.Queue[Stopping] = asyncio.Queue()

    def protocol(self, connection: Connection) -> asyncio.Protocol:
        protocol = Stopping(connection)
        protocol.listener = self.listener
        self.made.put_nowait(protocol)
        return protocol

    def adopt(self, connection: Connection, sock: object) -> None:
        raise NotImplementedError

    def datagram(self, connection_port: object) -> asyncio.DatagramProtocol:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("loop", LOOPS)
def test_who_was_just_accepted_is_told_that_the_connection_is_no_more(loop: str, tmp_path: Path) -> None:
    """Else its conversation would wait for a peer that can't come any more, until its patience ends."""

    async def go() -> None:
        async with open_yard(tmp_path) as yard:
            (service,) = CARD.services
            bound = bind(CARD, service, service.ports[0], "127.0.0.1", 0)
            room, wire = Room(), Wire(yard.rng)
            room.listener = Listener(bound, room, yard.journal, yard.tls, yard.gate, wire, 10)
            port = bound.sock.getsockname()[1]
            room.listener.start()
            with await asyncio.to_thread(socket.create_connection, ("127.0.0.1", port)) as client:
                protocol = await room.made.get()
                async with asyncio.timeout(PATIENCE_S):
                    await protocol.lost.wait()
                assert room.listener.open_count == 0
                assert await asyncio.to_thread(has_ended, client)
            await yard.journal.flush()
            (session,) = await yard.journal.sessions("default")
            assert session.closed_at is not None
            await wire.close()

    run(go(), loop)
