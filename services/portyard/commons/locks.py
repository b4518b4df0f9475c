"""Exclusive locks that every process of the testbed respects and that die with their holder.

A lock's file goes with it, so that names that never come again (each reset gives accounts other numbers) leave nothing behind.
Invariant: a file is removed only by whoever holds its lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path


class Lock:
    """A lock that is held until `release`."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor: int | None = descriptor
        self._path = path

    def release(self) -> None:
        """Let go; a second call does nothing."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):  # the state directory may be gone
                self._path.unlink()
            os.close(self._descriptor)
            self._descriptor = None


class Locks:
    """Named locks.

    Args:
        folder: Where the lock files are; made when missing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def take(self, name: str) -> Lock | None:
        """The lock, or None while somebody else holds it. Never waits."""
        path = self._folder / name
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return None
            if os.fstat(descriptor).st_nlink:
                return Lock(descriptor, path)
            os.close(descriptor)  # it was removed before it was ours


def is_held(path: Path) -> bool:
    """Whether somebody who lives holds a lock on a file, shared or alone; False where there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
