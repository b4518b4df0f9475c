"""A connection as a stream: answers leave together, and nobody waits for them."""

from __future__ import annotations

import asyncio

import pytest

from portyard.commons.stream import GROUP_OCTETS, Stream
from tests.support.asyncio_tests import run


class Wire(asyncio.Transport):
    """Keeps what was sent, piece by piece."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.pieces.append(bytes(data))

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        self.pieces.append(b"abort")


def connected() -> tuple[Stream, Wire]:
    stream, wire = Stream(), Wire()
    stream.connection_made(wire)
    return stream, wire


def test_what_is_written_in_one_turn_leaves_together() -> None:
    async def go() -> None:
        stream, wire = connected()
        for piece in (b"one", b"two"):
            stream.write(piece)
            await stream.drain()
        assert wire.pieces == []
        await asyncio.sleep(0)  # whoever waits for anything lets it go
        assert wire.pieces == [b"onetwo"]
        stream.write(b"three")
        stream.data_received(b"x")
        assert await stream.read() == b"x"
        assert wire.pieces[1:] == [b"three"]
        stream.write(b"y" * GROUP_OCTETS)
        assert wire.pieces[2:] == [b"y" * GROUP_OCTETS]
        stream.write(b"last")
        stream.abort()
        await asyncio.sleep(0)
        assert wire.pieces[3:] == [b"last", b"abort"]

    run(go())


def test_an_upgrade_sends_what_was_said_and_keeps_what_answers_it() -> None:
    async def go() -> None:
        stream, wire = connected()
        stream.data_received(b"injected")
        stream.write(b"go ahead")
        found: list[bytes] = []

        async def upgrade(transport: asyncio.Transport, _: asyncio.Protocol, pending: bytes) -> asyncio.Transport:
            found.append(pending)
            return transport

        await asyncio.sleep(0)
        stream.data_received(b"hello")
        await stream.upgrade(upgrade)
        assert wire.pieces == [b"go ahead"]
        assert found == [b"hello"]

    run(go())


def test_each_read_has_its_own_patience() -> None:
    async def go() -> None:
        stream, _ = connected()
        loop = asyncio.get_running_loop()
        loop.call_later(0.02, stream.data_received, b"x")
        assert await stream.read(0.05) == b"x"
        began = loop.time()
        with pytest.raises(TimeoutError):
            await stream.read(0.1)  # the timer of the read before is still there, and tells nobody
        assert loop.time() - began >= 0.1
        began = loop.time()
        loop.call_later(0.01, stream.data_received, b"y")
        assert await stream.read(300) == b"y"
        with pytest.raises(TimeoutError):
            await stream.read(0.02)  # sooner than the one before
        assert loop.time() - began < 20
        loop.call_later(0.03, stream.data_received, b"z")
        assert await stream.read() == b"z"  # for ever
        stream.connection_lost(None)
        assert await stream.read(0.01) == b""

    run(go())
