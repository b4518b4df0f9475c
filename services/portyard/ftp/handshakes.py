"""TLS on the control connection: which certificate answers, what a recipe wants in its place, and how a handshake ends."""

from __future__ import annotations

import contextlib
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from portyard.commons.scenario.engine import SessionGate
from portyard.commons.tls.hello import ClientHello
from portyard.commons.tls.recipes import GOOD, RECIPES, Manner, recipe_for_host
from portyard.commons.yard import Connection
from portyard.ftp.notes import Notes
from portyard.ftp.tls import CONTROL_TICKETS, Terms, TlsChannel, half_close, take_raw

if TYPE_CHECKING:
    from portyard.ftp.edge import Room

HANDSHAKE_S = 30  # how long a TLS handshake may take before its connection is dropped
LINGER_S = 2  # how long a peer whose handshake failed may go on sending before it is cut off


class Handshakes(Notes):
    """See Session, which says the rest.

    Attributes:
        room: The room's handler.
        connection: What the listener knows of it.
        gate: The session's gate.
        reason: Why the session ends.
        sized: PBSZ was said (RFC 4217 §8).
        private_data: Data connections turn to TLS: PROT P was said (RFC 4217 §9).
        terms: How the control connection's handshake was answered; data connections resume sessions of its context.
    """

    room: Room
    connection: Connection
    gate: SessionGate | None
    reason: str
    sized = False
    private_data = False
    terms: Terms | None = None
    _greeted = False
    _lingering = False
    _handshake_timer: Any = None

    def greet(self) -> None:
        """See Session."""
        raise NotImplementedError

    def wait_for(self, work: Coroutine[Any, Any, None]) -> None:
        """See Session."""
        raise NotImplementedError

    def forget_plaintext(self) -> None:
        """See Session."""
        raise NotImplementedError

    def _plain_wanted(self) -> bool:
        """Whether a rule wants plaintext on a TLS port."""
        asked = self.gate.recipe if self.gate is not None else None
        if asked is None or RECIPES[asked].manner is not Manner.PLAINTEXT:
            return False
        self.note_plaintext("control", 0.0)
        return True

    def secure(self) -> None:
        """TLS from here; what was read in plaintext is dropped."""
        self.forget_plaintext()
        self._handshake_timer = self.ioloop.call_later(HANDSHAKE_S, self._handshake_late)
        self.secure_connection(CONTROL_TICKETS)

    def handle_tls_hello(self, hello: ClientHello | None) -> None:
        """A ClientHello came: its name chooses the certificate and may claim a sandbox."""
        if hello is None:  # what comes isn't one, and the handshake will say so
            self.begin_handshake(self.room.good_terms().context)
            return
        self.note_hello("control", hello, self.tls_seconds)
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
        self.note_plaintext("control", self.tls_seconds)
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
        self.note_handshake("control", self.handshake_fields(), self.tls_seconds)
        if not self._greeted:
            # Implicit FTPS protects data from the start: its clients expect it, and say PBSZ and PROT P merely to be sure.
            self.sized = self.private_data = True
            self.greet()

    def handle_tls_failed(self, error: OSError) -> None:
        """It failed; the alert is out, and is read only if what the peer sent meanwhile is taken: unread octets make a RST."""
        self.note_failed_handshake("control", error, self.tls_seconds, self.flights())
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
