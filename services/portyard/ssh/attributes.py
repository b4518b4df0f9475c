"""Attributes and flags as SFTP has them (draft-ietf-secsh-filexfer-02, § means it), with no trace of the host's users."""

from __future__ import annotations

import os
import stat

import asyncssh
from asyncssh.sftp import SFTPVFSAttrs

from portyard.commons.filestore.model import accessed_at

OWNER_ID = 1000  # what user and group number each account's files show
VOLUME = 1 << 40  # octets that `df` shows; nothing is really set aside
BLOCK = 4096
PERMISSION_BITS = 0o777


def attributes(found: os.stat_result) -> asyncssh.SFTPAttrs:
    """A file's attributes, with no trace of the host's users."""
    return asyncssh.SFTPAttrs(
        size=found.st_size,
        uid=OWNER_ID,
        gid=OWNER_ID,
        permissions=found.st_mode,
        atime=_seconds(accessed_at(found)),
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


def open_flags(pflags: int) -> int:
    """§6.3's flags as `os.open` has them."""
    access = {_BOTH: os.O_RDWR, asyncssh.FXF_WRITE: os.O_WRONLY}.get(pflags & _BOTH, os.O_RDONLY)
    if pflags & asyncssh.FXF_APPEND and not pflags & asyncssh.FXF_WRITE:
        access = os.O_WRONLY
    for bit, flag, _ in _FLAG_BITS:
        if pflags & bit:
            access |= flag
    return access


def changes(attrs: asyncssh.SFTPAttrs) -> str:
    """What of a file is to be set, in words."""
    words = []
    if attrs.size is not None:
        words.append(f"size={attrs.size}")
    if attrs.permissions is not None:
        words.append(f"mode={attrs.permissions & PERMISSION_BITS:04o}")
    if attrs.mtime is not None:
        words.append(f"mtime={attrs.mtime}")
    return " ".join(words)
