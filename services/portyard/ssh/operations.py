"""SFTP's requests as events: which verb, about which path, where in the file (draft-ietf-secsh-filexfer-02 §6, §8)."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable

import asyncssh
from asyncssh import constants
from asyncssh.packet import PacketDecodeError, SSHPacket

from portyard.commons.scenario.model import Scalar
from portyard.ssh.core.words import printable

PathOf = Callable[[bytes], str]
"""The path behind a handle; "" where there is none."""

_NAMED = {
    constants.FXP_OPEN: "open",
    constants.FXP_LSTAT: "lstat",
    constants.FXP_SETSTAT: "setstat",
    constants.FXP_OPENDIR: "opendir",
    constants.FXP_REMOVE: "remove",
    constants.FXP_MKDIR: "mkdir",
    constants.FXP_RMDIR: "rmdir",
    constants.FXP_REALPATH: "realpath",
    constants.FXP_STAT: "stat",
    constants.FXP_RENAME: "rename",
    constants.FXP_READLINK: "readlink",
    constants.FXP_SYMLINK: "symlink",
}
_OPEN = {
    constants.FXP_CLOSE: "close",
    constants.FXP_READ: "read",
    constants.FXP_WRITE: "write",
    constants.FXP_FSTAT: "fstat",
    constants.FXP_FSETSTAT: "fsetstat",
    constants.FXP_READDIR: "readdir",
}
_EXTENDED_NAMED = {
    b"posix-rename@openssh.com": "rename",
    b"hardlink@openssh.com": "link",
    b"lsetstat@openssh.com": "setstat",
    b"statvfs@openssh.com": "statvfs",
    b"expand-path@openssh.com": "realpath",
}
_EXTENDED_OPEN = {b"fstatvfs@openssh.com": "statvfs", b"fsync@openssh.com": "fsync", b"copy-data": "copy"}
_PAIRS = frozenset({"rename", "link", "symlink"})

_FLAGS = (
    (asyncssh.FXF_READ, "read"),
    (asyncssh.FXF_WRITE, "write"),
    (asyncssh.FXF_APPEND, "append"),
    (asyncssh.FXF_CREAT, "create"),
    (asyncssh.FXF_TRUNC, "truncate"),
    (asyncssh.FXF_EXCL, "exclusive"),
)


def event_of(pkttype: int, packet: SSHPacket, path_of: PathOf) -> tuple[str, dict[str, Scalar]] | None:
    """The verb and the fields of a request; None for one that has none, or that can't be read.

    Args:
        pkttype: Its type.
        packet: A copy of what follows its id.
        path_of: See PathOf.
    """
    try:
        named, opened = _NAMED.get(pkttype), _OPEN.get(pkttype)
        if pkttype == constants.FXP_EXTENDED:
            name = packet.get_string()
            named, opened = _EXTENDED_NAMED.get(name), _EXTENDED_OPEN.get(name)
        if named is not None:
            return f"sftp_{named}", _fields_of_named(named, packet)
        if opened is not None:
            return f"sftp_{opened}", _fields_of_open(opened, packet, path_of)
    except PacketDecodeError:
        return None  # it is refused by whoever reads it in earnest
    return None


def names_a_path(pkttype: int) -> bool:
    """Whether a request of this type looks for something by its path."""
    return pkttype in _NAMED


def flag_words(pflags: int) -> str:
    """How a file is opened (§6.3), in words."""
    return "+".join(word for bit, word in _FLAGS if pflags & bit)


def _fields_of_named(verb: str, packet: SSHPacket) -> dict[str, Scalar]:
    first = packet.get_string()
    fields: dict[str, Scalar] = {"path": absolute(first)}
    if verb == "open":
        fields["mode"] = flag_words(packet.get_uint32())
    elif verb in _PAIRS:
        second = packet.get_string()
        if verb != "rename":  # the link is named last, as OpenSSH does
            first, second = second, first
        fields = {"path": absolute(first), "target": absolute(second)}
    return fields


def _fields_of_open(verb: str, packet: SSHPacket, path_of: PathOf) -> dict[str, Scalar]:
    fields: dict[str, Scalar] = {"path": path_of(packet.get_string())}
    if verb == "read":
        fields |= {"offset": packet.get_uint64(), "octets": packet.get_uint32()}
    elif verb == "write":
        fields |= {"offset": packet.get_uint64(), "octets": len(packet.get_string())}
    elif verb == "copy":
        fields |= {"offset": packet.get_uint64(), "octets": packet.get_uint64()}
        fields["target"] = path_of(packet.get_string())
    return fields


def absolute(path: bytes) -> str:
    """A path as rules see it: absolute, without `.` and `..`."""
    return printable(posixpath.normpath("/" + os.fsdecode(path).lstrip("/")))
