"""Transfers that carry what a rule gave in place of a file or a listing."""

from __future__ import annotations

from typing import Any

from portyard.ftp.core.ascii import ToNetwork
from portyard.ftp.hosted import BufferedIteratorProducer
from portyard.ftp.persona import Dressed


class Stubbed(Dressed):
    """See Session for the arguments."""

    _stub: str | None = None  # what the command at hand is to send

    def push_dtp_data(
        self,
        data: Any,  # noqa: ANN401 - pyftpdlib's, untyped
        isproducer: bool = False,
        file: Any = None,  # noqa: ANN401
        cmd: str | None = None,
    ) -> None:
        """Send a listing or a file; in its place the octets that a rule gave."""
        if self._stub is None:
            super().push_dtp_data(data, isproducer, file, cmd)
        else:
            self._send_stub(cmd or "", 0)

    def ftp_RETR(self, file: str) -> None:
        """Send a file, or what a rule gave for one that needn't exist."""
        if self._stub is None:
            super().ftp_RETR(file)
            return
        offset, self._restart_position = self._restart_position, 0
        self._send_stub("RETR", offset)

    def ftp_LIST(self, path: str) -> None:
        """List long, or as a rule says."""
        super().ftp_LIST(path) if self._stub is None else self._send_stub("LIST", 0)

    def ftp_NLST(self, path: str) -> None:
        """List names, or as a rule says."""
        super().ftp_NLST(path) if self._stub is None else self._send_stub("NLST", 0)

    def ftp_MLSD(self, path: str) -> None:
        """List facts, or as a rule says."""
        super().ftp_MLSD(path) if self._stub is None else self._send_stub("MLSD", 0)

    def _send_stub(self, cmd: str, offset: int) -> None:
        octets = (self._stub or "").encode()
        self._stub = None
        if cmd == "RETR":
            octets = octets[offset:]
        if cmd != "RETR" or self._current_type == "a":  # listings have the network's line endings (RFC 3659 §7.2)
            octets = ToNetwork().feed(octets)
        super().push_dtp_data(BufferedIteratorProducer(iter([octets])), isproducer=True, cmd=cmd)
