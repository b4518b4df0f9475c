"""A session channel that takes only the environment that is welcome (RFC 4254 §6.4), and any terminal (§6.2)."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from typing import Any

from asyncssh.channel import SSHServerChannel
from asyncssh.packet import SSHPacket

WELCOME = ("LANG", "LC_*", "TZ", "COLORTERM", "NO_COLOR", "GIT_PROTOCOL", "PORTYARD_*")  # names that a client may set
VARIABLES = 64  # how many
VALUE = 4096  # octets of a value


class Channel(SSHServerChannel[Any]):
    """asyncssh's channel with a list of welcome variables, as sshd's AcceptEnv has.

    Attributes:
        told: Hears the status that the peer is told (RFC 4254 §6.10).
    """

    told: Callable[[int], None] | None = None

    def exit(self, status: int) -> None:
        """Tell the status and close."""
        if self.told is not None and self._send_state not in {"close_pending", "closed"}:
            self.told(status)
        super().exit(status)

    def _process_env_request(self, packet: SSHPacket) -> bool:
        name = packet.get_string()
        value = packet.get_string()
        packet.check_end()
        text = name.decode("utf-8", "replace")
        if not any(fnmatch.fnmatchcase(text, pattern) for pattern in WELCOME):
            return False
        if len(value) > VALUE or len(self._env) >= VARIABLES:
            return False
        self._env[name] = value
        return True

    def _process_pty_req_request(self, packet: SSHPacket) -> bool:
        granted = super()._process_pty_req_request(packet)
        if self._term_type == "":  # a client whose TERM isn't set; asyncssh would give it no line editor
            self._term_type = "dumb"
        return granted
