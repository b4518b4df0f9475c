"""A connection that may be another kind of server: what its persona's quirks change of the transport and of logins.

Knows asyncssh's connection; which algorithms there are its options say.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence
from typing import Any

import asyncssh
from asyncssh.constants import MSG_EXT_INFO, MSG_UNIMPLEMENTED
from asyncssh.packet import SSHPacket, String, UInt32

from portyard.commons.scenario.personas import worn
from portyard.commons.yard import Connection
from portyard.ssh.core.quirks import OURS, Quirks

MSG_PING = 192  # of ping@openssh.com, among the local extensions (RFC 4250 §4.1.2)
MSG_PONG = 193
_STRICT = "kex-strict-s-v00@openssh.com"


class Dressed(asyncssh.SSHServerConnection):
    """asyncssh's connection.

    Args:
        loop: The loop.
        options: Its options.
        connection: What the listener knows of it.

    Attributes:
        quirks: How it differs from ours: its persona's.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, options: asyncssh.SSHServerConnectionOptions, connection: Connection
    ) -> None:
        self.quirks = quirks_of(connection)
        self._is_strict = False
        super().__init__(loop, options)

    # Key exchange (RFC 4253 §7)

    def _get_extra_kex_algs(self) -> list[bytes]:
        markers = self.quirks.kex_markers
        return super()._get_extra_kex_algs() if markers is None else [marker.encode() for marker in markers]

    @property
    def _strict_kex(self) -> bool:
        """Both sides have to say so; asyncssh takes its own word for granted."""
        return self._is_strict

    @_strict_kex.setter
    def _strict_kex(self, wanted: bool) -> None:
        self._is_strict = wanted and (self.quirks.kex_markers is None or _STRICT in self.quirks.kex_markers)

    def choose_server_host_key(self, peer_host_key_algs: Sequence[bytes]) -> bool:
        """A key of this connection's own: asyncssh notes in the key by which algorithm it signs, and others share it."""
        for name in peer_host_key_algs:
            pair = self._server_host_keys.get(name)
            if pair is not None:
                own = copy.copy(pair)
                own.set_sig_algorithm(name)
                self._server_host_key = own
                return True
        return False

    def take_host_keys(self, options: asyncssh.SSHServerConnectionOptions) -> None:
        """Have host keys that weren't made yet when the connection came; before the version line."""
        self._server_host_keys = options.server_host_keys
        self._all_server_host_keys = options.all_server_host_keys
        self._server_host_key_algs = list(options.server_host_keys)

    def _process_hostkeys_prove_00_at_openssh_dot_com_global_request(self, packet: SSHPacket) -> None:
        """Prove the other host keys; RSA by the best algorithm on offer, where asyncssh's would be SHA-1, which nobody takes any more."""
        prefix = String("hostkeys-prove-00@openssh.com") + String(self._session_id)
        proofs = []
        while packet:
            data = packet.get_string()
            pair = self._all_server_host_keys.get(data)
            if pair is None:
                self._report_global_response(False)
                return
            own = copy.copy(pair)
            own.set_sig_algorithm(self._proof_algorithm(pair.key_algorithm))
            proofs.append(String(own.sign(prefix + String(data))))
        self._report_global_response(b"".join(proofs))

    def _proof_algorithm(self, kind: bytes) -> bytes:
        best = (name for name in (b"rsa-sha2-512", b"rsa-sha2-256") if name in self._server_host_keys)
        return next(best, kind) if kind == b"ssh-rsa" else kind

    def _send_ext_info(self) -> None:
        told = self.quirks.ext_info
        if told is None:
            super()._send_ext_info()
        elif told:
            values = {"server-sig-algs": ",".join(self._told_algorithms()), "ping@openssh.com": "0"}
            body = b"".join(String(name) + String(values.get(name, "")) for name in told)
            self.send_packet(MSG_EXT_INFO, UInt32(len(told)), body)  # RFC 8308 §2.3

    def _told_algorithms(self) -> list[str]:
        told = self.quirks.sig_algs if self.quirks.sig_algs is not None else self.quirks.user_keys
        return [name.decode() for name in self._sig_algs] if told is None else list(told)

    # Logins (RFC 4252)

    def key_refused(self, method: bytes, packet: SSHPacket) -> bool:
        """Whether a login is by a key whose algorithm isn't taken (RFC 4252 §7)."""
        taken = self.quirks.user_keys
        if taken is None or method != b"publickey":
            return False
        copied = SSHPacket(packet.get_remaining_payload())
        signed = copied.get_boolean()
        names = [copied.get_string()]
        if signed:
            copied.get_string()
            names.append(SSHPacket(copied.get_string()).get_string())
        return any(name.decode("ascii", "replace") not in taken for name in names)

    def takes(self, method: str) -> bool:
        """Whether users may log in so."""
        return self.quirks.methods is None or method in self.quirks.methods

    # Messages of the transport

    def _process_ping(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        """ping@openssh.com: the same octets go back."""
        told = self.quirks.ext_info
        if told is None or "ping@openssh.com" not in told:
            self.send_packet(MSG_UNIMPLEMENTED, UInt32(pktid))  # RFC 4253 §11.4
            return
        data = packet.get_string()
        packet.check_end()
        self.send_packet(MSG_PONG, String(data))

    _packet_handlers: Any = {  # noqa: RUF012 - asyncssh's own way
        **asyncssh.SSHServerConnection._packet_handlers,
        MSG_PING: _process_ping,
    }


def quirks_of(connection: Connection) -> Quirks:
    """The quirks of a connection's persona; those of none are one and the same."""
    gate = connection.gate
    return OURS if gate is None or gate.persona is None else worn(gate, Quirks)
