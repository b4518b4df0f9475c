"""One SSLObject between two memory BIOs: plaintext on one side, records on the other.

It knows OpenSSL and nothing of asyncio: bytes are fed and taken by whoever owns the connection.
"""

from __future__ import annotations

import contextlib
import ssl
from dataclasses import dataclass
from typing import Final

from portyard.commons.tls.alerts import Failure, explain
from portyard.commons.tls.certificates import NOTHING_SHOWN, shown

ENCRYPT_CHUNK: Final = 65_536
"""Plaintext given to OpenSSL at once: four full records, so that the outgoing BIO stays small."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a finished handshake agreed on."""

    version: str
    cipher: str
    alpn: str | None
    server_name: str | None
    peer_subject: str | None
    """See `certificates.Shown`; all four are None where the peer showed no certificate."""
    peer_issuer: str | None
    peer_serial: str | None
    peer_fingerprint: str | None
    resumed: bool


class Engine:
    """TLS without a transport."""

    __slots__ = ("_ended", "_incoming", "_late", "_outgoing", "context", "ssl")

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_hostname: str | None = None,
        session: ssl.SSLSession | None = None,
    ) -> None:
        self.context = context
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._late: ssl.SSLError | None = None
        self._ended = False
        self.ssl = context.wrap_bio(self._incoming, self._outgoing, server_side, server_hostname, session)

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take records that the peer sent, cut anywhere."""
        self._incoming.write(data)

    def take(self) -> bytes:
        """Everything that is to be sent to the peer."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def handshake(self) -> bool:
        """Go on with the handshake as far as the bytes reach.

        Returns:
            Whether it is done.

        Raises:
            ssl.SSLError: It failed; `take` has the alert.
        """
        try:
            self.ssl.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def fill(self, target: memoryview) -> tuple[int, bool]:
        """Decrypt as much as is there and fits.

        Args:
            target: Where the plaintext goes; not empty.

        Returns:
            The bytes written to `target`, and whether the peer's close_notify came behind them.

        Raises:
            ssl.SSLError: The peer's records are broken, or it sent an alert. What came before is returned first.
        """
        if self._late is not None:
            raise self._late
        if self._ended:
            return 0, True
        total, room, read = 0, len(target), self.ssl.read
        try:
            while total < room:
                got = read(room - total, target[total:])
                if not got:
                    self._ended = True
                    break
                total += int(got)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:  # the same close_notify, after ours
            self._ended = True
        except ssl.SSLError as error:
            if not total:
                raise
            self._late = error
        return total, self._ended

    @property
    def readable(self) -> bool:
        """False where `fill` could do nothing."""
        return bool(self._incoming.pending or self._ended or self._late is not None or self.ssl.pending())

    def encrypt(self, data: memoryview) -> int:
        """Encrypt up to one chunk; `take` has the records.

        Args:
            data: Plaintext, not empty.

        Returns:
            Bytes taken from `data`; 0 where the peer must be heard first (a renegotiation).

        Raises:
            ssl.SSLError: The connection is broken.
        """
        try:
            return self.ssl.write(data[:ENCRYPT_CHUNK])
        except ssl.SSLWantReadError:
            return 0

    def close_notify(self) -> None:
        """Say that nothing more is written (RFC 8446 §6.1); `take` has the alert. Reading goes on."""
        with contextlib.suppress(ssl.SSLError):  # wants the peer's, which is nobody's concern here
            self.ssl.unwrap()

    def explain(self, error: ssl.SSLError, sent: bytes) -> Failure:
        """What went wrong and which alert said so."""
        return explain(error, sent)

    def agreed(self, server_name: str | None) -> Handshake:
        """What the handshake agreed on.

        Args:
            server_name: The name that the client asked for, on the server's side.
        """
        version, cipher = self.ssl.version() or "", self.ssl.cipher()
        peer = shown(self.ssl) or NOTHING_SHOWN
        return Handshake(
            version=version,
            cipher=cipher[0] if cipher else "",
            alpn=self.ssl.selected_alpn_protocol(),
            server_name=server_name or self.ssl.server_hostname,
            peer_subject=peer.peer_subject,
            peer_issuer=peer.peer_issuer,
            peer_serial=peer.peer_serial,
            peer_fingerprint=peer.peer_fingerprint,
            resumed=bool(self.ssl.session_reused),
        )
