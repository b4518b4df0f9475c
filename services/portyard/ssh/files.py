"""An account's files over SFTP and SCP: every path is one inside the account's root.

Knows what asyncssh asks of a file system (draft-ietf-secsh-filexfer-02, § means it) and `FileRoot`. No name of the host's users is shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import posixpath
import stat
import sys
import time
import weakref
from collections.abc import Awaitable, Iterator

import asyncssh
from asyncssh.sftp import SFTPVFSAttrs

from portyard.commons.accounts.model import Account
from portyard.commons.clock import Clock
from portyard.commons.filestore.model import FileRoot
from portyard.commons.journal.model import SessionLog
from portyard.ssh.attributes import OWNER_ID, PERMISSION_BITS, attributes, changes, open_flags, volume
from portyard.ssh.core.words import listed_time, printable
from portyard.ssh.handles import HANDLES, Handle, Listing, handle_of
from portyard.ssh.operations import flag_words


class Files(asyncssh.SFTPServer):
    """What asyncssh asks of a file system.

    Args:
        chan: The channel.
        root: The account's files.
        account: Whose.
        pen: The journal's.
        limit: Octets of one upload.
        clock: The account's sandbox's time.
        told: Whether each operation is noted; transfers and failures always are.
    """

    def __init__(
        self,
        chan: asyncssh.SSHServerChannel[bytes],
        root: FileRoot,
        account: Account,
        pen: SessionLog,
        limit: int,
        clock: Clock,
        *,
        told: bool = True,
    ) -> None:
        super().__init__(chan)
        self._root = root
        self._owner = account.local_part
        self._pen = pen
        self._limit = limit
        self._clock = clock
        self._told = told
        self._handles: set[Handle] = set()
        self._listings: weakref.WeakSet[Listing] = weakref.WeakSet()

    # Open files

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Handle:
        """Open a file in place, as sftp servers do, so that an upload can be resumed (§6.3)."""
        name = os.fsdecode(path)
        with self._noted(f"open {printable(name)} {flag_words(pflags)}"):
            self._demand_room()
            permissions = 0o666 if attrs.permissions is None else attrs.permissions & PERMISSION_BITS
            flags = open_flags(pflags)
            fd = self._root.open_fd(name, flags, permissions)
            writing = bool(flags & os.O_ACCMODE)
            inside = posixpath.normpath("/" + name.lstrip("/"))
            handle = Handle(fd, inside, self._limit, self._root.date, writing=writing)
            self._handles.add(handle)
            return handle

    def read(self, file_obj: object, offset: int, size: int) -> bytes:
        """Octets at an offset (§6.4)."""
        return handle_of(file_obj).read(offset, size)

    def write(self, file_obj: object, offset: int, data: bytes) -> int:
        """Octets to an offset (§6.4)."""
        return handle_of(file_obj).write(offset, data)

    def close(self, file_obj: object) -> None:
        """Close, and note what went through."""
        # A transfer by SCP that fails closes its file while the failure is on its way up.
        self._close(handle_of(file_obj), complete=sys.exc_info()[0] is None)

    def abandon(self) -> None:
        """The channel is gone: what is still open was not finished."""
        for handle in list(self._handles):
            self._close(handle, complete=False)

    def _close(self, handle: Handle, *, complete: bool) -> None:
        if handle.closed:
            return
        handle.closed = True
        self._handles.discard(handle)
        os.close(handle.fd)
        seconds = round(time.monotonic() - handle.started, 6)
        meant = "receive" if handle.writing else "send"  # where nothing went through
        for direction, count in (("send", handle.sent), ("receive", handle.received)):
            if count or (direction == meant and not handle.sent):
                path = printable(handle.path)
                self._pen.event(
                    "transfer", direction=direction, path=path, bytes=count, seconds=seconds, complete=complete
                )

    def fstat(self, file_obj: object) -> asyncssh.SFTPAttrs:
        """An open file's attributes."""
        return attributes(os.fstat(handle_of(file_obj).fd))

    def fsetstat(self, file_obj: object, attrs: asyncssh.SFTPAttrs) -> None:
        """Set an open file's attributes (§6.9)."""
        fd = handle_of(file_obj).fd
        self._refuse_owner(attrs)
        if attrs.size is not None:
            self._demand_size(attrs.size)
            os.ftruncate(fd, attrs.size)
            self._root.date(fd)
        if attrs.permissions is not None:
            os.fchmod(fd, attrs.permissions & PERMISSION_BITS)
        if attrs.atime is not None and attrs.mtime is not None:
            os.utime(fd, (attrs.atime, attrs.mtime))

    def fstatvfs(self, file_obj: object) -> SFTPVFSAttrs:
        """As `statvfs`."""
        return volume()

    def fsync(self, file_obj: object) -> Awaitable[None]:
        """See the file on the disk."""
        return asyncio.to_thread(os.fsync, handle_of(file_obj).fd)

    # Names

    def stat(self, path: bytes) -> asyncssh.SFTPAttrs:
        """Attributes, a link followed inside the root (§6.8)."""
        with self._noted(f"stat {_shown(path)}"):
            return attributes(self._root.stat(os.fsdecode(path)))

    def lstat(self, path: bytes) -> asyncssh.SFTPAttrs:
        """Attributes, of a link itself (§6.8)."""
        with self._noted(f"lstat {_shown(path)}"):
            return attributes(self._root.lstat(os.fsdecode(path)))

    def setstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """Set length, permission bits and times (§6.9)."""
        name = os.fsdecode(path)
        with self._noted(f"setstat {_shown(path)} {changes(attrs)}".rstrip()):
            self._refuse_owner(attrs)
            if attrs.size is not None:
                self._demand_size(attrs.size)
                self._root.truncate(name, attrs.size)
            if attrs.permissions is not None:
                self._root.chmod(name, attrs.permissions)
            if attrs.atime is not None and attrs.mtime is not None:
                self._root.utime(name, attrs.atime, attrs.mtime)

    def lsetstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """As `setstat`; a link itself has nothing that can be set."""
        if stat.S_ISLNK(self._root.lstat(os.fsdecode(path)).st_mode):
            raise asyncssh.SFTPOpUnsupported("a symbolic link's attributes can't be set")
        self.setstat(path, attrs)

    def scandir(self, path: bytes) -> Listing:
        """A directory's entries; what is wrong with it is said now (§6.7)."""
        name = os.fsdecode(path)
        with self._noted(f"opendir {_shown(path)}"):
            self._demand_room()
            listing = Listing(self._root, posixpath.normpath("/" + name.lstrip("/")), self._root.list(name))
            self._listings.add(listing)
            return listing

    def remove(self, path: bytes) -> None:
        """Remove a file or a link (§6.5)."""
        with self._noted(f"remove {_shown(path)}"):
            self._root.unlink(os.fsdecode(path))

    def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """Make a directory (§6.6)."""
        with self._noted(f"mkdir {_shown(path)}"):
            self._root.mkdir(os.fsdecode(path), 0o777 if attrs.permissions is None else attrs.permissions)

    def rmdir(self, path: bytes) -> None:
        """Remove an empty directory (§6.6)."""
        with self._noted(f"rmdir {_shown(path)}"):
            self._root.rmdir(os.fsdecode(path))

    def realpath(self, path: bytes) -> bytes:
        """The canonical path (§6.11)."""
        with self._noted(f"realpath {_shown(path)}"):
            return os.fsencode(self._root.realpath(os.fsdecode(path)))

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Move; an existing target is an error (§6.5)."""
        old, new = os.fsdecode(oldpath), os.fsdecode(newpath)
        with self._noted(f"rename {printable(old)} {printable(new)}"):
            with contextlib.suppress(FileNotFoundError):
                self._root.lstat(new)
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new)
            self._root.rename(old, new)

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Move, replacing a file."""
        with self._noted(f"posix-rename {_shown(oldpath)} {_shown(newpath)}"):
            self._root.rename(os.fsdecode(oldpath), os.fsdecode(newpath))

    def readlink(self, path: bytes) -> bytes:
        """A link's target as it was given (§6.10)."""
        with self._noted(f"readlink {_shown(path)}"):
            return os.fsencode(self._root.readlink(os.fsdecode(path)))

    def symlink(self, oldpath: bytes, newpath: bytes) -> None:
        """Make a link; wherever it points, it means a place inside the root (§6.10)."""
        with self._noted(f"symlink {_shown(oldpath)} {_shown(newpath)}"):
            self._root.symlink(os.fsdecode(oldpath), os.fsdecode(newpath))

    def link(self, oldpath: bytes, newpath: bytes) -> None:
        """Make a hard link."""
        with self._noted(f"link {_shown(oldpath)} {_shown(newpath)}"):
            self._root.link(os.fsdecode(oldpath), os.fsdecode(newpath))

    def statvfs(self, path: bytes) -> SFTPVFSAttrs:
        """A volume's size, the same for everybody."""
        with self._noted(f"statvfs {_shown(path)}"):
            self._root.stat(os.fsdecode(path))
            return volume()

    def format_longname(self, name: asyncssh.SFTPName) -> None:
        """A line of a directory as `ls -l` shows it (§7): asyncssh's knows the machine's time alone, and its zone."""
        attrs = name.attrs
        mode, links, size = stat.filemode(attrs.permissions or 0), attrs.nlink or 1, attrs.size or 0
        modified = listed_time(attrs.mtime or 0, self._clock.now())
        told = f"{mode} {links:>4} {self._owner:8} {self._owner:8} {size:>8} {modified} "
        name.longname = told.encode() + os.fsencode(name.filename)

    def format_user(self, uid: int | None) -> str:
        """The account's local part: no user of the host is looked up."""
        return self._owner

    def format_group(self, gid: int | None) -> str:
        """As the user."""
        return self._owner

    def name_of(self, number: int) -> str:
        """Whose number of a user or group it is; "" for nobody's."""
        return self._owner if number == OWNER_ID else ""

    # Helpers

    def note_answer(self, words: str) -> None:
        """Note what a rule answered."""
        self._pen.reply(printable(words))

    def _demand_room(self) -> None:
        if len(self._handles) + len(self._listings) >= HANDLES:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def _demand_size(self, size: int) -> None:
        if size > self._limit:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

    def _refuse_owner(self, attrs: asyncssh.SFTPAttrs) -> None:
        if attrs.uid not in (None, OWNER_ID) or attrs.gid not in (None, OWNER_ID):
            raise asyncssh.SFTPPermissionDenied("files stay their owner's")

    @contextlib.contextmanager
    def _noted(self, text: str) -> Iterator[None]:
        if self._told:
            self._pen.command(f"sftp {text}")
        try:
            yield
        except PermissionError as error:  # EPERM has no code of its own, and EACCES means the same to a client
            self._fail(text, error.strerror or str(error))
            raise asyncssh.SFTPPermissionDenied(error.strerror or str(error)) from None
        except OSError as error:
            self._fail(text, error.strerror or str(error))
            raise
        except asyncssh.SFTPError as error:
            self._fail(text, error.reason)
            raise
        if self._told:
            self._pen.reply("ok")

    def _fail(self, text: str, reason: str) -> None:
        self._pen.reply(reason if self._told else f"{text}: {reason}")


def _shown(path: bytes) -> str:
    return printable(os.fsdecode(path))
