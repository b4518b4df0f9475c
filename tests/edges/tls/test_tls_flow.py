"""Backpressure: a slow reader costs bounded memory, and nothing is lost or reordered."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator

import pytest

from portyard.commons.tls.authority import Authority
from portyard.commons.tls.layer import connect_tls
from portyard.commons.tls.transport import TlsTransport
from tests.edges.tls.conftest import Run
from tests.edges.tls.peers import Recorder, serving

SIZE = 25 * 1024 * 1024
PIECE = 64 * 1024
BOUND = 2 * 1024 * 1024  # far under SIZE, far over every buffer's high-water mark


def pieces() -> Iterator[bytes]:
    for number in range(SIZE // PIECE):
        yield number.to_bytes(4) * (PIECE // 4)


EXPECTED = hashlib.sha256(b"".join(pieces())).hexdigest()


class Sender(Recorder):
    """Writes all pieces, as fast as it is allowed to, and remembers the fullest buffer that it saw."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.left = pieces()
        self.paused = False
        self.fullest = 0
        self.go_on()

    def go_on(self) -> None:
        while not self.paused:
            piece = next(self.left, None)
            if piece is None:
                self.transport.close()
                return
            self.transport.write(piece)
            self.fullest = max(self.fullest, self.transport.get_write_buffer_size())

    def pause_writing(self) -> None:
        assert not self.paused
        super().pause_writing()
        self.paused = True

    def resume_writing(self) -> None:
        assert self.paused
        super().resume_writing()
        self.paused = False
        self.go_on()


class SlowReader(Recorder):
    """Pauses after each piece and goes on two turns of the loop later."""

    def __init__(self) -> None:
        super().__init__()
        self.digest = hashlib.sha256()
        self.size = self.biggest = 0

    def data_received(self, data: bytes) -> None:
        assert self.transport.is_reading()
        self.digest.update(data)
        self.size += len(data)
        self.biggest = max(self.biggest, len(data))
        self.transport.pause_reading()
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self.transport.resume_reading)


@pytest.mark.parametrize("recipe", ["good", "tls12_only"])
@pytest.mark.parametrize("way", ["up", "down"])
def test_25_mb_with_a_slow_reader_stay_bounded(authority: Authority, run: Run, recipe: str, way: str) -> None:
    server_app, client_app = (SlowReader, Sender) if way == "up" else (Sender, SlowReader)

    async def test() -> None:
        async with serving(authority, recipe, app=server_app) as served:
            _, app = await connect_tls(client_app, "127.0.0.1", served.port, authority.client_context(), "localhost")
            await app.lost
        sender, reader = (app, served.apps[0]) if way == "up" else (served.apps[0], app)
        assert isinstance(sender, Sender)
        assert isinstance(reader, SlowReader)
        assert reader.size == SIZE
        assert reader.digest.hexdigest() == EXPECTED
        assert reader.biggest <= PIECE
        assert sender.calls.count("pause") > 10
        assert sender.calls.count("pause") - sender.calls.count("resume") in (0, 1)
        assert sender.fullest < BOUND
        assert sender.lost.result() is None

    run(test())


def test_a_reader_that_stops_stops_the_sender(authority: Authority, run: Run) -> None:
    class Stopped(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.transport.pause_reading()

    async def test() -> None:
        async with serving(authority, app=Stopped) as served:
            transport, app = await connect_tls(
                Sender, "127.0.0.1", served.port, authority.client_context(), "localhost"
            )
            assert isinstance(transport, TlsTransport)
            await served.events.first("handshake")
            stopped = served.apps[0]
            for _ in range(200):  # turns of the loop, not time
                await asyncio.sleep(0)
            assert app.paused
            assert not stopped.heard
            assert app.fullest < BOUND
            # One write that is bigger than every buffer waits as plaintext, by reference.
            transport.write(b"x" * SIZE)
            assert SIZE < transport.get_write_buffer_size() < SIZE + BOUND
            assert transport._tls.plain.get_write_buffer_size() < BOUND  # nothing is encrypted ahead of the peer
            transport.abort()
            await app.lost
            stopped.transport.abort()

    run(test())


def test_mutable_data_is_copied_when_it_has_to_wait(authority: Authority, run: Run) -> None:
    async def test() -> None:
        async with serving(authority, app=SlowReader) as served:
            transport, app = await connect_tls(
                Recorder, "127.0.0.1", served.port, authority.client_context(), "localhost"
            )
            data = bytearray(b"a" * SIZE)
            transport.write(data)
            data[:] = b"b" * SIZE
            transport.write(memoryview(data)[:5])
            transport.close()
            await app.lost
        reader = served.apps[0]
        assert reader.digest.hexdigest() == hashlib.sha256(b"a" * SIZE + b"b" * 5).hexdigest()

    run(test())
