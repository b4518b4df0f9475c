"""What the journal takes for a session of UDP: the queries of one peer's port, as long as they come one soon after the other."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

QUIET_S = 1.0  # without a query, until a flow is over: stubs ask once from a port, resolvers and load go on
MOST = 1000  # flows that are open; for one more the one that was quiet for the longest ends


class Session(Protocol):
    """A flow's."""

    def close(self) -> None:
        """It is over."""


Key = TypeVar("Key")
One = TypeVar("One", bound=Session)


class Flows(Generic[Key, One]):
    """The open ones.

    Args:
        opened: Begins the session of a flow.
    """

    def __init__(self, opened: Callable[[Key], One]) -> None:
        self._opened = opened
        self._open: OrderedDict[Key, tuple[One, float]] = OrderedDict()  # and when it was used last, the oldest first
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def of(self, key: Key) -> One:
        """The session of a flow in which something comes now.

        Args:
            key: Tells flows apart.
        """
        known = self._open.pop(key, None)
        session = known[0] if known is not None else self._opened(key)
        self._open[key] = session, self._loop.time()
        if len(self._open) > MOST:
            self._end()
        if self._timer is None:
            self._timer = self._loop.call_later(QUIET_S, self._look)
        return session

    def close(self) -> None:
        """End them all."""
        if self._timer is not None:
            self._timer.cancel()
        while self._open:
            self._end()

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._open:
            _, used = next(iter(self._open.values()))
            if used + QUIET_S > now:
                self._timer = self._loop.call_at(used + QUIET_S, self._look)
                return
            self._end()

    def _end(self) -> None:
        _, (session, _) = self._open.popitem(last=False)
        session.close()
