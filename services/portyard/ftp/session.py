"""The control connection's mechanics: lines, replies and the journal, and how commands wait for a store or a transfer.

Commands are obeyed one at a time: what a client sends ahead waits while a login is checked or a transfer runs, save ABOR and STAT.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import ssl
from collections import deque
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from portyard.commons.card import TlsMode
from portyard.commons.scenario.personas import worn
from portyard.commons.tls.alerts import explain
from portyard.commons.tls.hello import ClientHello
from portyard.commons.tls.recipes import GOOD, RECIPES, Manner, recipe_for_host
from portyard.commons.tls.setup import hello_fields
from portyard.commons.yard import Connection
from portyard.ftp.core.addresses import plain
from portyard.ftp.core.listing import one_line
from portyard.ftp.core.quirks import OURS, Quirks
from portyard.ftp.core.replies import UndecodableError, decode, printable, shown
from portyard.ftp.data import Passive
from portyard.ftp.hosted import AsyncChat, FTPHandler, RetryError
from portyard.ftp.private import Data
from portyard.ftp.tls import CONTROL_TICKETS, Terms, TlsChannel, half_close, peek, take_raw

if TYPE_CHECKING:
    from portyard.ftp.edge import Room

LINE_LIMIT = 4096 + 512  # octets: the longest path there is, and a verb
HELD_LIMIT = 256 * 1024  # octets of commands sent ahead; beyond it the peer doesn't listen to replies
IDLE_S = 300  # RFC 1123 §4.1.3.2: five minutes at least
HANDSHAKE_S = 30  # how long a TLS handshake may take before its connection is dropped
LINGER_S = 2  # how long a peer whose handshake failed may go on sending before it is cut off

BANNER = "Portyard FTP ready"
# Obeyed while a transfer runs (RFC 959 §4.1.3: ABOR and STAT may be sent during a transfer).
_DURING_TRANSFER = frozenset({b"ABOR", b"STAT"})
_LAST_LINE = re.compile(r"^\d{3}(?: |$)")
_TELNET = re.compile(rb"\xff[\xf0-\xfa]")

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


class Session(TlsChannel, FTPHandler):  # type: ignore[misc]
    """A control connection.

    Args:
        room: The room's handler.
        connection: What the listener knows of it.
        sock: The accepted socket.

    Attributes:
        family: The connection's address family.
        sized: PBSZ was said (RFC 4217 §8).
        gate: The session's gate.
        terms: How the control connection's handshake was answered; data connections resume sessions of its context.
        greeting: The whole reply.
        quirks: How the session differs from ours: its persona's.
        no_data: What the next transfer is answered, when its data connection was declined before it was asked for.
        private_data: Data connections turn to TLS: PROT P was said (RFC 4217 §9).
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
        self.pen = connection.log
        self.gate = connection.gate
        self.reason = "peer closed"
        self.family = sock.family
        self.sized = False
        self.private_data = False
        self._held: deque[bytes | None] = deque()
        self._held_octets = 0
        self._waits = 0
        self._partial = b""
        self._too_long = False
        self._greeted = False
        self._lingering = False
        self._reply = ""
        self._handshake_timer: Any = None
        self.terms: Terms | None = None
        self.no_data = ""
        self.quirks = OURS if self.gate is None or self.gate.persona is None else worn(self.gate, Quirks)
        self.greeting = f"220 {self.quirks.greeting}" if self.quirks.greeting else f"220 {self.banner}."
        if self.quirks.idle_s:
            self.timeout = self.quirks.idle_s
        super().__init__(sock, room.server, room.ioloop)
        if self.connected:
            self.remote_ip = plain(self.remote_ip)

    def begin(self) -> None:
        """Greet, or on an implicit port begin the handshake."""
        if not self.connected:
            self._ended()
        elif self.connection.port.tls is TlsMode.IMPLICIT and not self._plain_wanted():
            self.secure()
        else:
            self.greet()

    def _plain_wanted(self) -> bool:
        """Whether a rule wants plaintext on a TLS port."""
        asked = self.gate.recipe if self.gate is not None else None
        if asked is None or RECIPES[asked].manner is not Manner.PLAINTEXT:
            return False
        self.note_plaintext("control")
        return True

    def greet(self) -> None:
        """The greeting."""
        self._greeted = True
        self.respond(self.greeting)

    @property
    def armed(self) -> bool:
        """Whether rules have to be asked at all."""
        return self.gate is not None and self.gate.armed

    def join(self, sandbox: str) -> None:
        """The session belongs to this sandbox from now on."""
        self.pen.join(sandbox)
        if self.gate is not None:
            self.gate.sandbox = sandbox

    # TLS

    def secure(self) -> None:
        """TLS from here; what was read in plaintext is dropped."""
        self._partial = b""
        self._held.clear()
        self._held_octets = 0
        self._handshake_timer = self.ioloop.call_later(HANDSHAKE_S, self._handshake_late)
        self.secure_connection(CONTROL_TICKETS)

    def handle_tls_hello(self, hello: ClientHello | None) -> None:
        """A ClientHello came: its name chooses the certificate and may claim a sandbox."""
        if hello is None:  # what comes isn't one, and the handshake will say so
            self.begin_handshake(self.room.good_terms().context)
            return
        self.note_hello("control", hello)
        self.wait_for(self._answer_hello(hello.server_name or ""))

    async def _answer_hello(self, server_name: str) -> None:
        if server_name:
            await self.room.yard.tls.join(self.connection, server_name)
        terms = await self.choose_terms("control", server_name, self)
        if terms is not None and not self._closed:
            self.terms = terms
            self.begin_handshake(terms.context, close_notify=RECIPES[terms.recipe].close_notify)

    async def choose_terms(self, channel: str, server_name: str, asking: TlsChannel) -> Terms | None:
        """The recipe and its context for a handshake; None when there will be none.

        Args:
            channel: "control" or "data".
            server_name: The name that the client asked for, or "".
            asking: The connection.
        """
        if channel == "data":
            return self.terms or await self.room.terms(GOOD)
        named = recipe_for_host(server_name)
        asked = self.gate.recipe if self.gate is not None else None
        return await self.terms_of(asked or (GOOD if named is None else named.name), asking)

    async def terms_of(self, recipe: str, asking: TlsChannel) -> Terms | None:
        """A recipe's terms; None where it wants no handshake, which then is answered already, or never."""
        match RECIPES[recipe].manner:
            case Manner.STALL:
                return None
            case Manner.PLAINTEXT:
                asking.handle_tls_unwanted()
                return None
        return await self.room.terms(recipe)

    def handle_tls_unwanted(self) -> None:
        """A recipe wants plaintext in place of a handshake: a greeting, where none was said, else one line and the end."""
        self.note_plaintext("control")
        self._handshake_timer.cancel()
        if self._greeted:
            self.answer_plainly(self.connection.service.overload)
            self.reason = "answered in plaintext"
            self._linger()
        else:
            self.go_on_plainly()
            self.greet()

    def handle_tls_established(self) -> None:
        """The handshake is done."""
        self._handshake_timer.cancel()
        self.note_handshake("control", self.handshake_fields())
        if not self._greeted:
            # Implicit FTPS protects data from the start: its clients expect it, and say PBSZ and PROT P merely to be sure.
            self.sized = self.private_data = True
            self.greet()

    def handle_tls_failed(self, error: OSError) -> None:
        """It failed; the alert is out, and is read only if what the peer sent meanwhile is taken: unread octets make a RST."""
        self.note_failed_handshake("control", error)
        self.reason = "tls handshake failed"
        self._linger()

    def _linger(self) -> None:
        """Send nothing more, and take what comes until the peer ends."""
        self._lingering = True
        with contextlib.suppress(OSError):
            half_close(self.socket)
        self._handshake_timer.cancel()
        self._handshake_timer = self.ioloop.call_later(LINGER_S, self.close)

    def handle_read_event(self) -> None:
        """Octets, or the end."""
        if not self._lingering:
            super().handle_read_event()
            return
        try:
            rest = take_raw(self.socket, self.ac_in_buffer_size)
        except BlockingIOError:
            return
        except OSError:
            rest = b""
        if not rest:
            self.close()

    def _handshake_late(self) -> None:
        if self.handshaking:
            self.reason = "tls handshake timed out"
            self.close()

    # Lines

    def handle_read(self) -> None:
        """Take what there is: whole lines are held, and obeyed as far as that goes."""
        try:
            data = self.recv(self.ac_in_buffer_size)
        except RetryError:
            return
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
                return
            line = self._held[index]
            del self._held[index]
            self._held_octets -= _cost(line)
            self._obey(line)

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
        self.pen.command(shown(text))
        verb, _, argument = text.partition(" ")
        self.dispatch(text, verb.upper(), argument)

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

    # Replies and the journal

    def push(self, data: str) -> None:
        """Send a reply's lines, and note the reply when it is whole."""
        AsyncChat.push(self, data.encode("utf-8", "surrogateescape"))
        self._reply += data
        last = self._reply.removesuffix("\r\n").rpartition("\r\n")[2]
        if _LAST_LINE.match(last):
            text = printable(self._reply.removesuffix("\r\n"))
            self._reply = ""
            if text == self.greeting:
                self.pen.event("greeting", text=text)
            else:
                self.pen.reply(text)

    def respond(self, resp: str, logfun: object = None) -> None:
        """Send a reply of one line, or the last line of several; nothing while a handshake is under way or failed."""
        if not (self._closed or self.handshaking):
            self._last_response = resp
            Session.push(self, one_line(self.in_dialect(resp)) + "\r\n")

    def in_dialect(self, resp: str) -> str:
        """The reply in the words of the server that the session is."""
        return resp

    def respond_w_warning(self, resp: str) -> None:
        """As `respond`; the journal has it, a log needn't."""
        self.respond(resp)

    def part(self, reply: str, reason: str) -> None:
        """Say a last word and close."""
        self.respond(reply)
        if not self._closed:
            self.reason = reason
            self._held.clear()
            self.close_when_done()

    def handle_timeout(self) -> None:
        """The client was idle for too long."""
        self.part("421 Idle for too long, closing the control connection.", "idle")

    def note_handshake(self, channel: str, fields: dict[str, object]) -> None:
        """A handshake is done; "established" alone is the control connection's, where a talk has its upgrade."""
        step = "established" if channel == "control" else f"{channel} established"
        self.pen.event("tls", step=step, channel=channel, **fields)

    def note_hello(self, channel: str, hello: ClientHello) -> None:
        """A ClientHello came."""
        step = "hello" if channel == "control" else f"{channel} hello"
        offer = {key: value for key, value in hello_fields(hello).items() if value is not None}
        self.pen.event("tls", step=step, channel=channel, **offer)

    def note_failed_handshake(self, channel: str, error: BaseException | None) -> None:
        """A handshake failed; the alert is told where it is known."""
        fields: dict[str, object] = {"channel": channel, "error": str(error or "handshake failed")}
        if isinstance(error, ssl.SSLError):
            failure = explain(error, None)
            fields |= {key: value for key, value in failure._asdict().items() if value is not None}
        self.pen.event("tls", step="failed", **fields)

    def note_plaintext(self, channel: str) -> None:
        """There is plaintext where TLS belongs, because a recipe wants it."""
        step = "plaintext" if channel == "control" else f"{channel} plaintext"
        self.pen.event("tls", step=step, channel=channel)

    def note_error(self, text: str) -> None:
        """Something that is worth knowing when a test fails."""
        self.pen.event("error", text=text)

    def log_transfer(
        self,
        cmd: str,
        filename: str | None,
        receive: bool,
        completed: bool,
        elapsed: float,
        bytes: int,  # noqa: A002
    ) -> None:
        """A data connection ended."""
        fields: dict[str, object] = {"command": cmd, "direction": "receive" if receive else "send"}
        if filename is not None:
            fields["path"] = printable(filename)
        self.pen.event("transfer", **fields, bytes=bytes, seconds=elapsed, complete=completed)

    def log(self, msg: str, logfun: object = None) -> None:
        """The library's lines: the journal has everything they say."""

    logline = log

    def logerror(self, msg: str) -> None:
        """What pyftpdlib calls an error."""
        _logger.error("%s", msg)

    def log_cmd(self, cmd: str, arg: str, respcode: int, respstr: str) -> None:
        """The library's summary of a command; see `log`."""

    def log_exception(self, instance: object) -> None:
        """An exception that nothing else handled."""
        _logger.exception("a connection failed")

    # The end

    def close(self) -> None:
        """Close the control connection and what hangs on it."""
        if not self._closed:
            self._drop_data()
            super().close()
        self._ended()

    def handle_error(self) -> None:
        """Something raised where no command is to blame."""
        super().handle_error()
        self._ended()

    def _drop_data(self) -> None:
        data: Data | None = self.data_channel
        if data is not None:
            data.abort()

    def _ended(self) -> None:
        if self._handshake_timer is not None:
            self._handshake_timer.cancel()
        self.room.ended(self)
        self.pen.close(self.reason)


def _verb(line: bytes) -> bytes:
    return _TELNET.sub(b"", line).partition(b" ")[0].upper()


def _cost(line: bytes | None) -> int:
    return len(line or b"") + 2
