"""Extensions of SFTP that asyncssh's server lacks (OpenSSH's PROTOCOL file, §4), and which of all are announced.

Knows asyncssh's handler only by what it gives and takes.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Any

import asyncssh
from asyncssh.constants import FXP_EXTENDED_REPLY, FXP_NAME
from asyncssh.packet import SSHPacket, String

from portyard.ssh.core.quirks import Quirks

EXPAND_PATH = b"expand-path@openssh.com"
HOME_DIRECTORY = b"home-directory"
USERS_GROUPS = b"users-groups-by-id@openssh.com"
OURS = ((EXPAND_PATH, b"1"), (HOME_DIRECTORY, b"1"), (USERS_GROUPS, b"1"))
RETURNS: dict[Any, int] = {EXPAND_PATH: FXP_NAME, HOME_DIRECTORY: FXP_NAME, USERS_GROUPS: FXP_EXTENDED_REPLY}
_MOST_IDS = 1024  # that are asked for at once

Names = tuple[list[asyncssh.SFTPName], bool]


class Strings:
    """An answer of strings.

    Args:
        parts: What it says.
    """

    def __init__(self, *parts: bytes) -> None:
        self._parts = parts

    def encode(self, version: int) -> bytes:
        """As it goes out."""
        return b"".join(String(part) for part in self._parts)


async def expand_path(handler: Any, packet: SSHPacket) -> Names:  # noqa: ANN401 - asyncssh's handler, with our files
    """A canonical path, a leading `~` the home directory, which is the root here."""
    path = packet.get_string()
    packet.check_end()
    if path.startswith(b"~"):
        user, _, rest = path[1:].partition(b"/")
        path = posixpath.join(home_of(handler, user), rest)
    return [asyncssh.SFTPName(handler.files.realpath(path))], True


async def home_directory(handler: Any, packet: SSHPacket) -> Names:  # noqa: ANN401 - see above
    """A user's home directory; no name means whoever asks."""
    user = packet.get_string()
    packet.check_end()
    return [asyncssh.SFTPName(home_of(handler, user))], True


def home_of(handler: Any, user: bytes) -> bytes:  # noqa: ANN401 - see above
    """Where a user is at home.

    Raises:
        asyncssh.SFTPNoSuchFile: It is another user than the one who asks; of others nobody is told.
    """
    if user not in (b"", handler.files.format_user(None).encode()):
        raise asyncssh.SFTPNoSuchFile("No such user")
    return b"/"


async def users_groups(handler: Any, packet: SSHPacket) -> Strings:  # noqa: ANN401 - see above
    """The names of users and groups by their numbers; empty for a number that is nobody's."""
    lists = []
    for wanted in (packet.get_string(), packet.get_string()):
        if len(wanted) % 4 or len(wanted) > 4 * _MOST_IDS:
            raise asyncssh.SFTPBadMessage("numbers are four octets each")
        numbers = [int.from_bytes(wanted[at : at + 4]) for at in range(0, len(wanted), 4)]
        lists.append(b"".join(String(handler.files.name_of(number)) for number in numbers))
    packet.check_end()
    return Strings(*lists)


HANDLERS: dict[int | bytes, Any] = {
    EXPAND_PATH: expand_path,
    HOME_DIRECTORY: home_directory,
    USERS_GROUPS: users_groups,
}


def announced(quirks: Quirks, known: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """What FXP_VERSION says: names and versions, as the persona has them.

    Args:
        quirks: The persona's.
        known: Everything that is done.
    """
    if quirks.sftp_extensions is None:
        return list(known)
    versions = dict(known)
    return [(name.encode(), versions[name.encode()]) for name in quirks.sftp_extensions]


def left_out(quirks: Quirks, known: Sequence[tuple[bytes, bytes]]) -> set[bytes]:
    """Extensions that a persona doesn't do, though we could."""
    return {name for name, _ in known} - {name for name, _ in announced(quirks, known)}
