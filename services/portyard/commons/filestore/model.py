"""An account's files, and the interface of their store.

Every path is POSIX, absolute inside the account's root ("/" is the root), as in a chroot: ".." at the root stays there, a symbolic link
is followed inside the root only, and nothing names a file outside. Calls are synchronous: they are local and short.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import BinaryIO, Protocol

from portyard.commons.accounts.model import Account


class FileRoot(Protocol):
    """One account's files. Errors are the operating system's own (`FileNotFoundError`, `PermissionError`, `OSError` with errno)."""

    def open(self, path: str, mode: str = "rb") -> BinaryIO:
        """Open a regular file: "rb", "wb", "ab", "r+b", "xb". A device, FIFO or socket is refused with PermissionError."""

    def open_fd(self, path: str, flags: int, permissions: int = 0o644) -> int:
        """A descriptor by os.open's flags, checked as `open` does."""

    def replace(self, path: str) -> BinaryIO:
        """A file that takes `path`'s place when closed without error, so that readers see the old or the new, never half.

        Left by an exception (`with`, or `__exit__` called with one), or forgotten, it goes without a trace and the old file stays.
        """

    def stat(self, path: str) -> os.stat_result:
        """Follows links inside the root."""

    def lstat(self, path: str) -> os.stat_result:
        """Doesn't follow the last component."""

    def list(self, path: str) -> list[str]:
        """Names in a directory, sorted."""

    def scan(self, path: str) -> Iterator[tuple[str, os.stat_result]]:
        """Names in a directory, sorted, each with its `lstat`; one that vanishes meanwhile is left out."""

    def mkdir(self, path: str, permissions: int = 0o755) -> None:
        """Make one directory."""

    def rmdir(self, path: str) -> None:
        """Remove an empty directory; the root is refused."""

    def unlink(self, path: str) -> None:
        """Remove a file or a link."""

    def rename(self, source: str, target: str) -> None:
        """Move within the root, replacing a file."""

    def symlink(self, target: str, path: str) -> None:
        """Make a link; `target` is kept as given and means a place inside the root."""

    def link(self, source: str, path: str) -> None:
        """Make a hard link inside the root."""

    def readlink(self, path: str) -> str:
        """A link's target as given."""

    def realpath(self, path: str) -> str:
        """The canonical path inside the root, links followed; the last component may be missing."""

    def chmod(self, path: str, permissions: int) -> None:
        """Set permission bits (the set-user and set-group bits are dropped)."""

    def date(self, fd: int) -> None:
        """Date a descriptor of `open_fd` that was written to by the sandbox's clock, where that isn't the machine's."""

    def utime(self, path: str, accessed: float, modified: float) -> None:
        """Set times, in seconds since the epoch."""

    def truncate(self, path: str, size: int) -> None:
        """Set a file's length in octets."""


class Filestore(Protocol):
    """Every account's root."""

    def root(self, account: Account) -> FileRoot:
        """The account's root, made when missing."""

    def forget(self, account: Account) -> None:
        """Remove an account's root with all that is in it; another generation's root of the same address stays."""


def accessed_at(found: os.stat_result) -> float:
    """When a name was last accessed, in seconds since the epoch: as it was dated when it was made or written, or as somebody set it.

    To be read doesn't date a file or a directory; to be followed would date a link, by the machine's clock.
    """
    return found.st_mtime if stat.S_ISLNK(found.st_mode) else found.st_atime
