"""A channel's open files, and directories that are being read (draft-ietf-secsh-filexfer-02 §6)."""

from __future__ import annotations

import errno
import os
import posixpath
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import asyncssh
from asyncssh.sftp import MAX_SFTP_READ_LEN

from portyard.commons.filestore.model import FileRoot
from portyard.ssh.attributes import attributes

HANDLES = 256  # files and directories of one channel that are open at once


@dataclass(slots=True, eq=False)
class Handle:
    """An open file, and what went through it.

    Attributes:
        fd: Its descriptor.
        path: Its path inside the root.
        limit: Octets that it may grow to.
        date: Dates what was written.
        writing: Whether it was opened to be written to.
        started: When it was opened, on the monotonic clock.
        sent: Octets that were read from it.
        received: Octets that were written to it.
        closed: Whether it is.
    """

    fd: int
    path: str
    limit: int
    date: Callable[[int], None]
    writing: bool = True
    started: float = field(default_factory=time.monotonic)
    sent: int = 0
    received: int = 0
    closed: bool = False

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Where data or a hole begins; reading and writing name their own offsets."""
        return os.lseek(self.fd, offset, whence)

    def read(self, offset: int, size: int) -> bytes:
        """Octets at an offset; none at the end."""
        data = os.pread(self.fd, min(size, MAX_SFTP_READ_LEN), offset)
        self.sent += len(data)
        return data

    def write(self, offset: int, data: bytes) -> int:
        """Write all of it, at an offset, or at the end of a file that was opened to be appended to.

        Raises:
            OSError: The disk refuses, or the limit is passed (EFBIG).
        """
        if offset + len(data) > self.limit:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), self.path)
        view = memoryview(data)
        while view:
            count = os.pwrite(self.fd, view, offset)
            view = view[count:]
            offset += count
        self.received += len(data)
        self.date(self.fd)
        return len(data)


class Listing:
    """A directory that is being read: the names as they were when it was opened, each looked at when its turn comes.

    Attributes:
        path: Its path inside the root.
    """

    def __init__(self, root: FileRoot, path: str, names: list[str]) -> None:
        self._root = root
        self.path = path
        self._names = iter([".", "..", *names])

    def __aiter__(self) -> AsyncIterator[asyncssh.SFTPName]:
        return self

    async def __anext__(self) -> asyncssh.SFTPName:
        for name in self._names:
            try:
                found = self._root.lstat(posixpath.join(self.path, name))
            except OSError:
                continue  # it vanished meanwhile
            return asyncssh.SFTPName(os.fsencode(name), attrs=attributes(found))
        raise StopAsyncIteration


def handle_of(file_obj: object) -> Handle:
    """What stands behind the library's file object.

    Raises:
        asyncssh.SFTPInvalidHandle: It is closed.
    """
    assert isinstance(file_obj, Handle)
    if file_obj.closed:
        raise asyncssh.SFTPInvalidHandle("the file is closed")
    return file_obj
