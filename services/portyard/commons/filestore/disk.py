"""The filestore on a disk: `files/<sandbox>/<account>/`, each a root that nothing leads out of.

Knows directories and operations on files; `walk.py` knows paths. Besides the accounts' folders there is `files/.drafts/`, where
replacements grow: on the same file system, so that renaming them is atomic, and outside every root, so that nobody lists or meets one.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import quote

from portyard.commons.accounts.model import Account
from portyard.commons.filestore.dating import Stamp, date_descriptor, date_entry, dated, open_undated, undated
from portyard.commons.filestore.draft import Draft, sweep
from portyard.commons.filestore.walk import Place, find

PERMISSION_BITS = 0o777  # set-user, set-group and sticky bits are never set
_OPEN_MODES = {
    "rb": os.O_RDONLY,
    "wb": os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    "ab": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
    "r+b": os.O_RDWR,
    "xb": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
}
# What a caller may ask of a descriptor; everything else (O_PATH, O_TMPFILE, O_DIRECTORY …) is dropped.
_ALLOWED_FLAGS = os.O_ACCMODE | os.O_CREAT | os.O_EXCL | os.O_TRUNC | os.O_APPEND | os.O_SYNC | os.O_DSYNC
_FORCED_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
_NAME_LIMIT = 200  # octets of a folder's name before it is cut and told apart by a digest; file systems take 255

_ATTEMPTS = 10


class DiskFilestore:
    """Every account's root under one folder.

    Args:
        folder: `files/` of the state directory; made when missing.
        stamp: A sandbox's time, in seconds since 1970, where it isn't the machine's.
    """

    def __init__(self, folder: Path, stamp: Callable[[str], float | None] = lambda _: None) -> None:
        self._folder = folder
        self._stamp = stamp
        self._drafts = folder / ".drafts"
        self._drafts.mkdir(mode=0o700, parents=True, exist_ok=True)
        sweep(self._drafts)

    def root(self, account: Account) -> DiskRoot:
        """The account's root, made when missing."""
        folder = self._place(account)
        for _ in range(_ATTEMPTS):
            with suppress(FileNotFoundError):  # somebody swept the sandbox's empty folder away in between
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                break
        return DiskRoot(folder, self._drafts, partial(self._stamp, account.sandbox))

    def forget(self, account: Account) -> None:
        """Remove an account's root with all that is in it; another generation's root of the same address stays."""
        folder = self._place(account)
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # others live there
            folder.parent.rmdir()

    def _place(self, account: Account) -> Path:
        """Where the root lies. Once a sandbox was reset (or begun anew) the account's number tells its roots apart."""
        name = safe_name(account.address.lower())
        mark = f"~{account.id}" if account.generation > 1 else ""
        return self._folder / safe_name(account.sandbox) / f"{name}{mark}"


class DiskRoot:
    """One account's files; every method's contract stands in `model.FileRoot`.

    Args:
        folder: The real directory that "/" means.
        drafts: A directory on the same file system, outside every root.
        stamp: Dates what is written.
    """

    def __init__(self, folder: Path, drafts: Path, stamp: Stamp = undated) -> None:
        self._folder = folder
        self._drafts = drafts
        self._stamp = stamp

    def open(self, path: str, mode: str = "rb") -> BinaryIO:
        """Open a regular file: "rb", "wb", "ab", "r+b", "xb"."""
        flags = _OPEN_MODES.get(mode)
        if flags is None:
            raise ValueError(f"mode {mode!r}: expected one of {', '.join(_OPEN_MODES)}")
        # A descriptor knows no "x": what it means was done by open_fd.
        fd = self.open_fd(path, flags)
        return os.fdopen(fd, "rb") if mode == "rb" else dated(fd, mode.replace("x", "w"), self._stamp)

    def open_fd(self, path: str, flags: int, permissions: int = 0o644) -> int:
        """A descriptor by os.open's flags, checked as `open` does."""
        exclusive = flags & os.O_CREAT and flags & os.O_EXCL
        with find(self._folder, path, follow=not exclusive) as place:
            # Looked at before it is opened, because opening a device or a FIFO already does something.
            before = _found(place)
            _demand_regular(before, path)
            fd = open_undated(
                place.name,
                (flags & _ALLOWED_FLAGS) | _FORCED_FLAGS,
                permissions & PERMISSION_BITS,
                directory=place.directory,
            )
            if before is None:
                date_entry(place.directory, ".", self._stamp)
        try:
            _demand_regular(os.fstat(fd), path)
            if before is None or flags & os.O_TRUNC:
                self.date(fd)
        except OSError:
            os.close(fd)
            raise
        return fd

    def replace(self, path: str) -> BinaryIO:
        """A file that takes `path`'s place when closed without error; it keeps the old file's permission bits."""
        with find(self._folder, path, follow=True) as place:
            if path.endswith("/"):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
            old = _found(place)
            _demand_regular(old, path)
            permissions = None if old is None else stat.S_IMODE(old.st_mode) & PERMISSION_BITS
            draft = self._drafts / secrets.token_hex(16)
            return cast(BinaryIO, Draft(draft, os.dup(place.directory), place.name, permissions, self._stamp))

    def stat(self, path: str) -> os.stat_result:
        """Follows links inside the root."""
        with find(self._folder, path, follow=True) as place:
            return os.stat(place.name, dir_fd=place.directory, follow_symlinks=False)

    def lstat(self, path: str) -> os.stat_result:
        """Doesn't follow the last component."""
        with find(self._folder, path, follow=False) as place:
            return os.stat(place.name, dir_fd=place.directory, follow_symlinks=False)

    def list(self, path: str) -> list[str]:
        """Names in a directory, sorted."""
        with self._directory(path) as fd:
            return sorted(os.listdir(fd))

    def scan(self, path: str) -> Iterator[tuple[str, os.stat_result]]:
        """Names in a directory, sorted, each with its `lstat`; one that vanishes meanwhile is left out."""
        with self._directory(path) as fd:
            for name in sorted(os.listdir(fd)):
                try:
                    found = os.stat(name, dir_fd=fd, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                yield name, found

    def mkdir(self, path: str, permissions: int = 0o755) -> None:
        """Make one directory."""
        with find(self._folder, path, follow=False) as place:
            os.mkdir(place.name, permissions & PERMISSION_BITS, dir_fd=place.directory)
            self._date_new(place)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory; the root is refused."""
        with self._entry(path) as place:
            os.rmdir(place.name, dir_fd=place.directory)
            date_entry(place.directory, ".", self._stamp)

    def unlink(self, path: str) -> None:
        """Remove a file or a link."""
        with find(self._folder, path, follow=False) as place:
            os.unlink(place.name, dir_fd=place.directory)
            date_entry(place.directory, ".", self._stamp)

    def rename(self, source: str, target: str) -> None:
        """Move within the root, replacing a file."""
        with self._entry(source) as old, self._entry(target) as new:
            os.rename(old.name, new.name, src_dir_fd=old.directory, dst_dir_fd=new.directory)
            date_entry(old.directory, ".", self._stamp)
            date_entry(new.directory, ".", self._stamp)

    def symlink(self, target: str, path: str) -> None:
        """Make a link; `target` is kept as given and means a place inside the root."""
        if "\0" in target:
            raise OSError(errno.EINVAL, "a name can't hold NUL")
        with self._entry(path) as place:
            os.symlink(target, place.name, dir_fd=place.directory)
            self._date_new(place)

    def link(self, source: str, path: str) -> None:
        """Make a hard link inside the root."""
        with self._entry(source) as old, self._entry(path) as new:
            os.link(old.name, new.name, src_dir_fd=old.directory, dst_dir_fd=new.directory, follow_symlinks=False)
            date_entry(new.directory, ".", self._stamp)

    def readlink(self, path: str) -> str:
        """A link's target as given."""
        with find(self._folder, path, follow=False) as place:
            return os.readlink(place.name, dir_fd=place.directory)

    def realpath(self, path: str) -> str:
        """The canonical path inside the root, links followed; the last component may be missing."""
        with find(self._folder, path, follow=True) as place:
            return place.canonical

    def chmod(self, path: str, permissions: int) -> None:
        """Set permission bits (the set-user and set-group bits are dropped)."""
        with find(self._folder, path, follow=True) as place:
            # By way of an O_PATH descriptor, so that a file which may not be read can still be made readable again.
            fd = os.open(place.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.directory)
            try:
                if stat.S_ISLNK(os.fstat(fd).st_mode):  # swapped in since it was followed
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                os.chmod(f"/proc/self/fd/{fd}", permissions & PERMISSION_BITS)
            finally:
                os.close(fd)

    def utime(self, path: str, accessed: float, modified: float) -> None:
        """Set times, in seconds since the epoch."""
        with find(self._folder, path, follow=True) as place:
            os.utime(place.name, (accessed, modified), dir_fd=place.directory, follow_symlinks=False)

    def truncate(self, path: str, size: int) -> None:
        """Set a file's length in octets."""
        fd = self.open_fd(path, os.O_WRONLY)
        try:
            os.ftruncate(fd, size)
            self.date(fd)
        finally:
            os.close(fd)

    def date(self, fd: int) -> None:
        """See `FileRoot.date`."""
        date_descriptor(fd, self._stamp)

    def _date_new(self, place: Place) -> None:
        date_entry(place.directory, place.name, self._stamp)
        date_entry(place.directory, ".", self._stamp)

    @contextmanager
    def _entry(self, path: str) -> Iterator[Place]:
        """A name that may be moved or removed: not the root."""
        with find(self._folder, path, follow=False) as place:
            if place.is_root:
                raise PermissionError(errno.EPERM, "the root stays", path)
            yield place

    @contextmanager
    def _directory(self, path: str) -> Iterator[int]:
        with find(self._folder, path, follow=True) as place:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = open_undated(place.name, flags, directory=place.directory)
        try:
            yield fd
        finally:
            os.close(fd)


def safe_name(name: str) -> str:
    """A folder's name for a sandbox or an address: octets outside letters, digits and `@+-_.` as %XX, no leading dot.

    Names are told apart whatever their length; a long one ends in a digest of the whole.
    """
    quoted = quote(name, safe="@+", errors="surrogateescape").replace("~", "%7E")
    if quoted.startswith("."):
        quoted = "%2E" + quoted[1:]
    if len(quoted) <= _NAME_LIMIT:
        return quoted
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
    return f"{quoted[: _NAME_LIMIT - 33]}~{digest}"


def _found(place: Place) -> os.stat_result | None:
    try:
        return os.stat(place.name, dir_fd=place.directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _demand_regular(found: os.stat_result | None, path: str) -> None:
    """Only regular files are opened; what is missing or a link is left to the call that follows."""
    if found is None or stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):
        return
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    raise PermissionError(errno.EACCES, "not a regular file", path)
