"""Both ends of a relayed connection as raw sockets, and services whose listener puts relays in."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from portyard.commons import accepting
from portyard.commons.listener import Listener
from portyard.commons.wire.relay import Relay
from portyard.commons.wire.sockets import reset_now
from portyard.commons.wire.units import Direction, Fault
from portyard.commons.wire.wire import Wire
from portyard.commons.yard import Connection

LIMIT_S = 20.0
Faults = Iterable[tuple[Direction, Fault]]


class End:
    """One end of a connection, a raw socket's view."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(LIMIT_S):
            await self.loop.sock_sendall(self.sock, data)

    async def some(self) -> bytes:
        """One recv's worth; b"" at the end of file."""
        async with asyncio.timeout(LIMIT_S):
            return await self.loop.sock_recv(self.sock, 1 << 20)

    async def exactly(self, size: int) -> bytes:
        data = bytearray()
        async with asyncio.timeout(LIMIT_S):
            while len(data) < size:
                more = await self.loop.sock_recv(self.sock, size - len(data))
                assert more, f"the end after {len(data)} octets of {size}"
                data += more
        return bytes(data)

    async def rest(self) -> bytes:
        """All to the end of file."""
        data = bytearray()
        while more := await self.some():
            data += more
        return bytes(data)

    async def until_reset(self) -> bytes:
        """All up to a RST; fails at an end of file."""
        data = bytearray()
        while True:
            try:
                more = await self.some()
            except ConnectionResetError:
                return bytes(data)
            assert more, f"a FIN and no RST, after {bytes(data[-100:])!r}"
            data += more

    async def until_refused(self, size: int = 1000) -> None:
        """Send until it is answered by a RST."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                try:
                    await self.loop.sock_sendall(self.sock, bytes(size))
                except ConnectionError:
                    return

    def nothing_now(self) -> bool:
        """Nothing can be read, not even an end."""
        with contextlib.suppress(BlockingIOError):
            self.sock.recv(1, socket.MSG_PEEK)
            return False
        return True

    def end_writing(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        reset_now(self.sock)

    def close(self) -> None:
        self.sock.close()


@dataclass
class Line:
    """A relayed connection.

    Attributes:
        wire: Whose.
        relay: Its relay.
        client: The client's end.
        room: The room's end.
        noted: What the relay told: fault, direction, octets.
    """

    wire: Wire
    relay: Relay
    client: End
    room: End
    noted: list[tuple[str, Direction, int]] = field(default_factory=list)

    async def over(self) -> None:
        """Return once the relay has closed; a busy look at a flag, which only a bug makes long."""
        async with asyncio.timeout(LIMIT_S):
            await self._over.wait()

    _over: asyncio.Event = field(default_factory=asyncio.Event)


def connected(host: str = "127.0.0.1") -> tuple[socket.socket, socket.socket]:
    """A client's and its accepted socket."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        client = socket.create_connection(server.getsockname()[:2])
        accepted, _ = server.accept()
    for sock in (client, accepted):
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client, accepted


@contextlib.asynccontextmanager
async def line(faults: Faults = (), host: str = "127.0.0.1", seed: int = 0) -> AsyncIterator[Line]:
    """A connection with a relay in it, until the block ends."""
    wire = Wire(random.Random(seed))
    client, accepted = connected(host)
    noted: list[tuple[str, Direction, int]] = []
    over = asyncio.Event()
    forget = wire._forget

    def forgotten(relay: Relay) -> None:
        forget(relay)
        over.set()

    wire._forget = forgotten  # type: ignore[method-assign]
    relay = wire.put_in(accepted, accepted.getpeername(), faults, note=lambda *told: noted.append(told))
    ends = End(client), End(relay.sock)
    try:
        yield Line(wire, relay, *ends, noted, over)
    finally:
        for end in ends:
            end.close()
        await wire.close()
        assert not wire.relays


class Stopwatch:
    """Monotonic seconds since it was made."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun


@dataclass
class Wired:
    """What the wired listeners of a test did.

    Attributes:
        faults: What is armed at accept.
        relays: Those that were put in.
    """

    faults: list[tuple[Direction, Fault]]
    relays: list[Relay] = field(default_factory=list)


@contextlib.contextmanager
def wired_listeners(monkeypatch: pytest.MonkeyPatch, wire: Wire, faults: Faults) -> Iterator[Wired]:
    """Services that are opened in the block get a relay for each connection."""
    wired = Wired(list(faults))

    class WiredListener(Listener):
        def _hand_over(self, connection: Connection, sock: socket.socket) -> None:
            relay = wire.put_in(sock, sock.getpeername(), wired.faults)
            wired.relays.append(relay)
            super()._hand_over(replace(connection, arm=relay.obey), relay.sock)

    with monkeypatch.context() as patch:
        patch.setattr(accepting, "Listener", WiredListener)
        yield wired


def state_of(sock: socket.socket) -> Any:
    """The kernel's number for a connection's state."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
