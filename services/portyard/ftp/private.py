"""Data connections under TLS (RFC 4217 §9), and whether they resume the control connection's session.

The handshake begins when a transfer does, behind its 125 or 150 (RFC 4217 §10.2; drawn in §12.6 for active connections, in §12.7 for
passive ones), as in vsftpd and ProFTPD. Some clients send their ClientHello as soon as the connection stands: it waits. Were it answered at
once, a handshake that fails would be taken for a connection that can't be made, while another command is under way.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any

from portyard.commons.tls.hello import ClientHello
from portyard.commons.tls.recipes import RECIPES
from portyard.ftp.tls import Terms, TlsChannel
from portyard.ftp.watched import WatchedData

HANDSHAKE_S = 30  # how long a data connection's handshake may take before its transfer fails


class Data(TlsChannel, WatchedData):
    """A data connection, private when PROT P was said (RFC 4217 §9)."""

    def __init__(self, sock: socket.socket, cmd_channel: Any) -> None:  # noqa: ANN401 - pyftpdlib's, untyped
        self._patience: Any = None
        self._promised = False  # TLS, which hasn't begun
        super().__init__(sock, cmd_channel)
        if self.connected and cmd_channel.private_data:
            self._promised = True
            self.promise_tls()

    # A transfer begins

    def push_with_producer(self, producer: Any) -> None:  # noqa: ANN401 - pyftpdlib's, untyped
        """Begin a download or a listing."""
        super().push_with_producer(producer)
        self._keep_promise()

    def enable_receiving(self, type: str, cmd: str) -> None:  # noqa: A002 - pyftpdlib's name
        """Begin an upload."""
        super().enable_receiving(type, cmd)
        self._keep_promise()

    def _keep_promise(self) -> None:
        """The 1xx is out: TLS begins (RFC 4217 §12.6, §12.7)."""
        if not self._promised or self._closed:
            return
        self._promised = False
        if self.relay is not None:
            self.relay.let_up()  # for the ClientHello
        self._patience = self.ioloop.call_later(HANDSHAKE_S, self._handshake_late)
        self.secure_connection(tickets=0)

    def use_sendfile(self) -> bool:
        """Not under TLS."""
        return bool(not self.tls_requested and super().use_sendfile())

    def send(self, data: bytes) -> int:
        """How many of the octets were taken; below TLS the library counts them."""
        taken = super().send(data)
        self.went(data[:taken])
        if self.tls_requested:
            self.tot_bytes_sent += taken
        return taken

    def broken(self) -> None:
        """The peer broke off; under TLS also by an end without close_notify, which is a truncation."""
        self.secured = False
        WatchedData.broken(self)

    def abort(self, reply: str = "") -> None:
        """See PlainData; with a goodbye, after which alone ftplib reads the reply, unless it would call half a download whole."""
        if self.secured and not self.tot_bytes_sent:
            self._say_goodbye()
        self.secured = False  # no goodbye is waited for
        super().abort(reply)

    def _end_sending(self) -> bool:
        """See WatchedData; with a goodbye, and not where there is no room for that yet."""
        return (not self.secured or self._say_goodbye()) and super()._end_sending()

    def drop(self) -> None:
        """See PlainData; without a goodbye."""
        self.secured = False
        super().drop()

    def handle_tls_hello(self, hello: ClientHello | None) -> None:
        """A ClientHello came: the control connection's certificate is shown, unless a rule wants another."""
        channel = self.cmd_channel
        if self.relay is not None:
            self.relay.hold_up()
        if hello is not None:
            channel.note_hello("data", hello, self.tls_seconds)
        if hello is not None and channel.armed:
            channel.room.yard.spawn(self._ask_terms(hello.server_name or ""))
        else:
            self._begin(channel.terms or channel.room.good_terms())

    async def _ask_terms(self, server_name: str) -> None:
        terms = await self.cmd_channel.choose_terms("data", server_name, self)
        if terms is not None and not self._closed:
            self._begin(terms)

    def _begin(self, terms: Terms) -> None:
        room = self.cmd_channel.room
        if self.cmd_channel.session_reuse == "refused":
            terms = room.fresh_terms(terms.recipe)
        self.begin_handshake(terms.context, close_notify=RECIPES[terms.recipe].close_notify)

    def _handshake(self) -> None:
        super()._handshake()
        if self.handshaking and self.relay is not None and isinstance(self.socket, ssl.SSLSocket):
            self.relay.admit_record()  # one at a time: behind the handshake's last record the upload begins

    def handle_tls_established(self) -> None:
        """The handshake is done; whether it resumed a session may matter."""
        self._patience.cancel()
        channel = self.cmd_channel
        channel.note_handshake("data", self.handshake_fields(), self.tls_seconds)
        reused = bool(self.socket.session_reused)
        if channel.session_reuse == "required" and not reused:
            self.decline("522 The data connection must resume the control connection's TLS session.")
        elif channel.armed:
            self.hold()
            channel.room.yard.spawn(self._judge_session(reused))
        elif self.relay is not None:
            self.hold()
            self.release()  # what waited for the handshake

    async def _judge_session(self, reused: bool) -> None:
        if await self.judge("data_tls", reused=reused):
            self.release()

    def _handshake_late(self) -> None:
        if self.handshaking:
            self.decline("522 TLS handshake timed out on the data connection.")

    def close(self) -> None:
        """Close; nobody waits for a handshake any more, and a ClientHello that may be under way needn't meet a RST."""
        if self._promised:
            self._ours = True
        if self._patience is not None:
            self._patience.cancel()
        super().close()

    def handle_tls_unwanted(self) -> None:
        """A recipe wants plaintext here: one line, and the transfer fails."""
        channel = self.cmd_channel
        channel.note_plaintext("data", self.tls_seconds)
        self.answer_plainly(channel.connection.service.overload)
        self.decline("522 The data connection was answered in plaintext.")

    def handle_tls_failed(self, error: OSError) -> None:
        """It failed (RFC 4217 §10.2: 522)."""
        self.cmd_channel.note_failed_handshake("data", error, self.tls_seconds, self.flights())
        self.decline("522 TLS handshake failed on the data connection.")
