"""pyftpdlib's event loop, made of the asyncio loop that everything else runs on: no thread, no second poller.

Only add_reader, add_writer and call_later are used, so that it is the same on asyncio's own loop and on uvloop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from portyard.ftp.hosted import AsyncChat

READ = 1
WRITE = 2

_logger = logging.getLogger("portyard.ftp")


class Timer:
    """A call to come: what pyftpdlib's `call_later` and `call_every` return.

    Args:
        loop: Where it is scheduled.
        seconds: How far ahead.
        target: What is called.
        again: Whether it is repeated until it is cancelled or fails.
        errback: Called when `target` raises; without one the error is logged.
    """

    __slots__ = ("_again", "_due", "_errback", "_handle", "_loop", "_seconds", "_target", "cancelled")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        seconds: float,
        target: Callable[[], object],
        errback: Callable[[], object] | None,
        *,
        again: bool = False,
    ) -> None:
        self._loop = loop
        self._seconds = seconds
        self._target: Callable[[], object] | None = target
        self._errback = errback
        self._again = again
        self.cancelled = False
        self._due = loop.time() + seconds
        self._handle = loop.call_at(self._due, self._fire)

    def reset(self) -> None:
        """Begin the countdown anew; costs an addition, the loop's own timer is moved when it fires."""
        self._due = self._loop.time() + self._seconds

    def cancel(self) -> None:
        """Never call."""
        self.cancelled = True
        self._handle.cancel()
        self._target = self._errback = None

    def _fire(self) -> None:
        if self._target is None:
            return
        if self._due > self._loop.time():
            self._handle = self._loop.call_at(self._due, self._fire)
            return
        target, errback = self._target, self._errback
        if not self._again:
            self.cancel()
        try:
            target()
        except Exception:
            self.cancel()
            if errback is None:
                _logger.exception("a timer's call failed")
            else:
                errback()
        if not self.cancelled:
            self._due = self._loop.time() + self._seconds
            self._handle = self._loop.call_at(self._due, self._fire)


class AsyncioLoop:
    """What pyftpdlib calls an IOLoop.

    Attributes:
        socket_map: Who handles which descriptor.
    """

    READ = READ
    WRITE = WRITE

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.socket_map: dict[int, AsyncChat] = {}
        self._events: dict[int, int] = {}
        self._deaf: set[int] = set()

    def register(self, fd: int, instance: AsyncChat, events: int) -> None:
        """Watch a descriptor."""
        self.socket_map[fd] = instance
        self._watch(fd, events)

    def unregister(self, fd: int) -> None:
        """Watch it no more; fine when nobody did."""
        if self.socket_map.pop(fd, None) is not None:
            self._watch(fd, 0)
            del self._events[fd]
            self._deaf.discard(fd)

    def modify(self, fd: int, events: int) -> None:
        """Watch it for other events; none at all is fine too."""
        if fd in self.socket_map:
            self._watch(fd, events)

    def deafen(self, fd: int) -> None:
        """Never again say that a descriptor can be read: its end has been, and would be said without end."""
        self._deaf.add(fd)
        self._watch(fd, self._events.get(fd, 0))

    def call_later(self, seconds: float, target: Callable[..., object], *args: Any, **kwargs: Any) -> Timer:  # noqa: ANN401
        """Call once."""
        errback = kwargs.pop("_errback", None)
        return Timer(self._loop, seconds, lambda: target(*args, **kwargs), errback)

    def call_every(self, seconds: float, target: Callable[..., object], *args: Any, **kwargs: Any) -> Timer:  # noqa: ANN401
        """Call again and again."""
        errback = kwargs.pop("_errback", None)
        return Timer(self._loop, seconds, lambda: target(*args, **kwargs), errback, again=True)

    def close(self) -> None:
        """Close every channel that is still watched."""
        for instance in list(self.socket_map.values()):
            instance.close()

    def _watch(self, fd: int, events: int) -> None:
        if fd in self._deaf:
            events &= ~READ
        before = self._events.get(fd, 0)
        self._events[fd] = events
        if events & READ and not before & READ:
            self._loop.add_reader(fd, self._readable, fd)
        elif before & READ and not events & READ:
            self._loop.remove_reader(fd)
        if events & WRITE and not before & WRITE:
            self._loop.add_writer(fd, self._writable, fd)
        elif before & WRITE and not events & WRITE:
            self._loop.remove_writer(fd)

    def _readable(self, fd: int) -> None:
        instance = self.socket_map.get(fd)
        if instance is not None and instance.readable():
            self._call(instance, instance.handle_read_event)

    def _writable(self, fd: int) -> None:
        instance = self.socket_map.get(fd)
        if instance is not None and instance.writable():
            self._call(instance, instance.handle_write_event)

    @staticmethod
    def _call(instance: AsyncChat, event: Callable[[], object]) -> None:
        try:
            event()
        except Exception:
            instance.handle_error()  # pyftpdlib's: it looks at the exception under way
