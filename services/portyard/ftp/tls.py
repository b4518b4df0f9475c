"""TLS on sockets that the library drives itself: Python's ssl over non-blocking sockets, on the testbed's certificate.

Not the library's own TLS, which stands on pyOpenSSL: that can't say how many tickets a connection sends. A data connection must send none.
TLS 1.3 sends tickets after the handshake, an uploading client may close without having read them, and its system then answers with a RST
that throws away what it had not yet sent.
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portyard.ftp.hosted import AsyncChat, RetryError
from portyard.ftp.ioloop import READ, WRITE

if TYPE_CHECKING:
    from portyard.ftp.ioloop import AsyncioLoop

RECORD = 16 * 1024  # octets that one TLS record carries at most (RFC 8446 §5.1)
CONTROL_TICKETS = 2  # what OpenSSL sends by default; a data connection resumes by one of them


class NamedSocket(ssl.SSLSocket):
    """A server's TLS socket that remembers the name it was asked for."""

    server_name: str | None = None


def server_context(chain: Path, key: Path) -> ssl.SSLContext:
    """A context for control and data connections; one for both, so that a data connection can resume the control connection's session.

    Args:
        chain: The certificates' file, PEM.
        key: The key's file, PEM.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    context.sslsocket_class = NamedSocket
    context.sni_callback = _remember_name
    return context


def _remember_name(sock: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
    if isinstance(sock, NamedSocket):
        sock.server_name = name


class TlsChannel(AsyncChat):  # type: ignore[misc]
    """A channel that can turn to TLS. Mixed in before the library's handler classes.

    Attributes:
        tls_requested: From `secure_connection` on.
        handshaking: From `secure_connection` until the handshake is done.
        secured: The handshake is done.
    """

    ioloop: AsyncioLoop
    socket: Any
    tls_requested = False
    handshaking = False
    secured = False
    _parting = False

    def secure_connection(self, context: ssl.SSLContext, tickets: int) -> None:
        """Turn to TLS, as the server; the handshake follows as octets come.

        Args:
            context: The certificate's.
            tickets: How many sessions the peer is offered to resume.
        """
        self.tls_requested = True
        before, context.num_tickets = (
            context.num_tickets,
            tickets,
        )  # OpenSSL copies the number when the connection is made
        try:
            self.socket = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False
            )
        except OSError:  # the peer is gone already
            self.close()
            return
        finally:
            context.num_tickets = before
        self.handshaking = True
        super().modify_ioloop_events(READ)

    def handshake_fields(self) -> dict[str, object]:
        """What the handshake agreed on, for the journal."""
        cipher = self.socket.cipher()
        fields: dict[str, object] = {
            "version": self.socket.version(),
            "cipher": cipher[0] if cipher else None,
            "session_reused": bool(self.socket.session_reused),
        }
        if self.socket.server_name:
            fields["server_name"] = self.socket.server_name
        return fields

    def handle_tls_established(self) -> None:
        """The handshake is done."""

    def handle_tls_failed(self, error: OSError) -> None:
        """The handshake failed; the alert is out."""

    def _handshake(self) -> None:
        try:
            self.socket.do_handshake()
        except ssl.SSLWantReadError:
            super().modify_ioloop_events(READ)
        except ssl.SSLWantWriteError:
            super().modify_ioloop_events(READ | WRITE)
        except (OSError, ValueError) as error:
            self.handle_tls_failed(error if isinstance(error, OSError) else OSError(str(error)))
        else:
            self.handshaking = False
            self.secured = True
            super().modify_ioloop_events(self._wanted_io_events)
            self.handle_tls_established()

    # Events

    def modify_ioloop_events(self, events: int, logdebug: bool = False) -> None:
        """Watch for other events; a handshake knows itself what it waits for."""
        if not (self.handshaking or self._parting):
            super().modify_ioloop_events(events)

    def readable(self) -> bool:
        """Whether octets are wanted."""
        return bool(self.handshaking or super().readable())

    def writable(self) -> bool:
        """Whether there is something to send."""
        return bool(self.handshaking or self._parting or super().writable())

    def handle_read_event(self) -> None:
        """Octets have come."""
        if self.handshaking:
            self._handshake()
        elif not self._parting:
            super().handle_read_event()

    def handle_write_event(self) -> None:
        """There is room for more."""
        if self.handshaking:
            self._handshake()
        elif self._parting:
            self.close()
        else:
            super().handle_write_event()

    # Octets

    def recv(self, buffer_size: int) -> bytes:
        """Octets; none at the end, which was then handled.

        Raises:
            RetryError: There are none yet.
        """
        if not self.tls_requested:
            plain: bytes = super().recv(buffer_size)
            return plain
        try:
            data: bytes = self.socket.recv(RECORD)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            raise RetryError from error
        except (OSError, ValueError):
            self.broken()
            return b""
        if not data:  # close_notify
            self.handle_close()
        return data

    def send(self, data: bytes) -> int:
        """How many of the octets were taken."""
        if not self.tls_requested:
            taken: int = super().send(data)
            return taken
        if self.handshaking:
            return 0
        try:
            return int(self.socket.send(data))
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        except (OSError, ValueError):
            self.broken()
            return 0

    def broken(self) -> None:
        """The peer broke off, or its TLS stream is damaged: no goodbye."""
        self.secured = False
        self.handle_close()

    # The end

    def close(self) -> None:
        """Say goodbye (close_notify, RFC 8446 §6.1) and close."""
        if not self._closed and self.secured and not self._say_goodbye():
            return  # until there is room for it
        self.handshaking = self._parting = False
        super().close()

    def _say_goodbye(self) -> bool:
        try:
            self.socket.unwrap()
        except ssl.SSLWantWriteError:
            super().modify_ioloop_events(WRITE)
            self._parting = True
            return False
        except (OSError, ValueError):
            pass  # it is out, or can't be; the peer's own isn't waited for
        self.secured = False
        return True


def peek(sock: socket.socket) -> bytes:
    """What comes next under TLS or without: one octet, none at the end; takes nothing away.

    Raises:
        BlockingIOError: Nothing has come.
        OSError: The connection broke.
    """
    return socket.socket.recv(sock, 1, socket.MSG_PEEK)  # the plain socket's: an SSLSocket can't peek


def half_close(sock: socket.socket) -> None:
    """Send a FIN under TLS or without.

    Raises:
        OSError: The connection broke.
    """
    socket.socket.shutdown(sock, socket.SHUT_WR)


def take_raw(sock: Any, size: int) -> bytes:  # noqa: ANN401 - a plain socket or one under TLS
    """Octets below TLS.

    Raises:
        BlockingIOError: Nothing has come.
        OSError: The connection broke.
    """
    return socket.socket.recv(sock, size)
