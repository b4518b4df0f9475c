"""An account's files over SFTP and SCP: every path is one inside the account's root.

Knows asyncssh's server side of SFTP (draft-ietf-secsh-filexfer-02, which is version 3; § means it) and `FileRoot`. No name of the
host's users is shown.
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
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import asyncssh
from asyncssh.constants import FXP_STATUS
from asyncssh.packet import SSHPacket, String, UInt32
from asyncssh.sftp import (
    MAX_SFTP_PACKET_LEN,
    MAX_SFTP_READ_LEN,
    MAX_SFTP_WRITE_LEN,
    SFTPLimits,
    SFTPServerHandler,
    SFTPVFSAttrs,
)

from portyard.commons.accounts.model import Account
from portyard.commons.filestore.model import FileRoot
from portyard.commons.journal.model import SessionLog
from portyard.commons.scenario.model import Verdict
from portyard.ssh import extensions
from portyard.ssh.core.verbs import Status, parse_status
from portyard.ssh.core.words import printable
from portyard.ssh.operations import event_of, flag_words
from portyard.ssh.ruled import Ruled

VERSION = 3  # what OpenSSH speaks, and so every client
HANDLES = 256  # files and directories of one channel that are open at once
OWNER_ID = 1000  # what user and group number each account's files show
VOLUME = 1 << 40  # octets that `df` shows; nothing is really set aside
BLOCK = 4096
COPIED = 256 * 1024  # octets that copy-data moves at a time
_PERMISSION_BITS = 0o777


@dataclass(slots=True, eq=False)
class Handle:
    """An open file, and what went through it.

    Attributes:
        fd: Its descriptor.
        path: Its path inside the root.
        limit: Octets that it may grow to.
        date: Dates what was written.
        started: When it was opened, on the monotonic clock.
        sent: Octets that were read from it.
        received: Octets that were written to it.
        closed: Whether it is.
    """

    fd: int
    path: str
    limit: int
    date: Callable[[int], None]
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


class Files(asyncssh.SFTPServer):
    """What asyncssh asks of a file system.

    Args:
        chan: The channel.
        root: The account's files.
        account: Whose.
        pen: The journal's.
        limit: Octets of one upload.
        told: Whether each operation is noted; transfers and failures always are.
    """

    def __init__(
        self,
        chan: asyncssh.SSHServerChannel[bytes],
        root: FileRoot,
        account: Account,
        pen: SessionLog,
        limit: int,
        *,
        told: bool = True,
    ) -> None:
        super().__init__(chan)
        self._root = root
        self._owner = account.local_part
        self._pen = pen
        self._limit = limit
        self._told = told
        self._handles: set[Handle] = set()
        self._listings: weakref.WeakSet[Listing] = weakref.WeakSet()

    # Open files

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Handle:
        """Open a file in place, as sftp servers do, so that an upload can be resumed (§6.3)."""
        name = os.fsdecode(path)
        with self._noted(f"open {printable(name)} {flag_words(pflags)}"):
            self._demand_room()
            permissions = 0o666 if attrs.permissions is None else attrs.permissions & _PERMISSION_BITS
            fd = self._root.open_fd(name, _flags(pflags), permissions)
            handle = Handle(fd, posixpath.normpath("/" + name.lstrip("/")), self._limit, self._root.date)
            self._handles.add(handle)
            return handle

    def read(self, file_obj: object, offset: int, size: int) -> bytes:
        """Octets at an offset (§6.4)."""
        return _handle(file_obj).read(offset, size)

    def write(self, file_obj: object, offset: int, data: bytes) -> int:
        """Octets to an offset (§6.4)."""
        return _handle(file_obj).write(offset, data)

    def close(self, file_obj: object) -> None:
        """Close, and note what went through."""
        # A transfer by SCP that fails closes its file while the failure is on its way up.
        self._close(_handle(file_obj), complete=sys.exc_info()[0] is None)

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
        for direction, count in (("send", handle.sent), ("receive", handle.received)):
            if count or (direction == "receive" and not handle.sent):
                path = printable(handle.path)
                self._pen.event(
                    "transfer", direction=direction, path=path, bytes=count, seconds=seconds, complete=complete
                )

    def fstat(self, file_obj: object) -> asyncssh.SFTPAttrs:
        """An open file's attributes."""
        return attributes(os.fstat(_handle(file_obj).fd))

    def fsetstat(self, file_obj: object, attrs: asyncssh.SFTPAttrs) -> None:
        """Set an open file's attributes (§6.9)."""
        fd = _handle(file_obj).fd
        self._refuse_owner(attrs)
        if attrs.size is not None:
            self._demand_size(attrs.size)
            os.ftruncate(fd, attrs.size)
            self._root.date(fd)
        if attrs.permissions is not None:
            os.fchmod(fd, attrs.permissions & _PERMISSION_BITS)
        if attrs.atime is not None and attrs.mtime is not None:
            os.utime(fd, (attrs.atime, attrs.mtime))

    def fstatvfs(self, file_obj: object) -> SFTPVFSAttrs:
        """As `statvfs`."""
        return volume()

    def fsync(self, file_obj: object) -> Awaitable[None]:
        """See the file on the disk."""
        return asyncio.to_thread(os.fsync, _handle(file_obj).fd)

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
        with self._noted(f"setstat {_shown(path)} {_changes(attrs)}".rstrip()):
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


class Handler(SFTPServerHandler):
    """asyncssh's conversation, which also reports how it ended, and what we really grant.

    Args:
        files: The files.
        reader: From the client.
        writer: To the client.
        link: The connection.
    """

    def __init__(self, files: Files, reader: Any, writer: Any, link: Ruled) -> None:  # noqa: ANN401 - asyncssh's streams
        super().__init__(files, reader, writer, VERSION)
        self.files = files
        self._link = link
        self._lie: Status | None = None
        own: dict[int | bytes, Any] = {
            b"limits@openssh.com": Handler._process_limits,
            b"copy-data": Handler._process_copy_data,
            **extensions.HANDLERS,
        }
        known = [*self._extensions, *extensions.OURS]
        self._extensions = extensions.announced(link.quirks, known)
        handlers = {**self._packet_handlers, **own}
        absent = extensions.left_out(link.quirks, known)
        self._packet_handlers = {key: handler for key, handler in handlers.items() if key not in absent}
        self._return_types = {**self._return_types, **extensions.RETURNS}

    # Rules

    async def _process_packet(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        if self._link.armed:
            verdict = await self._judged(pkttype, packet)
            if verdict is not None:
                await self._obey(verdict, pkttype, pktid, packet)
                return
        await super()._process_packet(pkttype, pktid, packet)

    async def _judged(self, pkttype: int, packet: SSHPacket) -> Verdict | None:
        event = event_of(pkttype, SSHPacket(packet.get_remaining_payload()), self._path_of)
        if event is None:
            return None
        verb, fields = event
        if (
            verb == "sftp_symlink" and not self._nonstandard_symlink
        ):  # OpenSSH's clients send the link last, others first (§6.10)
            fields = {"path": fields["target"], "target": fields["path"]}
        return await self._link.judged(verb, **fields)

    def _path_of(self, handle: bytes) -> str:
        opened: Any = self._file_handles.get(handle) or self._dir_handles.get(handle)
        return "" if opened is None else str(opened.path)

    async def _obey(self, verdict: Verdict, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        if verdict.refuse is not None:
            self._send_status(pktid, parse_status(verdict.refuse))
        elif verdict.say is not None:
            self._lie = parse_status(verdict.say)
            await super()._process_packet(pkttype, pktid, packet)
        elif not (verdict.silence or verdict.hang_up):
            await super()._process_packet(pkttype, pktid, packet)
        self._link.end_as(verdict)

    def send_packet(self, pkttype: int, pktid: int | None, *args: bytes) -> None:
        """Send an answer, or in its place the status that a rule wants."""
        lie, self._lie = self._lie, None
        if lie is None or pktid is None:
            super().send_packet(pkttype, pktid, *args)
        else:
            self._send_status(pktid, lie)

    def _send_status(self, pktid: int, status: Status) -> None:
        self.files.note_answer(status.words)
        body = UInt32(pktid) + UInt32(status.code) + String(status.words) + String("")
        super().send_packet(FXP_STATUS, pktid, body)

    async def _process_limits(self, packet: SSHPacket) -> SFTPLimits:
        packet.check_end()
        return SFTPLimits(MAX_SFTP_PACKET_LEN, MAX_SFTP_READ_LEN, MAX_SFTP_WRITE_LEN, HANDLES)

    async def _process_copy_data(self, packet: SSHPacket) -> None:
        """draft-ietf-secsh-filexfer-extensions-00 §7, letting others run between pieces."""
        source, start, length = packet.get_string(), packet.get_uint64(), packet.get_uint64()
        target, goal = packet.get_string(), packet.get_uint64()
        packet.check_end()
        if source == target:  # §7 allows ranges that don't overlap; one that grows while it is read never ends
            raise asyncssh.SFTPInvalidParameter("a file can't be copied into itself")
        origin, copy = self._file_handles.get(source), self._file_handles.get(target)
        if origin is None or copy is None:
            raise asyncssh.SFTPInvalidHandle("Invalid file handle")
        if os.path.samestat(os.fstat(_handle(origin).fd), os.fstat(_handle(copy).fd)):
            raise asyncssh.SFTPInvalidParameter("a file can't be copied into itself")
        left = length or sys.maxsize  # §7: 0 means up to the end
        while left and (data := _handle(origin).read(start, min(left, COPIED))):
            _handle(copy).write(goal, data)
            start, goal, left = start + len(data), goal + len(data), left - len(data)
            await asyncio.sleep(0)

    async def recv_packets(self) -> None:
        """The conversation behind FXP_INIT."""
        if self._link.quirks.openssh_symlinks:
            self._nonstandard_symlink = True  # clients look at the server's version, asyncssh at the client's
        await super().recv_packets()

    async def _cleanup(self, exc: Exception | None) -> None:
        self.files.abandon()
        self._file_handles = {}
        if self._writer is not None:
            channel: Any = self._writer.channel
            channel.exit(0 if exc is None else 1)
        await super()._cleanup(exc)


def attributes(found: os.stat_result) -> asyncssh.SFTPAttrs:
    """A file's attributes, with no trace of the host's users."""
    return asyncssh.SFTPAttrs(
        size=found.st_size,
        uid=OWNER_ID,
        gid=OWNER_ID,
        permissions=found.st_mode,
        atime=_seconds(found.st_atime),
        mtime=_seconds(found.st_mtime),
        nlink=found.st_nlink,
        type=_kind(found.st_mode),
    )


def _seconds(moment: float) -> int:
    """§5: a time is a 32-bit number; what lies outside of it is shown as its nearest end."""
    return min(max(int(moment), 0), 0xFFFF_FFFF)


def volume() -> SFTPVFSAttrs:
    """The size that every account's files show."""
    blocks = VOLUME // BLOCK
    return SFTPVFSAttrs(
        bsize=BLOCK,
        frsize=BLOCK,
        blocks=blocks,
        bfree=blocks,
        bavail=blocks,
        files=blocks,
        ffree=blocks,
        favail=blocks,
        namemax=255,
    )


def _kind(mode: int) -> int:
    if stat.S_ISREG(mode):
        return asyncssh.FILEXFER_TYPE_REGULAR
    if stat.S_ISDIR(mode):
        return asyncssh.FILEXFER_TYPE_DIRECTORY
    if stat.S_ISLNK(mode):
        return asyncssh.FILEXFER_TYPE_SYMLINK
    return asyncssh.FILEXFER_TYPE_SPECIAL


_FLAG_BITS = (
    (asyncssh.FXF_APPEND, os.O_APPEND, "append"),
    (asyncssh.FXF_CREAT, os.O_CREAT, "create"),
    (asyncssh.FXF_TRUNC, os.O_TRUNC, "truncate"),
    (asyncssh.FXF_EXCL, os.O_EXCL, "exclusive"),
)
_BOTH = asyncssh.FXF_READ | asyncssh.FXF_WRITE


def _flags(pflags: int) -> int:
    """§6.3's flags as `os.open` has them."""
    access = {_BOTH: os.O_RDWR, asyncssh.FXF_WRITE: os.O_WRONLY}.get(pflags & _BOTH, os.O_RDONLY)
    if pflags & asyncssh.FXF_APPEND and not pflags & asyncssh.FXF_WRITE:
        access = os.O_WRONLY
    for bit, flag, _ in _FLAG_BITS:
        if pflags & bit:
            access |= flag
    return access


def _changes(attrs: asyncssh.SFTPAttrs) -> str:
    words = []
    if attrs.size is not None:
        words.append(f"size={attrs.size}")
    if attrs.permissions is not None:
        words.append(f"mode={attrs.permissions & _PERMISSION_BITS:04o}")
    if attrs.mtime is not None:
        words.append(f"mtime={attrs.mtime}")
    return " ".join(words)


def _handle(file_obj: object) -> Handle:
    assert isinstance(file_obj, Handle)
    if file_obj.closed:
        raise asyncssh.SFTPInvalidHandle("the file is closed")
    return file_obj


def _shown(path: bytes) -> str:
    return printable(os.fsdecode(path))
