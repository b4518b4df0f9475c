"""An account's files as pyftpdlib sees them: every path is one inside the account's root, and no real path is ever named."""

from __future__ import annotations

import errno
import os
import posixpath
import secrets
import stat
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import BinaryIO

from portyard.commons.filestore.model import FileRoot
from portyard.ftp.core.listing import facts_line, list_line, matches, numeric_line

_UNIQUE_TRIES = 50
OWNER_NUMBER = 1000  # whose a file is, where a listing shows numbers: the same that SFTP shows


class IncompleteUploadError(Exception):
    """Tells a draft that it was not finished."""


class Upload:
    """A file being received. `commit` makes it what the client wanted; closed without, it is undone as its kind allows.

    Args:
        file: What is written to.
        name: The path inside the root.
        limit: Octets that it may take.
        undo: What `close` does in place of closing the file, when nothing was committed.
        kept: What is done once it was committed.
    """

    def __init__(
        self,
        file: BinaryIO,
        name: str,
        limit: int,
        undo: Callable[[BinaryIO], None] | None = None,
        kept: Callable[[], None] | None = None,
    ) -> None:
        self._kept = kept
        self.name = name
        self._file = file
        self._left = limit
        self._undo = undo

    @property
    def closed(self) -> bool:
        """Whether it was committed or undone."""
        return self._file.closed

    def write(self, data: bytes) -> None:
        """The next octets.

        Raises:
            OSError: The disk refuses, or the limit is passed (EFBIG).
        """
        self._left -= len(data)
        if self._left < 0:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        self._file.write(data)

    def seek(self, offset: int) -> None:
        """Where writing goes on (REST)."""
        self._file.seek(offset)
        self._left -= offset

    def commit(self) -> None:
        """The upload is whole.

        Raises:
            OSError: It could not be kept; then it is undone.
        """
        self._file.close()
        if self._kept is not None:
            self._kept()

    def close(self) -> None:
        """Undo, unless it was committed."""
        if self._file.closed:
            return
        if self._undo is None:
            self._file.close()
        else:
            self._undo(self._file)


class Download:
    """A file being sent; has a descriptor for sendfile.

    Args:
        file: What is read.
        name: The path inside the root.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self.read = file.read
        self.seek = file.seek
        self.tell = file.tell
        self.fileno = file.fileno
        self.close = file.close
        self._file = file

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._file.closed


def abandon(draft: BinaryIO) -> None:
    """Leave a draft, so that the old file stays."""
    draft.__exit__(IncompleteUploadError, IncompleteUploadError(), None)


class Files:
    """pyftpdlib's file system object (its `AbstractedFS`), over a `FileRoot`.

    Args:
        root: The account's files.
        owner: Whose they are, for listings.
        limit: Octets of one upload.
        now: The testbed's time.
    """

    root = "/"

    def __init__(self, root: FileRoot, owner: str, limit: int, now: Callable[[], datetime]) -> None:
        self._root = root
        self._owner = owner
        self._limit = limit
        self._now = now
        self.cwd = "/"
        self.hides_dots = False  # leave names with a leading dot out of listings
        self.order = ""  # of listings: "t" by time, "r" the other way, as letters of ls
        self.numeric = False
        self.umask: int | None = None
        self.cmd_channel: object | None = None  # pyftpdlib sets it when a session ends

    # Paths

    def ftp2fs(self, path: str) -> str:
        """An absolute path: links and `..` are the root's to resolve, as the kernel would."""
        return path if path.startswith("/") else posixpath.join(self.cwd, path)

    ftpnorm = ftp2fs

    def fs2ftp(self, path: str) -> str:
        """A path as a reply shows it."""
        return posixpath.normpath("/" + path.lstrip("/"))

    def validpath(self, path: str) -> bool:
        """Every path is: the root resolves it inside itself."""
        return True

    def realpath(self, path: str) -> str:
        """The canonical path; one that leads nowhere is returned as it is, for the operation that follows to refuse."""
        try:
            return self._root.realpath(path)
        except OSError:
            return path

    def chdir(self, path: str) -> None:
        """Make a directory the current one."""
        if not stat.S_ISDIR(self._root.stat(path).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        self.cwd = self._root.realpath(path)

    # Files

    def retrieve(self, path: str) -> Download:
        """Open a file to send it."""
        return Download(self._root.open(path, "rb"), self.fs2ftp(path))

    def open(self, path: str, mode: str) -> Upload:
        """STOR "wb", a draft that takes its place at the end; APPE "ab" and REST "r+b", in place."""
        match mode:
            case "wb":
                return Upload(self._root.replace(path), self.fs2ftp(path), self._limit, abandon, self._masking(path))
            case "ab":
                # Opened first: an existing file counts towards the limit, and open() is what makes a missing one.
                file = self._root.open(path, "ab")
                return Upload(file, self.fs2ftp(path), self._limit - os.fstat(file.fileno()).st_size)
        return Upload(self._root.open(path, mode), self.fs2ftp(path), self._limit)

    def mkstemp(self, suffix: str = "", prefix: str = "", dir: str = "/") -> Upload:  # noqa: A002 - pyftpdlib's names
        """A new file of a name that nothing has (STOU), gone again when the upload breaks off."""
        for _ in range(_UNIQUE_TRIES):
            path = posixpath.join(dir, f"{prefix}{secrets.token_hex(4)}{suffix}")
            try:
                file = self._root.open(path, "xb")
            except FileExistsError:
                continue
            return Upload(file, self.fs2ftp(path), self._limit, partial(self._remove_open, path))
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), dir)

    def _remove_open(self, path: str, file: BinaryIO) -> None:
        file.close()
        self._root.unlink(path)

    def mkdir(self, path: str) -> None:
        """Make a directory."""
        if self.umask is None:
            self._root.mkdir(path)
        else:
            self._root.mkdir(path, 0o777 & ~self.umask)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        self._root.rmdir(path)

    def remove(self, path: str) -> None:
        """Remove a file or a link."""
        self._root.unlink(path)

    def rename(self, source: str, target: str) -> None:
        """Move."""
        self._root.rename(source, target)

    def chmod(self, path: str, mode: int) -> None:
        """Set permission bits."""
        self._root.chmod(path, mode)

    def utime(self, path: str, seconds: float) -> None:
        """Set the time of modification; that of access follows."""
        self._root.utime(path, seconds, seconds)

    def isfile(self, path: str) -> bool:
        """Whether it is a regular file, links followed."""
        return stat.S_ISREG(self._mode(path))

    def isdir(self, path: str) -> bool:
        """Whether it is a directory, links followed."""
        return stat.S_ISDIR(self._mode(path))

    def lexists(self, path: str) -> bool:
        """Whether the name is taken, by a broken link too."""
        try:
            self._root.lstat(path)
        except OSError:
            return False
        return True

    def getsize(self, path: str) -> int:
        """Octets."""
        return self._root.stat(path).st_size

    def getmtime(self, path: str) -> float:
        """Seconds since the epoch."""
        return self._root.stat(path).st_mtime

    def _mode(self, path: str) -> int:
        try:
            return self._root.stat(path).st_mode
        except OSError:
            return 0

    # Listings

    def list_lines(self, path: str) -> Iterator[str]:
        """LIST's lines: of a directory's entries, or of one file.

        Raises:
            OSError: There is nothing, or it may not be read; raised at once.
        """
        if self.isdir(path):
            return self._long(path, self._ordered(path))
        return self._long(posixpath.dirname(path), iter([(posixpath.basename(path), self._root.lstat(path))]))

    def matching_lines(self, folder: str, pattern: str) -> Iterator[str]:
        """LIST's lines of the entries that a pattern matches."""
        return self._long(folder, (entry for entry in self._entries(folder) if matches(entry[0], pattern)))

    def matching_names(self, folder: str, pattern: str) -> list[str]:
        """The names in a directory that a pattern matches."""
        return [name for name in self._root.list(folder) if matches(name, pattern)]

    def names(self, path: str) -> list[str]:
        """The names in a directory, or that of one file."""
        if self.isdir(path) and (self.order or self.hides_dots):
            return [name for name, _ in self._ordered(path)]
        if self.isdir(path):
            return self._root.list(path)
        self._root.lstat(path)
        return [posixpath.basename(path)]

    def facts_lines(self, path: str, facts: tuple[str, ...]) -> Iterator[str]:
        """MLSD's lines: facts are those of a link's target (RFC 3659 §7.5.2), one that leads nowhere is left out."""
        return self._facts(path, self._entries(path), facts)

    def facts_of(self, path: str, facts: tuple[str, ...]) -> str:
        """MLST's line, with the full path (RFC 3659 §7.3.1)."""
        return facts_line(self.fs2ftp(path), self._root.stat(path), facts)

    def _entries(self, path: str) -> Iterator[tuple[str, os.stat_result]]:
        self._root.stat(posixpath.join(path, "."))  # what is wrong is said now, not in the middle of a listing
        return self._root.scan(path)

    def _ordered(self, path: str) -> Iterator[tuple[str, os.stat_result]]:
        """A directory's entries as the listing's options want them."""
        entries = self._entries(path)
        if self.hides_dots:
            entries = (entry for entry in entries if not entry[0].startswith("."))
        if not self.order:
            return entries
        found = list(entries)
        if "a" in self.order:
            found = [(name, self._root.stat(posixpath.join(path, name))) for name in (".", "..")] + found
        if "t" in self.order:
            found.sort(key=lambda entry: -entry[1].st_mtime_ns)
        if "r" in self.order:
            found.reverse()
        return iter(found)

    def _masking(self, path: str) -> Callable[[], None] | None:
        """What gives a new file its permission bits once it is whole; None where nothing must."""
        if self.umask is None or self.lexists(path):
            return None
        return partial(self._root.chmod, path, 0o666 & ~self.umask)

    def _long(self, folder: str, entries: Iterator[tuple[str, os.stat_result]]) -> Iterator[str]:
        now = self._now()
        for name, found in entries:
            target = None
            if stat.S_ISLNK(found.st_mode):
                try:
                    target = self._root.readlink(posixpath.join(folder, name))
                except OSError:
                    continue
            if self.numeric:
                yield numeric_line(name, found, OWNER_NUMBER, now, target)
            else:
                yield list_line(name, found, self._owner, now, target)

    def _facts(
        self, folder: str, entries: Iterator[tuple[str, os.stat_result]], facts: tuple[str, ...]
    ) -> Iterator[str]:
        for name, found in entries:
            shown = found
            if stat.S_ISLNK(found.st_mode):
                try:
                    shown = self._root.stat(posixpath.join(folder, name))
                except OSError:
                    continue
            yield facts_line(name, shown, facts)
