"""Seeing another process's change without asking SQL: one mmapped page of counters in the state directory.

A counter is moved after the commit and before anyone is told; its reader compares it with what it saw last. Counters share slots where
names hash alike: that costs a spurious read, never a missed one. Knows no SQL and no loop.
"""

from __future__ import annotations

import mmap
import os
import random
import time
import zlib
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from pathlib import Path

from portyard.commons.database.engine import StateDirectoryError

PAGE = 4096  # octets: one page is compared at once by the watcher
SLOTS = PAGE // 8
NAMED = 64  # slots for counters by name; the others are for numbered ones such as "mailbox:17"


@lru_cache(maxsize=4096)
def slot(counter: str) -> int:
    """The counter's place in the page, the same in every process."""
    kind, found, number = counter.rpartition(":")
    if found and number.isdecimal():
        # Neighbours never share; kinds begin at places of their own, so that account 1 doesn't share with mailbox 1.
        return NAMED + (zlib.crc32(kind.encode()) + int(number)) % (SLOTS - NAMED)
    return zlib.crc32(counter.encode()) % NAMED


class Generations:
    """The page of one state directory, mapped. All processes of the testbed map the same file.

    Args:
        path: The file; made when missing.

    Raises:
        StateDirectoryError: It can't be made or written.
    """

    def __init__(self, path: Path) -> None:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if os.fstat(descriptor).st_size < PAGE:
                    # Really allocated, so that a full disk is an error here and not a SIGBUS later; other processes' counters stay.
                    os.posix_fallocate(descriptor, 0, PAGE)
                self._map = mmap.mmap(descriptor, PAGE)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StateDirectoryError.of(path, error) from error
        self._view = memoryview(self._map).cast("Q")
        self._salt = random.SystemRandom().getrandbits(10)
        self._listeners: list[Callable[[Iterable[str]], None]] = []

    def read(self, counter: str) -> int:
        """The counter now; compare with `!=` only."""
        return self._view[slot(counter)]

    def reader(self, counter: str) -> Callable[[], int]:
        """`read` of one counter as a function: a tenth of its time."""
        return partial(self._view.__getitem__, slot(counter))

    def read_slot(self, number: int) -> int:
        """A slot's value now."""
        return self._view[number]

    def snapshot(self) -> bytes:
        """The whole page, to be compared with a later one."""
        return self._map[:]

    def bump(self, counter: str) -> None:
        """Move a counter. From any thread; one aligned 8-octet store, so that no reader sees half of it."""
        self._view[slot(counter)] = self._next()

    def bump_all(self) -> None:
        """Move every counter: a process that was killed between its commit and its bump may have left one behind."""
        value = self._next()
        for number in range(SLOTS):
            self._view[number] = value

    def _next(self) -> int:
        # The salt keeps two processes' values apart even within one tick of the clock.
        return ((time.monotonic_ns() << 10) | self._salt) & 0xFFFF_FFFF_FFFF_FFFF

    def listen(self, listener: Callable[[Iterable[str]], None]) -> None:
        """Have a function called in the loop with the counters that this process moved."""
        self._listeners.append(listener)

    def unlisten(self, listener: Callable[[Iterable[str]], None]) -> None:
        """Undo `listen`."""
        self._listeners.remove(listener)

    def announce(self, counters: Iterable[str]) -> None:
        """Tell the listeners at once; called in the loop after the counters were moved."""
        for listener in self._listeners:
            listener(counters)

    def close(self) -> None:
        """Unmap. Nothing may be read afterwards."""
        self._view.release()
        self._map.close()
