"""One POP3 session: from an event to the effects that answer it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

from portyard.commons.accounts.model import Account, Accounts
from portyard.commons.accounts.sasl import Mechanism, blank
from portyard.commons.effects import Authenticated, Close, Effect, Joins, Send, StartTls
from portyard.commons.events import Event, Gone, Line, Timeout, TlsStarted, TooLong
from portyard.commons.mailstore.model import Mailstore
from portyard.commons.scenario.engine import SessionGate
from portyard.commons.scenario.obeying import ruled
from portyard.pop3.core.commands import authorization, transaction
from portyard.pop3.core.grammar import parse_command, print_reply
from portyard.pop3.core.maildrop import Maildrop
from portyard.pop3.core.model import Apop, Auth, BadSyntax, Command, Pass, PeerError, Reply, User
from portyard.pop3.core.state import Machine, Phase
from portyard.pop3.core.verbs import fields_of, verb_of

AUTOLOGOUT_S = 600.0  # RFC 1939 §3: at least 10 minutes
ERRORS_ALLOWED = 50  # a client this lost is not talking POP3
LOGINS_ALLOWED = 10  # guesses at a password in one session


class Held(Protocol):
    """A lock that is held."""

    def release(self) -> None:
        """Let go."""


@dataclass(frozen=True, slots=True)
class House:
    """What the session's edge lends it.

    Attributes:
        accounts: Who may log in.
        mail: The mailstore.
        lock: Takes an account's maildrop exclusively, None while another session has it (RFC 1939 §4).
        timestamp: The greeting's msg-id, never the same twice (RFC 1939 §7, APOP).
        upgradable: STLS is to be had on this listener.
        require_tls: Refuse plaintext logins.
        gate: What the rules want of this session; None for nothing.
    """

    accounts: Accounts
    mail: Mailstore
    lock: Callable[[int], Held | None]
    timestamp: str
    upgradable: bool
    require_tls: bool = False
    gate: SessionGate | None = None


class Session:
    """See `effects.Session`."""

    def __init__(self, house: House, *, tls: bool = False) -> None:
        self.house = house
        self.machine = Machine()
        self.tls = tls
        self.name: str | None = None
        self.mechanism: Mechanism | None = None
        self.mechanism_name = ""
        self.maildrop: Maildrop | None = None
        self.account: Account | None = None
        self._lock: Held | None = None
        self._errors = 0
        self._failed_logins = 0

    @property
    def timeout_s(self) -> float | None:
        """See effects.Session."""
        return AUTOLOGOUT_S

    async def open(self) -> AsyncIterator[Effect]:
        """The greeting (RFC 1939 §4), with the timestamp that APOP digests."""
        yield reply(Reply(True, f"Portyard POP3 ready {self.house.timestamp}"))

    async def receive(self, event: Event) -> AsyncIterator[Effect]:
        """See effects.Session."""
        match event:
            case Line():
                async for effect in self._line(event):
                    yield effect
            case TooLong(limit):
                self.mechanism = None
                yield self._refuse(PeerError(f"the line is longer than {limit} octets"))
            case TlsStarted():
                self.tls = True
                self.name = None  # RFC 2595 §4: the server MUST discard any knowledge obtained from the client
            case Timeout():
                self._put_away()
                yield Close()  # RFC 1939 §3: without removing any messages or sending any response
            case Gone():
                self._put_away()
        if self._errors >= ERRORS_ALLOWED or self._failed_logins >= LOGINS_ALLOWED:
            self._put_away()
            yield Close()

    def transcript(self, event: Event) -> str:
        """See effects.Session."""
        if not isinstance(event, Line):
            return f"«{type(event).__name__}»"
        if self.mechanism is not None:
            return blank(len(event.data))
        with contextlib.suppress(BadSyntax):
            match parse_command(event.data):
                case Pass():
                    return f"PASS {blank(len(event.data) - 5)}"
                case Apop(name, _):
                    return f"APOP {name} {blank(32)}"
                case Auth(mechanism, str(initial)):
                    return f"AUTH {mechanism} {blank(len(initial))}"
        if event.data[:4].upper() in (b"PASS", b"APOP", b"AUTH"):
            return f"{event.data[:4].decode()} {blank(len(event.data) - 4)}"  # malformed, but a secret may be in it
        return event.data.decode("utf-8", "backslashreplace")

    async def _line(self, line: Line) -> AsyncIterator[Effect]:
        try:
            if line.bare_lf:  # RFC 1939 §3: all commands are terminated by a CRLF pair
                self.mechanism = None
                raise BadSyntax("lines end in CRLF, not in LF alone")
            answer = authorization.respond(self, line.data) if self.mechanism else self._command(line.data)
            async for effect in answer:
                yield effect
        except PeerError as error:
            yield self._refuse(error)

    async def _command(self, line: bytes) -> AsyncIterator[Effect]:
        command = parse_command(line)
        if not self.machine.allows(command):
            raise PeerError(self._why_not(type(command).__name__.upper()))
        claimed = await self.claimed(command)
        if claimed is not None:
            yield Joins(claimed)
        try:
            async for effect in ruled(
                self.house.gate, verb_of(command), self._answer(command), said, **fields_of(command)
            ):
                yield effect
        except PeerError:
            self.machine.refused(command)
            raise

    async def _answer(self, command: Command) -> AsyncIterator[Effect]:
        handler = authorization.HANDLERS.get(type(command)) or transaction.HANDLERS[type(command)]
        async for effect in handler(self, command):
            yield effect

    async def claimed(self, command: Command) -> str | None:
        """The sandbox whose name a login claims, before anything is proved."""
        if not isinstance(command, User | Apop):
            return None
        account = await self.house.accounts.find(command.name)
        return None if account is None else account.sandbox

    def _why_not(self, keyword: str) -> str:
        if self.machine.phase is Phase.TRANSACTION:
            return f"{keyword} is for before the login"
        if keyword == "PASS":
            return "PASS follows USER"
        return f"{keyword} is for after the login"

    def _refuse(self, error: PeerError) -> Send:
        self._errors += 1
        return reply(error.reply)

    async def log_in(
        self, account: Account | None, mechanism: str, command: User | Pass | Apop | Auth
    ) -> AsyncIterator[Effect]:
        """Open the maildrop of whoever proved to be somebody (RFC 1939 §4).

        Raises:
            PeerError: Nobody, or the maildrop is in use.
        """
        if account is None:
            self._failed_logins += 1
            raise PeerError("wrong name or password", "AUTH")  # RFC 3206 §4
        lock = self.house.lock(account.id)
        if lock is None:
            raise PeerError("the maildrop is in use by another session", "IN-USE")  # RFC 2449 §8.1.1
        self._lock = lock
        self.account = account
        self.maildrop = await Maildrop.open(self.house.mail, account.id)
        self.machine.succeeded(command)
        yield Authenticated(account.address, mechanism, account.sandbox)
        yield reply(Reply(True, f"maildrop has {len(self.maildrop.messages)} messages"))

    def check_privacy(self) -> None:
        """Refuse a plaintext login where TLS is required.

        Raises:
            PeerError: TLS is required and absent.
        """
        if self.house.require_tls and not self.tls:
            raise PeerError("log in over TLS only: STLS first", "AUTH")

    def start_tls(self) -> AsyncIterator[Effect]:
        """STLS's answer and the upgrade."""
        return _effects(reply(Reply(True, "begin TLS negotiation")), StartTls())

    def release(self) -> None:
        """Let the maildrop go."""
        self._put_away()

    def _put_away(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def reply(value: Reply) -> Send:
    """A status line as an effect."""
    return Send(print_reply(value))


async def said(line: str) -> AsyncIterator[Effect]:
    """A whole reply line that a rule wrote."""
    yield Send(line.encode() + b"\r\n")


async def _effects(*effects: Effect) -> AsyncIterator[Effect]:
    for effect in effects:
        yield effect
