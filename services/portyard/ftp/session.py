"""The control connection's mechanics: lines, and how commands wait for a store or a transfer.

Commands are obeyed one at a time: what a client sends ahead waits while a login is checked or a transfer runs, save ABOR and STAT. A peer
that ends its side is answered what it asked before; one that ends it while a transfer runs has given that up (RFC 959 §2.3).
"""

from __future__ import annotations

import logging
import re
import socket
from collections import deque
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from portyard.commons.card import TlsMode
from portyard.commons.gentle import kept_socket
from portyard.commons.scenario.personas import facts, worn
from portyard.commons.scenario.templates import fill
from portyard.commons.yard import Connection
from portyard.ftp.core.addresses import plain
from portyard.ftp.core.quirks import OURS, Quirks
from portyard.ftp.core.replies import SECRET_VERBS, UndecodableError, decode, printable
from portyard.ftp.core.verbs import COMMANDS
from portyard.ftp.data import Passive
from portyard.ftp.handshakes import Handshakes
from portyard.ftp.hosted import RetryError
from portyard.ftp.private import Data
from portyard.ftp.tls import peek

if TYPE_CHECKING:
    from portyard.ftp.edge import Room

LINE_LIMIT = 4096 + 512  # octets: the longest path there is, and a verb
HELD_LIMIT = 256 * 1024  # octets of commands sent ahead; beyond it the peer doesn't listen to replies
IDLE_S = 300  # RFC 1123 §4.1.3.2: five minutes at least

BANNER = "Portyard FTP ready"
# Obeyed while a transfer runs (RFC 959 §4.1.3: ABOR and STAT may be sent during a transfer).
_DURING_TRANSFER = frozenset({b"ABOR", b"STAT"})
_TELNET = re.compile(rb"\xff[\xf0-\xfa]")
_SHOWN = COMMANDS - SECRET_VERBS  # there is no secret in such a line

_logger = logging.getLogger("portyard.ftp")


class Everything:
    """What the library calls an authorizer: within the account's root everything is allowed, the file system says the rest."""

    def has_perm(self, username: str, perm: str, path: str | None = None) -> bool:
        """Always."""
        return True

    def impersonate_user(self, username: str, password: str) -> None:
        """Nobody: no account is one of the host's."""

    def terminate_impersonation(self, username: str) -> None:
        """See `impersonate_user`."""


class Session(Handshakes):
    """A control connection.

    Args:
        room: The room's handler.
        connection: What the listener knows of it.
        sock: The accepted socket.

    Attributes:
        family: The connection's address family.
        quirks: How the session differs from ours: its persona's.
        facts: What a persona's texts may tell of the connection.
        no_data: What the next transfer is answered, when its data connection was declined before it was asked for.
    """

    banner = BANNER
    timeout: float = IDLE_S
    unicode_errors = "surrogateescape"  # a name that isn't UTF-8 goes out as the octets that it is
    authorizer = Everything()
    dtp_handler: Any = Data
    passive_dtp = Passive
    remote_ip: str
    _out_dtp_queue: Any
    _in_dtp_queue: Any

    def __init__(self, room: Room, connection: Connection, sock: socket.socket) -> None:
        self.room = room
        self.connection = connection
        self.note_in(connection.log)
        self.gate = connection.gate
        self.reason = "peer closed"
        self.family = sock.family
        self._held: deque[bytes | None] = deque()
        self._held_octets = 0
        self._waits = 0
        self._partial = b""
        self._too_long = False
        self._hearing = False
        self._heard_all = False
        self._leaves = False
        self.no_data = ""
        self.quirks = OURS if self.gate is None or self.gate.persona is None else worn(self.gate, Quirks)
        self.facts = self._facts() if self.quirks is not OURS else {}
        self.greeting = f"220 {fill(self.quirks.greeting or f'{self.banner}.', self.facts, line=True)}"
        if self.quirks.idle_s:
            self.timeout = self.quirks.idle_s
        super().__init__(sock, room.server, room.ioloop)
        if self.connected:
            self.remote_ip = plain(self.remote_ip)

    def _facts(self) -> dict[str, str]:
        yard, peer = self.room.yard, plain(self.connection.peer[0])
        return facts(self.room.host, peer, self.connection.log.id, yard.clocks.now(self.connection.sandbox))

    def begin(self) -> None:
        """Greet, or on an implicit port begin the handshake."""
        if not self.connected:
            self._ended()
        elif self.connection.port.tls is TlsMode.IMPLICIT and not self._plain_wanted():
            self.secure()
        else:
            self.greet()

    def greet(self) -> None:
        """The greeting."""
        self._greeted = True
        self.respond(self.greeting)

    def join(self, sandbox: str) -> None:
        """The session belongs to this sandbox from now on."""
        self.pen.join(sandbox)
        if self.gate is not None:
            self.gate.sandbox = sandbox

    # Lines

    def handle_read(self) -> None:
        """Take what there is: whole lines are held, and obeyed as far as that goes."""
        self._hearing = True
        try:
            data = self.recv(self.ac_in_buffer_size)
        except RetryError:
            return
        finally:
            self._hearing = False
        if self._closing or not data:
            return
        if self._idler is not None and not self._idler.cancelled:
            self._idler.reset()
        *lines, self._partial = (self._partial + data).split(
            b"\n"
        )  # a lone LF ends a command too, as in servers that people know
        for line in lines:
            self._hold(line.removesuffix(b"\r"))
        if len(self._partial) > LINE_LIMIT:
            self._partial = b""
            self._too_long = True
        if self._held_octets > HELD_LIMIT:
            self.part("421 Too many commands sent ahead.", "too many commands sent ahead")
        self._work()

    def _hold(self, line: bytes) -> None:
        too_long = self._too_long or len(line) > LINE_LIMIT
        self._too_long = False
        self._held.append(None if too_long else line)
        self._held_octets += _cost(self._held[-1])

    def _work(self) -> None:
        """Obey what is held, until something has to be waited for."""
        while not (self._waits or self._closed or self._closing):
            index = self._next()
            if index is None:
                break
            line = self._held[index]
            del self._held[index]
            self._held_octets -= _cost(line)
            self._obey(line)
        if self._heard_all and not (self._closed or self._closing or self._busy()):
            self.close_when_done()

    def _busy(self) -> bool:
        """Whether something that was asked isn't answered yet."""
        return bool(self._waits or self._held or self._transferring())

    def handle_close(self) -> None:
        """The connection is over, unless the peer has merely said all that it will."""
        if self._hearing and not self._transferring() and (self._busy() or self.producer_fifo) and self._listens():
            self.heard_all()
        else:
            super().handle_close()

    def heard_all(self) -> None:
        """Nothing more comes: what came is answered, and then the session ends."""
        self._heard_all = True
        self.ioloop.deafen(self._fileno)
        self._work()

    def _listens(self) -> bool:
        """Whether the peer, which ended its side, may still read: under TLS it said goodbye, without it didn't reset the connection."""
        if self.tls_requested:
            return self.secured
        try:
            self.socket.getpeername()
        except OSError:
            return False
        return True

    def forget_plaintext(self) -> None:
        """What was read before TLS is never a command."""
        self._partial = b""
        self._held.clear()
        self._held_octets = 0

    def _next(self) -> int | None:
        """Which held line comes next: the first, or while a transfer runs the first of those that may come then."""
        if not self._transferring():
            return 0 if self._held else None
        urgent = (index for index, line in enumerate(self._held) if line and _verb(line) in _DURING_TRANSFER)
        return next(urgent, None)

    def _obey(self, line: bytes | None) -> None:
        if line is None:
            self.pen.command("«line too long»")
            self.respond("500 Command line too long.")
            return
        try:
            text = decode(line)
        except UndecodableError:
            self.pen.command(printable(line.decode("utf-8", "surrogateescape")))
            self.respond("501 A command is UTF-8 without NUL.")
            return
        verb, _, argument = text.partition(" ")
        verb = verb.upper()
        if verb in _SHOWN and len(text) == len(line):  # ASCII, and no Telnet
            self._note_line(line)  # here, since a call more would cost as much as the noting
        else:
            self.note_command(text, verb)
        self.dispatch(text, verb, argument)

    def dispatch(self, text: str, verb: str, argument: str) -> None:
        """Obey a command.

        Args:
            text: All of it.
            verb: In capitals.
            argument: What follows.
        """
        try:
            self.pre_process_command(text, verb, argument)
        except Exception:  # ours, not the peer's: it is answered, and the session goes on
            _logger.exception("%s failed", verb)
            self.fail_locally()

    def fail_locally(self) -> None:
        """An error of ours: the command fails, and the session goes on."""
        self.respond("451 Local error in processing.")

    @property
    def armed(self) -> bool:
        """Whether rules have to be asked at all."""
        return self.gate is not None and self.gate.armed

    @property
    def session_reuse(self) -> str:
        """Whether data connections must resume a session: "required", "refused" or "reported"."""
        return self.quirks.session_reuse or str(self.room.yard.settings.session_reuse)

    def wait_for(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that awaits; the next command is obeyed after it."""
        self._waits += 1
        self.room.yard.spawn(self._finish(work))

    async def _finish(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            _logger.exception("a command failed")
            self.fail_locally()
        finally:
            self._waits -= 1
        self._work()

    # Transfers under way

    def _transferring(self) -> bool:
        """Whether a transfer was promised or runs."""
        if self._closed:
            return False
        if self._out_dtp_queue is not None or self._in_dtp_queue is not None:
            return True
        return self.data_channel is not None and self.data_channel._initialized

    def _on_dtp_close(self) -> None:
        super()._on_dtp_close()
        if not self._closed:
            self.ioloop.call_later(0, self._work)

    def take_data(self, acceptor: Passive, sock: socket.socket, address: tuple[Any, ...]) -> None:
        """The client's data connection came."""
        handler = self.dtp_handler(sock, self)
        if handler.connected:
            self.data_channel = handler
            self._on_dtp_connection()

    def drop_pending(self) -> bool:
        """Forget a transfer that was promised but has no connection yet; True when there was one."""
        outgoing, self._out_dtp_queue = self._out_dtp_queue, None
        incoming, self._in_dtp_queue = self._in_dtp_queue, None
        if outgoing is not None and outgoing[2] is not None:
            outgoing[2].close()
        if incoming is not None:
            incoming[0].close()
        return outgoing is not None or incoming is not None

    def passive_timed_out(self) -> None:
        """Nobody connected to a passive port."""
        if not self._closed:
            self._dtp_acceptor = None
            if self.drop_pending():
                self.respond("425 Nobody opened the data connection.")
                self._work()

    def vanished(self) -> bool:
        """Whether the peer has closed the control connection already, though we haven't read so."""
        if self._closed:
            return True
        try:
            return peek(self.socket) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    # The end

    def part(self, reply: str, reason: str) -> None:
        """Say a last word and close."""
        self.respond(reply)
        if not self._closed:
            self.reason = reason
            self.leave()

    def leave(self) -> None:
        """Close when all is sent; whatever else the client sent or sends, it reads to the end."""
        self._held.clear()
        self._leaves = True
        self.close_when_done()

    def handle_timeout(self) -> None:
        """The client was idle for too long."""
        self.part("421 Idle for too long, closing the control connection.", "idle")

    def close(self) -> None:
        """Close the control connection and what hangs on it."""
        if not self._closed:
            self._drop_data()
            own = kept_socket(self.socket) if self._leaves else None
            super().close()
            if self._closed:
                self.room.leaving.see_out(own)
            elif own is not None:  # there is no room for the goodbye yet
                own.close()
        self._ended()

    def handle_error(self) -> None:
        """Something raised where no command is to blame."""
        super().handle_error()
        self._ended()

    def _drop_data(self) -> None:
        data: Data | None = self.data_channel
        if data is not None:
            data.drop()

    def _ended(self) -> None:
        if self._handshake_timer is not None:
            self._handshake_timer.cancel()
        self.room.ended(self)
        self.pen.close(self.reason)


def _verb(line: bytes) -> bytes:
    return _TELNET.sub(b"", line).partition(b" ")[0].upper()


def _cost(line: bytes | None) -> int:
    return len(line or b"") + 2
