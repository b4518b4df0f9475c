"""A file that grows out of sight and takes its place whole, or never."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import time
from pathlib import Path
from types import TracebackType

from portyard.commons.filestore.dating import Stamp, date_descriptor, date_entry, undated

ABANDONED_S = 3600  # a draft of this age that no process holds is removed
_BUFFER = 256 * 1024  # octets gathered before a write reaches the disk


class Draft(io.BufferedWriter):
    """Written beside the roots, renamed into place by `close`; left by an exception, or forgotten, it goes without a trace.

    Args:
        path: Where it grows; must not exist.
        directory: Descriptor of the target's directory, owned by the draft from now on.
        name: The target's name in it.
        permissions: The target's permission bits; None leaves what the umask gives.
        stamp: Dates it.
    """

    def __init__(self, path: Path, directory: int, name: str, permissions: int | None, stamp: Stamp = undated) -> None:
        self._stamp = stamp
        self._draft = path
        self._directory = directory
        self._target = name
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except OSError:
            os.close(directory)
            raise
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a draft that nobody holds is one that its process left behind
        if permissions is not None:
            os.fchmod(fd, permissions)
        super().__init__(io.FileIO(fd, "wb"), _BUFFER)

    def close(self) -> None:
        """Publish: what was written takes the target's place. A failed write or rename leaves the old file.

        Raises:
            OSError: The disk is full, the directory is gone, a directory took the name …
        """
        if self.closed:
            return
        try:
            self.flush()
            date_descriptor(self.fileno(), self._stamp)
            # Renamed before it is closed: a second name for an open file costs nothing, and an error is still ours to clean up.
            os.rename(self._draft, self._target, dst_dir_fd=self._directory)
            date_entry(self._directory, ".", self._stamp)
        except BaseException:
            self.discard()
            raise
        super().close()
        os.close(self._directory)

    def discard(self) -> None:
        """Give up: the old file, or nothing, stays."""
        if self.closed:
            return
        # What is still buffered must not reach a disk that may be full: close the file under the buffer.
        self.raw.close()
        with contextlib.suppress(OSError, ValueError):
            super().close()
        with contextlib.suppress(FileNotFoundError):
            self._draft.unlink()
        os.close(self._directory)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def __del__(self) -> None:
        # Without this, the interpreter would `close`, and so publish, a draft that was merely forgotten.
        with contextlib.suppress(AttributeError, ValueError):  # not yet made
            self.discard()


def sweep(folder: Path) -> None:
    """Remove what killed processes left behind; the drafts of running ones stay.

    Args:
        folder: Where drafts grow.
    """
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # published or removed meanwhile, or held
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if time.time() - os.fstat(fd).st_mtime > ABANDONED_S:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
            finally:
                os.close(fd)
