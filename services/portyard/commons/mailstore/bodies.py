"""Large bodies as files under `bodies/`: written, renamed, then referenced by a row; removed after their row.

A file without a row belongs to a write under way or to a process that was killed in one; the second kind is swept at start, by age.
"""

from __future__ import annotations

import errno
import os
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from portyard.commons.database.engine import StateDirectoryError
from portyard.commons.mailstore.model import MailstoreError, MessageGoneError, StoreFullError

ORPHAN_AGE_S = 3600.0  # no write takes that long
BALLAST_OCTETS = 2 << 20  # what is thrown overboard so that a full disk still takes the writes that make room
SHORT_OCTETS = 16 << 20  # with less left on the disk, what only might still be read makes room for what comes
_DRAFT = ".part"
_BALLAST = "ballast"


class BodyFiles:
    """The folder of bodies.

    Args:
        folder: `bodies/` of the state directory; made when missing.

    Raises:
        StateDirectoryError: It can't be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise StateDirectoryError.of(folder, error) from error
        self.take_ballast()

    def take_ballast(self) -> None:
        """Keep some room that nobody else can take, unless it is kept already or there is none."""
        path = self.folder.parent / _BALLAST
        with suppress(OSError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, BALLAST_OCTETS)
            except OSError:
                path.unlink()
            finally:
                os.close(descriptor)

    def drop_ballast(self) -> bool:
        """Give that room up; whether there was any."""
        try:
            (self.folder.parent / _BALLAST).unlink()
        except OSError:
            return False
        return True

    def is_short(self) -> bool:
        """Whether hardly any room is left."""
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize < SHORT_OCTETS

    def write(self, octets: bytes) -> str:
        """Write a body's file; its name. Blocks: for a thread.

        Raises:
            StoreFullError: The disk is full; nothing is left.
            MailstoreError: It can't be written.
        """
        name = uuid.uuid4().hex
        draft = self.folder / (name + _DRAFT)
        try:
            draft.write_bytes(octets)
            draft.rename(self.folder / name)
        except OSError as error:
            self.remove(name + _DRAFT)
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise StoreFullError(f"{self.folder}: no room to write ({os.strerror(error.errno).lower()})") from error
            raise MailstoreError(f"{draft}: {error.strerror}") from error
        return name

    def read(self, name: str, start: int, length: int) -> bytes:
        """A piece of a body.

        Raises:
            MessageGoneError: There is no such file any more.
        """
        try:
            descriptor = os.open(self.folder / name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise MessageGoneError("the message's octets are gone") from None
        try:
            return os.pread(descriptor, length, start)
        finally:
            os.close(descriptor)

    def remove(self, name: str) -> None:
        """Remove a file; fine when there is none."""
        with suppress(OSError):
            (self.folder / name).unlink(missing_ok=True)

    def old_files(self) -> list[str]:
        """Names of files that have lain long enough to have a row if they ever will. Blocks: for a thread."""
        before = time.time() - ORPHAN_AGE_S
        found = []
        with os.scandir(self.folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.stat().st_mtime < before:
                        found.append(entry.name)
        return found

    def remove_all(self, names: Iterable[str]) -> None:
        """Remove several. Blocks: for a thread."""
        for name in names:
            self.remove(name)
