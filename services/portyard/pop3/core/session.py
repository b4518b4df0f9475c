"""One POP3 session: from an event to the effects that answer it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from portyard.commons.accounts.model import Account, Accounts, why_ended
from portyard.commons.accounts.sasl import Mechanism, blank
from portyard.commons.effects import Authenticated, Close, Effect, Joins, Note, Pause, Send, StartTls
from portyard.commons.events import Event, Gone, Line, Timeout, TlsStarted, TooLong
from portyard.commons.mailstore.model import Mailstore
from portyard.commons.scenario.engine import SessionGate
from portyard.commons.scenario.obeying import ruled
from portyard.commons.scenario.quirks import Seats, worded
from portyard.commons.scenario.templates import in_ascii
from portyard.commons.scenario.vocabulary import Scalar
from portyard.pop3.core.commands import authorization, transaction
from portyard.pop3.core.grammar import parse_command, print_reply
from portyard.pop3.core.maildrop import Maildrop
from portyard.pop3.core.model import Apop, Auth, BadSyntax, Command, Pass, PeerError, Reply, User
from portyard.pop3.core.quirks import NONE, Quirks
from portyard.pop3.core.state import Machine, Phase
from portyard.pop3.core.telling import fields_of, verb_of

RECENT = "recent:"  # before a login name, where the quirks know it
_SECRETIVE = frozenset({b"PASS", b"APOP", b"AUTH"})  # with these a secret comes
_OPEN = frozenset({b"STAT", b"LIST", b"RETR", b"TOP ", b"UIDL", b"DELE", b"NOOP"})  # with these none, most often


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
        quirks: How this server differs.
        facts: What a persona's texts may tell: `host`, `peer`, `session`, `time`.
        seats: Where an account's sessions are counted.
        now: A sandbox's time.
        sandbox_of: The sandbox that a login name claims, whether or not there is such an account; None for its account's.
    """

    accounts: Accounts
    mail: Mailstore
    lock: Callable[[int], Held | None]
    timestamp: str
    upgradable: bool
    require_tls: bool = False
    gate: SessionGate | None = None
    quirks: Quirks = NONE
    facts: Mapping[str, str] = field(default_factory=dict)
    seats: Seats = field(default_factory=Seats)
    now: Callable[[str], datetime] | None = None
    sandbox_of: Callable[[str], Awaitable[str | None]] | None = None


class Session:
    """See `effects.Session`."""

    def __init__(self, house: House, *, tls: bool = False) -> None:
        self.house = house
        if house.gate is not None:
            house.gate.spelling = in_ascii  # RFC 6856 §2.1: without UTF8 nothing but messages may be in it
        self.machine = Machine()
        self.tls = tls
        self.name: str | None = None
        self._before = b""  # the last command's word, as the transcript saw it; those of `_OPEN` go unseen
        self.mechanism: Mechanism | None = None
        self.mechanism_name = ""
        self.maildrop: Maildrop | None = None
        self.account: Account | None = None
        self._lock: Held | None = None
        self._errors = 0
        self._failed_logins = 0
        self._recent = False

    @property
    def timeout_s(self) -> float | None:
        """See effects.Session."""
        return self.quirks.limits.silence_s  # RFC 1939 §3

    @property
    def quirks(self) -> Quirks:
        """How this server differs."""
        return self.house.quirks

    @property
    def may_log_in(self) -> bool:
        """Whether a password may be told now."""
        return self.tls or not (self.house.require_tls or self.quirks.require_tls)

    async def open(self) -> AsyncIterator[Effect]:
        """The greeting (RFC 1939 §4), with the timestamp that APOP digests."""
        text = self._worded("greeting", {}, "Portyard POP3 ready")
        stamp = "" if "APOP" in self.quirks.missing else f" {self.house.timestamp}"  # RFC 1939 §7
        yield reply(Reply(True, text + stamp))

    def ok(self, name: str, text: str, /, **values: str | int) -> Send:
        """A positive status line, in the persona's words where it has some."""
        return reply(Reply(True, self._worded(name, values, text)))

    def _worded(self, name: str, values: Mapping[str, str | int], text: str) -> str:
        return worded(self.quirks.replies, name, {**self.house.facts, **values}, text)

    async def receive(self, event: Event) -> AsyncIterator[Effect]:
        """See effects.Session."""
        match event:
            case Line():
                async for effect in self._line(event):
                    yield effect
            case TooLong(limit):
                self.mechanism = None
                for effect in self._refused(PeerError(f"the line is longer than {limit} octets"), ""):
                    yield effect
            case TlsStarted():
                self.tls = True
                self.name = None  # RFC 2595 §4: the server MUST discard any knowledge obtained from the client
            case Timeout():
                self._put_away()
                yield Close()  # RFC 1939 §3: without removing any messages or sending any response
            case Gone():
                self._put_away()
        if self._errors >= self.quirks.limits.errors or self._failed_logins >= self.quirks.limits.logins:
            self._put_away()
            if self.quirks.replies.errors is not None:
                yield reply(Reply(False, self._worded("errors", {}, "")))
            yield Close()

    def transcript(self, event: Event) -> str | bytes:
        """See effects.Session."""
        if not isinstance(event, Line):
            return f"«{type(event).__name__}»"
        if self.mechanism is not None:
            return blank(len(event.data))
        if self._before != b"AUTH" and event.data[:4] in _OPEN:
            return event.data
        word, before = event.data.lstrip()[:4].upper(), self._before
        self._before = word
        if word not in _SECRETIVE:
            if before == b"AUTH" and len(event.data) > 4 and b" " not in event.data:
                self._before = before
                return blank(len(event.data))  # a mechanism was refused, and the client goes on as if it hadn't been
            return event.data
        with contextlib.suppress(BadSyntax):
            match parse_command(event.data):
                case Pass():
                    return f"PASS {blank(len(event.data) - 5)}"
                case Apop(name, _):
                    return f"APOP {name} {blank(32)}"
                case Auth(mechanism, str(initial)):
                    return f"AUTH {mechanism} {blank(len(initial))}"
                case Auth(mechanism, None):
                    return f"AUTH {mechanism or ''}".rstrip()
        return f"{word.decode()} {blank(len(event.data) - 4)}"  # malformed, but a secret may be in it

    async def _line(self, line: Line) -> AsyncIterator[Effect]:
        try:
            if line.bare_lf:  # RFC 1939 §3: all commands are terminated by a CRLF pair
                self.mechanism = None
                raise BadSyntax("lines end in CRLF, not in LF alone")
            answer = authorization.respond(self, line.data) if self.mechanism else self._command(line.data)
            async for effect in answer:
                yield effect
        except PeerError as error:
            for effect in self._refused(error, line.data[:4].decode("ascii", "backslashreplace").strip().upper()):
                yield effect

    async def _command(self, line: bytes) -> AsyncIterator[Effect]:
        command = parse_command(line)
        keyword = type(command).__name__.upper()
        if keyword in self.quirks.missing:
            raise BadSyntax(f"unknown command {keyword}", "unknown")
        if not self.machine.allows(command):
            raise PeerError(self._why_not(keyword), name="state")
        if isinstance(command, User | Apop):
            async for effect in self.claim(self.login_of(command.name)):
                yield effect
        answer = self._answer(command)
        if not (isinstance(command, Auth) and command.mechanism):  # which is asked for when its name is known
            answer = self.ruled(command, answer, partial(fields_of, command), line if self.account else None)
        async for effect in answer:
            yield effect

    async def _answer(self, command: Command) -> AsyncIterator[Effect]:
        handler = authorization.HANDLERS.get(type(command)) or transaction.HANDLERS[type(command)]
        async for effect in self._told(command, handler(self, command)):
            yield effect

    async def _told(self, command: Command, answer: AsyncIterator[Effect]) -> AsyncIterator[Effect]:
        """An answer with its refusal among it, so that a lie is told in the refusal's place, too."""
        try:
            async for effect in answer:
                yield effect
        except PeerError as error:
            self.machine.refused(command)
            for effect in self._refused(error, type(command).__name__.upper()):
                yield effect

    def proved(self, command: Auth, answer: AsyncIterator[Effect], fields: dict[str, Scalar]) -> AsyncIterator[Effect]:
        """What an exchange leads to, as the rules want it: they are asked once the name is known."""
        return self.ruled(command, self._told(command, answer), lambda: fields)

    def ruled(
        self,
        command: Command,
        answer: AsyncIterator[Effect],
        fields: Callable[[], dict[str, Scalar]],
        line: bytes | None = None,
    ) -> AsyncIterator[Effect]:
        """A command's answer as the rules want it; the line where it tells all of the command's fields, and holds no secret."""
        gate = self.house.gate
        if gate is None or not gate.heeds(verb_of(command), fields, event=line):
            return answer
        return ruled(gate, verb_of(command), answer, refused, said, **fields())

    async def claim(self, login: str) -> AsyncIterator[Effect]:
        """Join the sandbox of a login name, before anything is proved."""
        if self.house.sandbox_of is not None:
            sandbox = await self.house.sandbox_of(login)
        else:
            account = await self.house.accounts.find(login)
            sandbox = None if account is None else account.sandbox
        if sandbox is not None:
            yield Joins(sandbox)

    def login_of(self, name: str) -> str:
        """The login name; what stands before it is heeded where the quirks know it."""
        self._recent = bool(self.quirks.recent_days) and name.startswith(RECENT)
        return name.removeprefix(RECENT) if self._recent else name

    def _why_not(self, keyword: str) -> str:
        if self.machine.phase is Phase.TRANSACTION:
            return f"{keyword} is for before the login"
        if keyword == "PASS":
            return "PASS follows USER"
        return f"{keyword} is for after the login"

    def _refused(self, error: PeerError, keyword: str) -> Iterator[Effect]:
        if error.name == "bad_login" and self.quirks.failed_login_delay_s:
            yield Pause(self.quirks.failed_login_delay_s)
        error.values.setdefault("command", keyword)
        self._errors += 1
        ours = error.reply
        text = f"[{ours.code}] {ours.text}" if ours.code else ours.text
        yield reply(Reply(False, self._worded(error.name, error.values, text)))

    async def log_in(
        self, account: Account | None, mechanism: str, command: User | Pass | Apop | Auth
    ) -> AsyncIterator[Effect]:
        """Open the maildrop of whoever proved to be somebody (RFC 1939 §4).

        Raises:
            PeerError: Nobody, or the maildrop is in use.
        """
        if account is None:
            self._failed_logins += 1
            raise PeerError("wrong name or password", "AUTH", "bad_login")  # RFC 3206 §4
        if not self.house.seats.take(account.id, self, self.quirks.limits.connections):
            raise PeerError("too many sessions of this account", "IN-USE", "connections")
        if not self.quirks.shared:
            self._lock = self.house.lock(account.id)
            if self._lock is None:
                self.house.seats.leave(account.id, self)
                raise PeerError("the maildrop is in use by another session", "IN-USE", "locked")  # RFC 2449 §8.1.1
        self.account = account
        self.maildrop = await Maildrop.open(self.house.mail, account.id, self.quirks, self._since(account))
        self.machine.succeeded(command)
        yield Authenticated(account.address, mechanism, account.sandbox)
        drop = self.maildrop
        yield Note("data", drop.told())
        yield self.ok("welcome", f"maildrop has {len(drop.messages)} messages", **drop.totals())

    async def why_ended(self) -> str:
        """Why the account isn't there any more; "" while it is, or nobody has logged in."""
        return await why_ended(self.house.accounts, self.account) if self.account is not None else ""

    def _since(self, account: Account) -> datetime | None:
        """From when on a login that asks for recent messages sees all of them; None for one that doesn't ask."""
        if not self._recent or self.house.now is None:
            return None
        return self.house.now(account.sandbox) - timedelta(days=self.quirks.recent_days)

    def check_privacy(self) -> None:
        """Refuse a plaintext login where TLS is required.

        Raises:
            PeerError: TLS is required and absent.
        """
        if not self.may_log_in:
            raise PeerError("log in over TLS only: STLS first", "AUTH", "privacy")

    def start_tls(self) -> AsyncIterator[Effect]:
        """STLS's answer and the upgrade."""
        return _effects(self.ok("stls", "begin TLS negotiation"), StartTls())

    def release(self) -> None:
        """Let the maildrop go."""
        self._put_away()

    def _put_away(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        if self.account is not None:
            self.house.seats.leave(self.account.id, self)


def reply(value: Reply) -> Send:
    """A status line as an effect."""
    return Send(print_reply(value))


async def said(text: str) -> AsyncIterator[Effect]:
    """A whole reply that a rule wrote, of a line or several."""
    yield Send(b"".join(line.encode() + b"\r\n" for line in text.replace("\r\n", "\n").split("\n")))


def refused(text: str) -> AsyncIterator[Effect]:
    """A refusal that a rule wrote; one without a status indicator (a magic word's) is given it (RFC 1939 §3)."""
    return said(text if text.startswith("-ERR") else f"-ERR {text}")


async def _effects(*effects: Effect) -> AsyncIterator[Effect]:
    for effect in effects:
        yield effect
