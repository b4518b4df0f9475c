"""The loop that the library is given: timers and descriptors."""

from __future__ import annotations

import asyncio
import socket

import pytest

from portyard.ftp.ioloop import READ, WRITE, AsyncioLoop
from tests.support.asyncio_tests import LOOPS, run


class Channel:
    """What the loop asks of a channel."""

    def __init__(self, sock: socket.socket, ioloop: AsyncioLoop, *, fails: bool = False) -> None:
        self.sock = sock
        self.ioloop = ioloop
        self.fails = fails
        self.heard: asyncio.Queue[str] = asyncio.Queue()

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def handle_read_event(self) -> None:
        self.sock.recv(100)
        self.heard.put_nowait("read")
        if self.fails:
            raise RuntimeError

    def handle_write_event(self) -> None:
        self.ioloop.modify(self.sock.fileno(), READ)
        self.heard.put_nowait("write")

    def handle_error(self) -> None:
        self.heard.put_nowait("error")

    def close(self) -> None:
        self.ioloop.unregister(self.sock.fileno())
        self.sock.close()
        self.heard.put_nowait("closed")


@pytest.mark.parametrize("loop", LOOPS)
def test_what_has_ended_is_read_no_more(loop: str) -> None:
    async def go() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        ioloop = AsyncioLoop()
        channel = Channel(ours, ioloop)
        ioloop.register(ours.fileno(), channel, READ)
        theirs.shutdown(socket.SHUT_WR)
        assert await channel.heard.get() == "read"
        ioloop.deafen(ours.fileno())
        while not channel.heard.empty():
            channel.heard.get_nowait()
        ioloop.modify(ours.fileno(), READ | WRITE)
        assert await channel.heard.get() == "write"
        ioloop.register(theirs.fileno(), Channel(theirs, ioloop), WRITE)
        assert await ioloop.socket_map[theirs.fileno()].heard.get() == "write"
        assert channel.heard.empty()
        ioloop.close()
        assert not ioloop._deaf  # whoever has the number next is heard

    run(go(), loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_events(loop: str) -> None:
    async def go() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        ioloop = AsyncioLoop()
        channel = Channel(ours, ioloop, fails=True)
        ioloop.register(ours.fileno(), channel, READ | WRITE)
        assert await channel.heard.get() == "write"
        theirs.send(b"x")
        assert [await channel.heard.get() for _ in range(2)] == ["read", "error"]
        ioloop.modify(ours.fileno(), 0)
        theirs.send(b"x")
        await asyncio.sleep(0)
        assert channel.heard.empty()
        ioloop.modify(ours.fileno(), READ)
        assert await channel.heard.get() == "read"
        ioloop.close()
        ioloop.unregister(99)
        ioloop.modify(99, READ)
        assert ioloop.socket_map == {}
        theirs.close()

    run(go(), loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_timers(loop: str, caplog: pytest.LogCaptureFixture) -> None:
    async def go() -> None:
        ioloop = AsyncioLoop()
        heard: asyncio.Queue[str] = asyncio.Queue()
        ioloop.call_later(0, heard.put_nowait, "once")
        assert await heard.get() == "once"
        every = ioloop.call_every(0.001, heard.put_nowait, "again")
        assert [await heard.get() for _ in range(3)] == ["again"] * 3
        every.cancel()
        never = ioloop.call_later(0.001, heard.put_nowait, "never")
        never.cancel()
        assert never.cancelled
        late = ioloop.call_later(0.01, heard.put_nowait, "late")
        late.reset()
        assert await heard.get() == "late"
        assert late.cancelled

        def fail() -> None:
            raise RuntimeError("why")

        ioloop.call_later(0, fail, _errback=lambda: heard.put_nowait("errback"))
        assert await heard.get() == "errback"
        ioloop.call_every(0, fail)
        ioloop.call_later(0.001, heard.put_nowait, "after")
        assert await heard.get() == "after"

    run(go(), loop)
    assert [record.message for record in caplog.records] == ["a timer's call failed"]
