"""Waking those who wait for a counter to move, whichever process moves it.

A change of this process wakes at once; another's is found by comparing the page every 20 ms, and only while somebody waits: one timer and
one memcmp however many wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

from portyard.commons.database.generations import SLOTS, Generations, slot

POLL_S = 0.02  # well under the 50 ms within which a delivery must be heard of
SLOW_POLL_S = 0.05  # for what is watched as long as a process lives: 20 memory reads a second


class CounterWatcher:
    """The watcher of one process and loop. Implements `mailstore.model.Watcher`.

    Args:
        generations: The page.
    """

    def __init__(self, generations: Generations) -> None:
        self._generations = generations
        self._waiters: dict[int, set[asyncio.Future[None]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._last = b""
        self.closed = False
        generations.listen(self._moved)

    def watch(self, mailbox_id: int) -> AsyncIterator[None]:
        """Yields once for each change or run of changes after this call, until closed (`aclose`) or cancelled."""
        return self.watch_counter(f"mailbox:{mailbox_id}")

    def watch_counter(self, counter: str) -> CounterWatch:
        """The same for any counter."""
        return CounterWatch(self, slot(counter))

    async def watch_slowly(self, counter: str) -> AsyncIterator[None]:
        """Yields once for each change or run of changes, from now until cancelled or closed.

        For those who watch all their life: what this process moves is heard of at once, another's within 50 ms, and nobody else pays.
        """
        number, loop = slot(counter), asyncio.get_running_loop()
        seen, moved = self.value(number), asyncio.Event()
        timer: asyncio.TimerHandle | None = None

        def heard(counters: Iterable[str]) -> None:
            if any(slot(name) == number for name in counters):
                moved.set()

        def look() -> None:
            nonlocal timer
            if self.value(number) != seen:
                moved.set()
            timer = loop.call_later(SLOW_POLL_S, look)

        look()
        self._generations.listen(heard)
        try:
            while not self.closed:
                await moved.wait()
                moved.clear()
                seen = self.value(number)
                yield
        finally:
            if timer is not None:
                timer.cancel()
            self._generations.unlisten(heard)

    def value(self, number: int) -> int:
        """A slot's value now."""
        return self._generations.read_slot(number)

    async def wait(self, number: int, seen: int) -> None:
        """Return once the slot holds something other than `seen`, or after `wake`."""
        self._poll_soon()  # before the comparison: the poll's baseline must be older than it, or a change in between is lost
        if self.value(number) != seen:
            return
        future = asyncio.get_running_loop().create_future()
        waiters = self._waiters.setdefault(number, set())
        waiters.add(future)
        try:
            await future
        finally:
            waiters.discard(future)
            if not waiters and self._waiters.get(number) is waiters:
                del self._waiters[number]

    def wake(self, number: int) -> None:
        """Wake all who wait for a slot; they look again."""
        for future in self._waiters.pop(number, ()):
            if not future.done():
                future.set_result(None)

    @property
    def polling(self) -> bool:
        """Whether the page is being compared: only while somebody waits."""
        return self._timer is not None

    def close(self) -> None:
        """Stop polling; every watch ends. A second call does nothing."""
        if self.closed:
            return
        self.closed = True
        self._generations.unlisten(self._moved)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for number in list(self._waiters):
            self.wake(number)

    def _poll_soon(self) -> None:
        if self._timer is None:
            self._last = self._generations.snapshot()
            self._timer = asyncio.get_running_loop().call_later(POLL_S, self._poll)

    def _poll(self) -> None:
        self._timer = None
        if not self._waiters:
            return
        page = self._generations.snapshot()
        if page != self._last:
            for number in range(SLOTS):
                if page[number * 8 : number * 8 + 8] != self._last[number * 8 : number * 8 + 8]:
                    self.wake(number)
            self._last = page
        self._timer = asyncio.get_running_loop().call_later(POLL_S, self._poll)

    def _moved(self, counters: Iterable[str]) -> None:
        for counter in counters:
            self.wake(slot(counter))


class CounterWatch:
    """One watch: its baseline is the moment it was made, so nothing is missed between a snapshot and the first wait."""

    def __init__(self, watcher: CounterWatcher, number: int) -> None:
        self._watcher = watcher
        self._slot = number
        self._seen = watcher.value(number)
        self._closed = False

    def __aiter__(self) -> CounterWatch:
        return self

    async def __anext__(self) -> None:
        while not (self._closed or self._watcher.closed):
            now = self._watcher.value(self._slot)
            if now != self._seen:
                self._seen = now
                return
            await self._watcher.wait(self._slot, self._seen)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Yield no more."""
        self._closed = True
        self._watcher.wake(self._slot)
