"""Dates what is written to a root by its sandbox's clock, where that isn't the machine's, which the kernel dates by.

A file is dated when it is closed (or renamed into place), a directory when a name in it comes, goes or moves. Nothing is dated by being
read, as on a volume that is mounted noatime.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from typing import BinaryIO, cast

Stamp = Callable[[], float | None]
"""The sandbox's time in seconds since 1970; None where it is the machine's."""


def undated() -> float | None:
    """The stamp of a clock that is always the machine's."""
    return None


def open_undated(name: str, flags: int, permissions: int = 0o644, *, directory: int) -> int:
    """As os.open in an open directory; reading then doesn't date, for the kernel knows the machine's clock alone."""
    try:
        return os.open(name, flags | os.O_NOATIME, permissions, dir_fd=directory)
    except PermissionError as error:
        if error.errno != errno.EPERM:  # only a file's owner may ask for that
            raise
    return os.open(name, flags, permissions, dir_fd=directory)


def date_descriptor(fd: int, stamp: Stamp) -> None:
    """Date an open file."""
    at = stamp()
    if at is not None:
        os.utime(fd, (at, at))


def date_entry(directory: int, name: str, stamp: Stamp) -> None:
    """Date a name in an open directory; "." is the directory itself. A link isn't followed."""
    at = stamp()
    if at is not None:
        os.utime(name, (at, at), dir_fd=directory, follow_symlinks=False)


class _DatedWriter(io.BufferedWriter):
    """A file that is dated when it is closed."""

    stamp: Stamp = staticmethod(undated)

    def close(self) -> None:
        _close(self, self.stamp, super().close)


class _DatedRandom(io.BufferedRandom):
    """The same for reading and writing."""

    stamp: Stamp = staticmethod(undated)

    def close(self) -> None:
        _close(self, self.stamp, super().close)


def dated(fd: int, mode: str, stamp: Stamp) -> BinaryIO:
    """A file object for a descriptor.

    Args:
        fd: Owned by the file from now on.
        mode: "wb", "ab" or "r+b".
        stamp: Whose time.
    """
    raw = io.FileIO(fd, mode)
    file = _DatedRandom(raw) if "+" in mode else _DatedWriter(raw)
    file.stamp = stamp
    return cast(BinaryIO, file)


def _close(file: io.BufferedWriter | io.BufferedRandom, stamp: Stamp, close: Callable[[], None]) -> None:
    if file.closed:
        return
    try:
        file.flush()
        date_descriptor(file.fileno(), stamp)
    finally:
        close()
