"""Data connections: what pyftpdlib's get wrong or leave open, and the listening side with our ports and addresses.

An upload is kept when the peer ended it cleanly (FIN, under TLS a close_notify) and was still there; a reset, a truncated TLS stream or a
peer that vanished leaves what was before.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import sys
from typing import Any

from portyard.commons.gentle import kept_socket
from portyard.ftp.core.addresses import HostPort, extended_passive_reply, passive_reply, same_host
from portyard.ftp.core.ascii import FromNetwork, ToNetwork
from portyard.ftp.core.replies import storing_failed
from portyard.ftp.files import Download
from portyard.ftp.hosted import (
    DISCONNECTED,
    RETRY,
    AsyncChat,
    DTPHandler,
    FileReadWriteError,
    PassiveDTP,
    RetryError,
)

CHUNK = 256 * 1024  # octets of one read, write or sendfile: large files go at the disk's pace, small ones are one turn
READS_A_TURN = 8  # so that one fast upload doesn't keep the loop from the others
STALLED_S = 300  # a data connection that moves nothing for so long is dropped
CONNECT_S = 30  # how long a passive port waits for its client

_logger = logging.getLogger("portyard.ftp")


class PlainData(DTPHandler):  # type: ignore[misc]
    """A data connection without TLS.

    Attributes:
        untold: The port of the end that connected, which no reply tells, and whose it is; None before it is known.
    """

    timeout = STALLED_S
    ac_in_buffer_size = CHUNK
    ac_out_buffer_size = CHUNK
    untold: tuple[str, int] | None = None
    _lastdata: int

    def __init__(self, sock: socket.socket, cmd_channel: Any) -> None:  # noqa: ANN401 - pyftpdlib's, untyped
        self._from_network: FromNetwork | None = None
        self._told = False
        self._ours = False  # that it ends now, while the client may still be sending
        self._begun = b""  # the first octets that went over it, for the journal
        self._most_begun = cmd_channel.room.yard.settings.limits.journal_body
        super().__init__(sock, cmd_channel)
        if self.connected:
            self.untold = "peer_port", self.addr[1]  # asyncore has asked for it

    @property
    def _sends(self) -> bool:
        """Whether it is a download or a listing."""
        return bool(self._initialized and not self.receive)

    def went(self, octets: bytes) -> None:
        """These went over it, either way: the journal shows the first of them."""
        if (room := self._most_begun - len(self._begun)) > 0:
            self._begun += octets[:room]

    # Sending

    def initiate_sendfile(self) -> None:
        """Have the kernel send the next piece of a file; what goes first is read for the journal at that moment."""
        if not self.tot_bytes_sent:
            self._begun = os.pread(self._filefd, self._most_begun, self._offset)
        super().initiate_sendfile()

    # Receiving

    def readable(self) -> bool:
        """Octets that come before any command wait in the kernel."""
        if not self.receive and not self._initialized:
            self.modify_ioloop_events(0)
        return bool(self.receive)

    def enable_receiving(self, type: str, cmd: str) -> None:  # noqa: A002 - pyftpdlib's name
        """Begin an upload."""
        super().enable_receiving("i", cmd)
        if type == "a":
            self._from_network = FromNetwork()

    def handle_read(self) -> None:
        """Take what there is."""
        for _ in range(READS_A_TURN):
            if not self._take(self.ac_in_buffer_size):
                return

    handle_read_event = handle_read

    def _take(self, size: int) -> bool:
        """Read and store once; whether there may be more."""
        try:
            chunk = self.recv(size)
        except RetryError:
            return False
        if self._closed or not chunk:
            return False
        self.tot_bytes_received += len(chunk)
        self.went(chunk)
        if self._from_network is not None:
            chunk = self._from_network.feed(chunk)
        try:
            self.file_obj.write(chunk)
        except OSError as error:
            self._fail(storing_failed(error))
            return False
        return True

    def recv(self, buffer_size: int) -> bytes:
        """Octets; at the end none, and the connection is closed one way or the other."""
        try:
            data: bytes = self.socket.recv(buffer_size)
        except OSError as error:
            if error.errno in RETRY:
                raise RetryError from error
            if error.errno in DISCONNECTED:
                self.broken()
                return b""
            raise
        if not data:
            self.handle_close()
        return data

    def handle_close(self) -> None:
        """The peer ended it, or everything is sent."""
        if not self._closed and self.receive and self.cmd_channel.vanished():
            self.broken()
        else:
            super().handle_close()

    def broken(self) -> None:
        """The peer broke off."""
        self._end("426 Data connection broken off; transfer aborted.")

    def abort(self, reply: str = "") -> None:
        """End it now; the client isn't cut off in the midst of what it sends, and reads the reply."""
        self._told = True
        self._fail(reply)

    def drop(self) -> None:
        """End it now; nobody reads a reply any more."""
        self._told = True
        self._end("")

    def _fail(self, reply: str) -> None:
        self._ours = True
        self._end(reply)

    def _end(self, reply: str) -> None:
        self.transfer_finished = False
        self._resp = (reply, None) if reply else ()
        self.close()

    def handle_timeout(self) -> None:
        """Looked at now and then: did anything move?"""
        moved = self._moved()
        if moved > self._lastdata:
            self._lastdata = moved
        else:
            self.abort("426 Data connection stalled; transfer aborted.")

    def _moved(self) -> int:
        """Octets that have gone so far."""
        return int(self.get_transmitted_bytes())

    def handle_error(self) -> None:
        """Something raised: a file that can't be read, or a bug."""
        error = sys.exc_info()[1]
        if isinstance(error, FileReadWriteError) and isinstance(error.__cause__, OSError):
            self._fail(storing_failed(error.__cause__))
        else:
            _logger.error("a data connection failed", exc_info=error)
            self._fail("451 Local error in processing.")

    # The end

    def close(self) -> None:
        """Close, then reply (RFC 959 §5.1: closing the data connection marks the end of the file)."""
        if self._closed:
            return
        if self.receive and self.file_obj is not None:
            self._settle()
        if self._initialized and not self._resp and not self._told:
            self._resp = ("426 Data connection closed; transfer aborted.", None)
        if self._ours and not self._sends:
            self.cmd_channel.room.leaving.see_out(kept_socket(self.socket))
        file = self.file_obj
        self.cmd_channel.begun, self.cmd_channel.untold = self._begun[: self.get_transmitted_bytes()], self.untold
        super().close()
        if file is None and self._initialized:
            self.cmd_channel.log_transfer(
                cmd=self.cmd,
                filename=None,
                receive=False,
                completed=self.transfer_finished,
                elapsed=round(self.get_elapsed_time(), 3),
                bytes=self.get_transmitted_bytes(),
            )

    def _settle(self) -> None:
        """Keep the upload, or let `close` undo it."""
        if not self.transfer_finished:
            return
        try:
            if self._from_network is not None:
                self.file_obj.write(self._from_network.finish())
            self.file_obj.commit()
        except OSError as error:
            self.transfer_finished = False
            self._resp = (storing_failed(error), None)


class Passive(PassiveDTP):  # type: ignore[misc]
    """The listening side of PASV and EPSV."""

    timeout = CONNECT_S

    def __init__(self, cmd_channel: Any, extmode: bool = False) -> None:  # noqa: ANN401 - pyftpdlib's, untyped
        self.cmd_channel = cmd_channel
        self.log = cmd_channel.log
        self.log_exception = cmd_channel.log_exception
        AsyncChat.__init__(self, ioloop=cmd_channel.ioloop)
        local = cmd_channel.connection.local[0]
        self.create_socket(cmd_channel.socket.family, socket.SOCK_STREAM)
        if not self._bind(local, cmd_channel.room.passive_ports):
            self.close()
            cmd_channel.respond("425 Every port for passive data connections is in use.")
            return
        self.listen(5)
        port = self.socket.getsockname()[1]
        if extmode:
            cmd_channel.respond(extended_passive_reply(port))
        else:
            address = cmd_channel.room.passive_address(local, cmd_channel.remote_ip)
            cmd_channel.respond(passive_reply(HostPort(address, port)))
        self.call_later(self.timeout, self.handle_timeout)

    def _bind(self, local: str, ports: range | None) -> bool:
        if ports is None:
            self.bind((local, 0))
            return True
        self.set_reuse_addr()
        for port in random.sample(
            ports, len(ports)
        ):  # unguessable, so that nobody else takes the connection (RFC 2577 §8)
            try:
                self.bind((local, port))
            except OSError:
                continue
            return True
        return False

    def handle_accepted(self, sock: socket.socket, addr: tuple[Any, ...]) -> None:
        """A connection; only the control connection's peer may make it (RFC 2577 §3)."""
        channel = self.cmd_channel
        if not same_host(addr[0], channel.remote_ip):
            sock.close()
            channel.note_error(f"data connection from {addr[0]} refused: it isn't the client's address")
            return
        self.close()
        if channel.connected:
            channel.take_data(self, sock, addr)
        else:
            sock.close()

    def handle_timeout(self) -> None:
        """Nobody came."""
        self.close()
        self.cmd_channel.passive_timed_out()


class Producer:
    """A file in pieces, for a connection that can't use sendfile.

    Args:
        file: What is sent.
        kind: Representation type, "a" or "i".
    """

    def __init__(self, file: Download, kind: str) -> None:
        self.file = file
        self._to_network = ToNetwork() if kind == "a" else None

    def more(self) -> bytes:
        """The next octets; none at the end."""
        try:
            data: bytes = self.file.read(CHUNK)
        except OSError as error:
            raise FileReadWriteError(error) from error
        return self._to_network.feed(data) if self._to_network is not None else data
