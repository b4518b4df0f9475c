"""A connection as a stream that any transport can feed: plain, or the TLS layer's. Used by every room that speaks for itself.

Knows transports and backpressure; knows nothing of what the octets mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

from portyard.commons.gentle import GentleTransport, Lingering

READ_HIGH_WATER = 256 * 1024  # reading pauses here, so that a peer who talks faster than it is answered waits in TCP
GROUP_OCTETS = 16 * 1024  # of answers that are joined; a larger one gains nothing by waiting
FLUSH_S = 5.0  # how long a peer may take to take our last words
LINGER_S = 2.0  # how long it may go on sending behind them: what isn't read would turn our end into a reset
DROPPED_OCTETS = 16 * 1024 * 1024  # of what it sends meanwhile; one that sends more isn't about to read

Upgrade = Callable[[asyncio.Transport, asyncio.Protocol, bytes], Awaitable[asyncio.Transport]]


class Stream(asyncio.Protocol):
    """One connection's octets, both ways.

    Answers to commands that came together leave together: what is written within one turn of the loop is one segment and one TLS record
    (RFC 2920 §3.2 wants it so), and whoever is waited for, be it the peer or a disk, never waits for company.

    Args:
        main: Runs the connection; started once the transport stands, cancelled by nobody but its owner.
        started: Told the task that runs `main`, so that whoever closes the service can wait for it.
        lingering: Where this stands while its peer is still to read our last words; None where the owner waits for that with `close`.
    """

    def __init__(
        self,
        main: Callable[[Stream], Coroutine[Any, Any, None]] | None = None,
        started: Callable[[asyncio.Task[None]], None] | None = None,
        lingering: Lingering | None = None,
    ) -> None:
        self._main = main
        self._started = started
        self._lingering = lingering
        self._parting = False
        self._gentle: GentleTransport | None = None
        self._dropped = 0
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._before_last_write = 0
        self._reader: asyncio.Future[None] | None = None
        self._drainers: list[asyncio.Future[None]] = []
        self._closed = self._loop.create_future()
        self._write_paused = False
        self._read_paused = False
        self._eof = False
        self._woken = False
        self._group: list[bytes] = []
        self._group_size = 0
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    # What a conversation calls.

    async def read(self, timeout_s: float | None = None) -> bytes | None:
        """The octets that came, at least one.

        Returns:
            b"" once the peer has closed its side; None when `wake` was called.

        Raises:
            TimeoutError: Nothing came in time.
        """
        if self._group:
            self.flush()
        if not (self._buffer or self._eof or self._woken):
            await self._wait_for_input(timeout_s)
        if self._buffer:
            data = bytes(self._buffer)
            self._buffer.clear()
            self._before_last_write = 0
            self._resume_reading()
            return data
        if self._woken:
            self._woken = False
            return None
        return b""

    def wake(self) -> None:
        """Make the present (or next) `read` return None."""
        self._woken = True
        self._wake_reader()

    def write(self, data: bytes) -> None:
        """Send, soon; buffered without limit until `drain` is awaited."""
        if not self._group:
            self._loop.call_soon(self.flush)
        self._group.append(data)
        self._group_size += len(data)
        if self._group_size >= GROUP_OCTETS:
            self.flush()

    def flush(self) -> None:
        """Send what was written, now."""
        if not self._group:
            return
        data = self._group[0] if len(self._group) == 1 else b"".join(self._group)
        self._group.clear()
        self._group_size = 0
        self._before_last_write = len(self._buffer)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait while the peer reads slower than we write.

        Raises:
            ConnectionResetError: The connection is gone.
        """
        if self._closed.done():
            raise ConnectionResetError("the connection is gone")
        if self._write_paused:
            waiter = self._loop.create_future()
            self._drainers.append(waiter)
            await waiter

    async def upgrade(self, upgrade: Upgrade) -> asyncio.Transport:
        """Put TLS below. Octets that came before our last write are dropped: they were plaintext (RFC 3207 §4.2)."""
        assert self._transport is not None
        self.flush()
        pending = bytes(self._buffer[self._before_last_write :])
        self._buffer.clear()
        self._before_last_write = 0
        self._transport = await upgrade(self._transport, self, pending)
        self._resume_reading()
        return self._transport

    async def part(self, timeout_s: float = FLUSH_S) -> None:
        """Send the end behind our last words; what still comes is dropped until the peer has read them, which isn't waited for.

        Returns once all is sent; a peer that takes nothing is aborted after the timeout.
        """
        if self._transport is None or self._parting:
            return
        self.flush()
        self._parting = True
        self._buffer.clear()
        self._resume_reading()
        try:
            await self._all_sent(timeout_s)
        except ConnectionError:
            pass  # the peer has gone before us
        except TimeoutError:
            self.abort()
        finally:
            self._half_close()

    async def close(self, timeout_s: float = FLUSH_S) -> None:
        """Part, and wait until the peer has closed, too; one that doesn't is aborted after the timeout."""
        timer = self._loop.call_later(timeout_s, self.abort)
        try:
            await self.part(timeout_s)
            await self.gone()
        finally:
            timer.cancel()

    async def gone(self) -> None:
        """Wait until the connection is no more."""
        if self._transport is not None:
            await asyncio.shield(self._closed)

    def let_go(self) -> None:
        """Drop the connection at once, whoever is still reading."""
        if self._transport is not None:
            self._transport.abort()

    def abort(self) -> None:
        """Drop the connection at once."""
        self.flush()
        if self._transport is not None:
            self._transport.abort()

    def info(self, name: str) -> Any:  # noqa: ANN401 - asyncio's own type
        """The transport's extra information."""
        return None if self._transport is None else self._transport.get_extra_info(name)

    # What a transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.BaseProtocol; also called by nobody for an upgrade."""
        first = self._transport is None
        self._transport = cast(asyncio.Transport, transport)
        if first and self._main is not None:
            self._task = self._loop.create_task(self._main(self))
            if self._started is not None:
                self._started(self._task)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._parting:
            self._drop(data)
            return
        self._buffer += data
        if len(self._buffer) > READ_HIGH_WATER and not self._read_paused and self._transport is not None:
            self._read_paused = True
            self._transport.pause_reading()
        self._wake_reader()

    def eof_received(self) -> bool:
        """The peer is done sending; we may still answer, unless we have ended, too."""
        self._eof = True
        self._wake_reader()
        return self._gentle is None

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.BaseProtocol."""
        self._eof = True
        self._wake_reader()
        if self._gentle is not None:
            self._gentle.ended()
        if self._lingering is not None:
            self._lingering.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._closed.done():
            self._closed.set_result(None)
        for waiter in self._drainers:
            if not waiter.done():
                waiter.set_exception(exc or ConnectionResetError("the connection is gone"))
        self._drainers.clear()

    def pause_writing(self) -> None:
        """See asyncio.BaseProtocol."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """See asyncio.BaseProtocol."""
        self._write_paused = False
        for waiter in self._drainers:
            if not waiter.done():
                waiter.set_result(None)
        self._drainers.clear()

    # Helpers.

    async def _all_sent(self, timeout_s: float) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.set_write_buffer_limits(high=0)  # resume_writing now means: all is sent
            if self._write_paused:
                async with asyncio.timeout(timeout_s):
                    await self.drain()

    def _half_close(self) -> None:
        """No more from us; see `commons.gentle`."""
        assert self._transport is not None
        if self._transport.is_closing():
            return
        self._gentle = GentleTransport(self._transport, LINGER_S)
        self._gentle.peer_ended = self._eof
        self._transport = cast(asyncio.Transport, self._gentle)
        self._gentle.close()
        if self._lingering is not None and not self._closed.done():
            self._lingering.add(self)

    def _drop(self, data: bytes) -> None:
        self._dropped += len(data)
        if self._dropped > DROPPED_OCTETS:
            self.let_go()

    async def _wait_for_input(self, timeout_s: float | None) -> None:
        self._reader = self._loop.create_future()
        self._deadline = None if timeout_s is None else self._loop.time() + timeout_s
        if self._deadline is not None and (self._timer is None or self._timer.when() > self._deadline):
            self._look_at(self._deadline)
        try:
            await self._reader
        finally:
            self._reader = self._deadline = None

    def _look_at(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._time_out)

    def _time_out(self) -> None:
        """A timer is kept over many reads, for making one costs more than a read: mostly it finds that the deadline has moved on."""
        self._timer = None
        if self._deadline is None or self._reader is None or self._reader.done():
            return
        if self._loop.time() < self._deadline:
            self._look_at(self._deadline)
        else:
            self._reader.set_exception(TimeoutError("nothing came in time"))

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _resume_reading(self) -> None:
        if self._read_paused and self._transport is not None and not self._transport.is_closing():
            self._read_paused = False
            self._transport.resume_reading()
