"""TLS on sockets that the library drives itself: Python's ssl over non-blocking sockets, on the testbed's certificate.

Not the library's own TLS, which stands on pyOpenSSL: that can't say how many tickets a connection sends. A data connection must send none.
TLS 1.3 sends tickets after the handshake, an uploading client may close without having read them, and its system then answers with a RST
that throws away what it had not yet sent.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from portyard.commons.tls.alerts import Alert, alert_record
from portyard.commons.tls.certificates import shown
from portyard.commons.tls.flights import Flights
from portyard.commons.tls.hello import MAX_HELLO, BadHello, ClientHello, HelloReader, NeedMore, NotTls
from portyard.ftp.hosted import AsyncChat, RetryError
from portyard.ftp.ioloop import READ, WRITE

if TYPE_CHECKING:
    from portyard.ftp.ioloop import AsyncioLoop

RECORD = 16 * 1024  # octets that one TLS record carries at most (RFC 8446 §5.1)
DRAINED = 64 * 1024  # octets that are taken at once before a clean close
DRAINS = 16  # and so often at most: a peer that talks faster gets the RST after all
_HEADER = 0x100  # what OpenSSL calls a record's header among the messages that it tells (SSL3_RT_HEADER)
CONTROL_TICKETS = 2  # what OpenSSL sends by default; a data connection resumes by one of them


@dataclass(frozen=True, slots=True)
class Terms:
    """How a handshake is answered.

    Attributes:
        recipe: The certificate's name.
        context: Its context.
    """

    recipe: str
    context: ssl.SSLContext


class TlsChannel(AsyncChat):  # type: ignore[misc]
    """A channel that can turn to TLS. Mixed in before the library's handler classes.

    Attributes:
        tls_requested: From `promise_tls` or `secure_connection` on.
        handshaking: From then until the handshake is done.
        secured: The handshake is done.
        server_name: The name that the client asked for (SNI).
    """

    ioloop: AsyncioLoop
    socket: Any
    tls_requested = False
    handshaking = False
    secured = False
    server_name: str | None = None
    _parting = False
    _polite = True
    _tickets = 0
    _reader: HelloReader | None = None
    _tls_began = 0.0
    _flights: Flights | None = None  # of the handshake under way
    _hello_octets = 0  # of those that were told when they came, and that OpenSSL has yet to read

    @property
    def tls_seconds(self) -> float:
        """How long ago TLS was turned to."""
        return round(time.monotonic() - self._tls_began, 6)

    def promise_tls(self) -> None:
        """Turn to TLS once `secure_connection` is called: what comes before waits in the kernel, be it a ClientHello or the end."""
        self.tls_requested = self.handshaking = True
        super().modify_ioloop_events(0)

    def secure_connection(self, tickets: int) -> None:
        """Turn to TLS, as the server: the ClientHello is looked at first, see `handle_tls_hello`.

        Args:
            tickets: How many sessions the peer is offered to resume, at most.
        """
        self.tls_requested = self.handshaking = True
        self._tls_began = time.monotonic()
        self._tickets = tickets
        self._reader = HelloReader()
        self._flights = Flights()
        super().modify_ioloop_events(READ)

    def _look(self, reader: HelloReader) -> None:
        """Look at the ClientHello without taking it; what comes in pieces is waited for in the kernel."""
        try:
            data = self.socket.recv(MAX_HELLO, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        news = data[len(reader.raw) :]
        found: ClientHello | NeedMore | NotTls | None = None
        if news:  # else it is readable because it ended
            with contextlib.suppress(BadHello):
                found = reader.feed(news)
        if isinstance(found, NeedMore):
            self._wake_at(len(data) + found.at_least)
            return
        self._wake_at(1)
        self._reader = None
        super().modify_ioloop_events(0)
        if data:
            self._passed("in", len(data))
            self._hello_octets = len(data)
        hello = found if isinstance(found, ClientHello) else None
        self.server_name = hello.server_name if hello is not None else None
        self.handle_tls_hello(hello)

    def _wake_at(self, octets: int) -> None:
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, octets)

    def begin_handshake(self, context: ssl.SSLContext, *, close_notify: bool = True) -> None:
        """Answer the ClientHello; the rest of the handshake follows as octets come.

        Args:
            context: The certificate's.
            close_notify: Whether TLS is to end with a goodbye.
        """
        self._polite = close_notify
        before = context.num_tickets
        context.num_tickets = min(before, self._tickets)  # OpenSSL copies the number when the connection is made
        try:
            with self._told_of_records(context):  # OpenSSL copies that it tells, too
                self.socket = context.wrap_socket(
                    self.socket, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False
                )
        except OSError:  # the peer is gone already
            self.close()
            return
        finally:
            context.num_tickets = before
        self._handshake()

    def refuse_handshake(self, alert: Alert) -> None:
        """Answer the ClientHello by an alert."""
        record = alert_record(alert)
        with contextlib.suppress(OSError):
            self.socket.send(record)
            self._passed("out", len(record))
        self.handle_tls_failed(OSError(f"{alert.name.lower()} sent, as a rule wants it"))

    def answer_plainly(self, words: bytes) -> None:
        """Answer the ClientHello in plaintext, and then nothing more."""
        with contextlib.suppress(OSError):
            self.socket.send(words)

    def go_on_plainly(self) -> None:
        """As if TLS had never been asked for: the ClientHello is the next thing that is heard."""
        self.tls_requested = self.handshaking = False
        super().modify_ioloop_events(self._wanted_io_events)

    def handshake_fields(self) -> dict[str, object]:
        """What the handshake agreed on, for the journal."""
        cipher = self.socket.cipher()
        fields: dict[str, object] = {
            "version": self.socket.version(),
            "cipher": cipher[0] if cipher else None,
            "resumed": bool(self.socket.session_reused),
        }
        if self.server_name:
            fields["server_name"] = self.server_name
        certificate = shown(self.socket)
        return fields | ({} if certificate is None else certificate._asdict()) | self.flights()

    def flights(self) -> dict[str, object]:
        """The handshake's flights as a field, for the journal; nothing where nothing passed."""
        flights, self._flights = self._flights, None
        told = flights.told() if flights is not None else None
        return {} if told is None else {"flights": told}

    def handle_tls_hello(self, hello: ClientHello | None) -> None:
        """A ClientHello came, or something that is none; `begin_handshake` or `refuse_handshake` answers it, now or later."""

    def handle_tls_established(self) -> None:
        """The handshake is done."""

    def handle_tls_failed(self, error: OSError) -> None:
        """The handshake failed; the alert is out."""

    def handle_tls_unwanted(self) -> None:
        """A recipe wants plaintext in place of a handshake."""

    def _handshake(self) -> None:
        if self._reader is not None:
            self._look(self._reader)
            return
        if not isinstance(self.socket, ssl.SSLSocket):  # the answer isn't decided yet
            return
        try:
            with self._told_of_records(self.socket.context):
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

    @contextlib.contextmanager
    def _told_of_records(self, context: Any) -> Iterator[None]:  # noqa: ANN401 - Python's `_msg_callback` isn't typed
        """Have OpenSSL tell the records of this connection; no other one of the context says anything meanwhile."""
        context._msg_callback = self._note_record
        try:
            yield
        finally:
            context._msg_callback = None

    def _note_record(  # the arguments are OpenSSL's SSL_CTX_set_msg_callback's
        self, _tls: object, direction: str, _version: object, content: int, _message: object, data: bytes
    ) -> None:
        if content != _HEADER:
            return
        octets = len(data) + int.from_bytes(data[3:5])  # RFC 8446 §5.1
        if direction == "write":
            self._passed("out", octets)
            return
        known = min(octets, self._hello_octets)
        self._hello_octets -= known
        if octets > known:
            self._passed("in", octets - known)

    def _passed(self, direction: str, octets: int) -> None:
        if self._flights is not None:
            self._flights.passed(direction, octets, self.tls_seconds)

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
            data: bytes = self.socket.recv(min(buffer_size, RECORD))
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
        if self.handshaking and not self._closed:
            drain(self.socket)
        self.handshaking = self._parting = False
        super().close()

    def _say_goodbye(self) -> bool:
        if not self._polite:
            self.secured = False
            return True
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


def drain(sock: Any) -> None:  # noqa: ANN401 - a plain socket or one under TLS
    """Take what came already, before a clean close: unread octets would make it a RST."""
    with contextlib.suppress(OSError):
        for _ in range(DRAINS):
            if not take_raw(sock, DRAINED):
                return
