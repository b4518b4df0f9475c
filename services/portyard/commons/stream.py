"""A connection as a stream that any transport can feed: plain, or the TLS layer's. Used by every room that speaks for itself.

Knows transports and backpressure; knows nothing of what the octets mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

READ_HIGH_WATER = 256 * 1024  # reading pauses here, so that a peer who talks faster than it is answered waits in TCP

Upgrade = Callable[[asyncio.Transport, asyncio.Protocol, bytes], Awaitable[asyncio.Transport]]


class Stream(asyncio.Protocol):
    """One connection's octets, both ways.

    Args:
        main: Runs the connection; started once the transport stands, cancelled by nobody but its owner.
        started: Told the task that runs `main`, so that whoever closes the service can wait for it.
    """

    def __init__(
        self,
        main: Callable[[Stream], Coroutine[Any, Any, None]] | None = None,
        started: Callable[[asyncio.Task[None]], None] | None = None,
    ) -> None:
        self._main = main
        self._started = started
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
        self._task: asyncio.Task[None] | None = None

    # What a conversation calls.

    async def read(self, timeout_s: float | None = None) -> bytes | None:
        """The octets that came, at least one.

        Returns:
            b"" once the peer has closed its side; None when `wake` was called.

        Raises:
            TimeoutError: Nothing came in time.
        """
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
        """Send; buffered without limit until `drain` is awaited."""
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
        pending = bytes(self._buffer[self._before_last_write :])
        self._buffer.clear()
        self._before_last_write = 0
        self._transport = await upgrade(self._transport, self, pending)
        self._resume_reading()
        return self._transport

    async def close(self, timeout_s: float = 5.0) -> None:
        """Flush, close, and wait until the transport says so; a peer that reads nothing is aborted after the timeout."""
        if self._transport is None:
            return
        self._transport.close()
        if not self._closed.done():
            timer = self._loop.call_later(timeout_s, self.abort)
            try:
                await asyncio.shield(self._closed)
            finally:
                timer.cancel()

    def abort(self) -> None:
        """Drop the connection at once."""
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
        self._buffer += data
        if len(self._buffer) > READ_HIGH_WATER and not self._read_paused and self._transport is not None:
            self._read_paused = True
            self._transport.pause_reading()
        self._wake_reader()

    def eof_received(self) -> bool:
        """The peer is done sending; we may still answer."""
        self._eof = True
        self._wake_reader()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.BaseProtocol."""
        self._eof = True
        self._wake_reader()
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

    async def _wait_for_input(self, timeout_s: float | None) -> None:
        self._reader = self._loop.create_future()
        timer = None if timeout_s is None else self._loop.call_later(timeout_s, self._time_out)
        try:
            await self._reader
        finally:
            self._reader = None
            if timer is not None:
                timer.cancel()

    def _time_out(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_exception(TimeoutError("nothing came in time"))

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _resume_reading(self) -> None:
        if self._read_paused and self._transport is not None and not self._transport.is_closing():
            self._read_paused = False
            self._transport.resume_reading()
