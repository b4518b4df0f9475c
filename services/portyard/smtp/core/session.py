"""One connection's core, the same for the three roles: events in, effects out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final

from portyard.commons.effects import Close, Effect, Pause
from portyard.commons.events import DotBlock, Event, Gone, Line, Timeout, TlsStarted, TooLong
from portyard.smtp.core import model, ruled_content, ruling
from portyard.smtp.core.commands import hello, security, transaction
from portyard.smtp.core.context import Context
from portyard.smtp.core.grammar import parse_command
from portyard.smtp.core.hop import KEYWORD, is_pass
from portyard.smtp.core.model import Command, PeerError, Reply, reply
from portyard.smtp.core.state import Phase

LINE_TOO_LONG: Final = reply(500, "5.5.2", "the line is too long")
_COUNTED: Final = frozenset(
    {500, 501, 502, 503, 504, 535, 555}
)  # refused senders and recipients are no errors of the client
_OPEN: Final = frozenset(
    {b"MAIL", b"RCPT", b"DATA", b"RSET", b"NOOP", b"QUIT"}
)  # what needs no closer look for a secret
_EXCHANGE: Final = Phase.AUTH
_PROOF: Final = KEYWORD.encode() + b"="


class Session:
    """The conversation with one peer.

    Args:
        context: The connection's facts; `context.peer.tls` is set already on a port that speaks TLS from the first octet.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        if context.gate is not None:
            context.gate.spelling = context.spelt

    @property
    def timeout_s(self) -> float | None:
        """Seconds of silence after which the peer is told goodbye (RFC 5321 §4.5.3.2)."""
        return self.context.limits.silence_s

    async def open(self) -> AsyncIterator[Effect]:
        """The greeting (RFC 5321 §4.2; no enhanced code in it: RFC 2034 §4)."""
        context, role = self.context, self.context.role
        if not context.seats.take(context.peer.address, context, context.quirks.limits.connections):
            yield context.say(reply(421, "4.3.2", "too many connections from your address", name="connections"))
            yield Close()
            return
        text = f"{role.host} {'LMTP' if role.lmtp else 'ESMTP'} Portyard"
        yield context.say(reply(220, "", text, name="greeting"))

    async def receive(self, event: Event) -> AsyncIterator[Effect]:
        """The answer to one event."""
        gate = self.context.gate
        ruled = gate is not None and gate.armed
        effects: ruling.Answer
        match event:
            case Line() if ruled:
                effects = await ruling.line(self, event)
            case DotBlock() if ruled:
                effects = await ruled_content.content(self, event)
            case Line():
                effects = await self._line(event)
            case DotBlock():
                effects = await transaction.message(self.context, event)
                self.context.machine.settle()
            case TooLong():
                effects = self._too_long()
            case TlsStarted(version, cipher):
                self._restart(f"{version} {cipher}")
                effects = ()
            case Timeout():
                answer = reply(421, "4.4.2", "nothing came for too long", name="silence")
                effects = (self.context.say(answer), Close())
            case _:
                effects = ()
        if not isinstance(effects, Sequence):
            async for effect in effects:
                if isinstance(effect, Close):
                    self._leave()
                yield effect
            return
        for effect in effects:
            if isinstance(effect, Close):
                self._leave()
            yield effect
        if isinstance(event, Gone | Timeout):
            self._leave()
            self.context.machine.finish()
            self.context.transaction = None

    def _leave(self) -> None:
        self.context.seats.leave(self.context.peer.address, self.context)

    def transcript(self, event: Event) -> str | bytes:
        """The event as the journal shows it, secrets blanked."""
        if type(event) is Line:
            return self._transcript_line(event.data)
        match event:
            case DotBlock(_, size):
                return f"«message, {size} octets»"
            case TooLong(limit, head):
                word = head.partition(b" ")[0][:16]
                return f"{word.decode('ascii', 'backslashreplace')} «line over {limit} octets»"
            case _:
                return type(event).__name__

    def exchanging(self, line: Line) -> bool:
        """Whether the line is a word of an AUTH exchange, not a command.

        Raises:
            PeerError: It is neither.
        """
        if line.bare_lf:  # RFC 5321 §2.3.8
            self.drop_exchange()
            raise PeerError(reply(500, "5.5.2", "lines end in CRLF, this one in LF alone"))
        return self.context.machine.phase is Phase.AUTH

    def read(self, data: bytes) -> Command:
        """The command of a line, if it may come now.

        Raises:
            PeerError: It isn't one, or may not.
        """
        if len(data) + 2 > self.context.limits.command_line and data[:5].upper() != b"AUTH ":
            raise PeerError(LINE_TOO_LONG)
        context = self.context
        context.command = data.partition(b" ")[0][:16].decode("ascii", "backslashreplace").upper()
        command = parse_command(data)
        if isinstance(command, model.Noop) and command.string and is_pass(command.string, context.secret):
            context.trust()
        if isinstance(command, model.Data) and context.transaction and not context.transaction.recipients:
            raise PeerError(transaction.no_recipients(context))
        context.machine.admit(command)
        return command

    async def answer(self, command: Command) -> Sequence[Effect]:
        """Do what an admitted command asks.

        Raises:
            PeerError: It is refused; nothing was done.
        """
        context = self.context
        effects = await _HANDLERS[type(command)](context, command)
        context.machine.advance(command)
        if isinstance(command, model.Auth) and context.exchange is None:
            context.machine.settle()
        return effects

    def refuse(self, answer: Reply) -> Sequence[Effect]:
        """Send a refusal; one wrong command or password too many closes the connection."""
        context = self.context
        context.errors += answer.code in _COUNTED
        wait = context.quirks.tarpit_s if answer.code >= 500 else 0.0
        said: Sequence[Effect] = (Pause(wait), context.say(answer)) if wait else (context.say(answer),)
        if context.errors < context.limits.errors:
            return said
        return (*said, context.say(reply(421, "4.7.0", "too many errors", name="errors")), Close())

    def drop_exchange(self) -> None:
        """End an AUTH exchange where one is under way."""
        if self.context.machine.phase is Phase.AUTH:
            self.context.exchange = None
            self.context.machine.settle()

    async def _line(self, line: Line) -> Sequence[Effect]:
        try:
            if self.exchanging(line):
                return await self._exchange(line.data)
            return await self.answer(self.read(line.data))
        except PeerError as error:
            return self.refuse(error.reply)

    async def _exchange(self, data: bytes) -> Sequence[Effect]:
        try:
            return await security.respond(self.context, data)
        finally:
            if self.context.exchange is None:
                self.context.machine.settle()

    def _too_long(self) -> Sequence[Effect]:
        if self.context.machine.phase is Phase.AUTH:
            self.drop_exchange()
            return self.refuse(reply(500, "5.5.6", "the authentication exchange line is too long"))  # RFC 4954 §4
        return self.refuse(LINE_TOO_LONG)

    def _restart(self, tls: str) -> None:
        """Forget everything that was learned in plaintext (RFC 3207 §4.2)."""
        context = self.context
        context.peer = model.Peer(context.peer.address, tls=tls, home=context.peer.home)
        context.transaction = context.exchange = None
        context.machine.restart()
        if context.gate is not None:
            context.gate.account = ""

    def _transcript_line(self, data: bytes) -> str | bytes:
        if self.context.machine.phase is _EXCHANGE and data != b"*":
            return f"«secret, {len(data)} bytes»"
        if data[:4] in _OPEN and _PROOF not in data:
            return data
        start = data.lstrip()
        if (
            start[:4].upper() == b"AUTH" and start[4:5].isspace()
        ):  # also where blanks make it a syntax error: a secret is in it
            mechanism, *more = start[4:].split(None, 1) or [b""]
            shown = f"AUTH {mechanism.decode('utf-8', 'backslashreplace')}"
            if start[4:5] != b" ":  # what stands here may be the secret itself
                return f"AUTH «secret, {len(start) - 5} bytes»"
            return f"{shown} «secret, {len(more[0])} bytes»" if more else shown
        if _PROOF not in data:
            return data
        before, found, after = data.partition(_PROOF)
        proof, space, rest = after.partition(b" ")
        return before + found + f"«secret, {len(proof)} bytes»".encode() + space + rest


_HANDLERS: Final[dict[type[Command], Callable[[Context, Any], Awaitable[Sequence[Effect]]]]] = {
    model.Ehlo: hello.hello,
    model.Helo: hello.hello,
    model.Lhlo: hello.hello,
    model.Mail: transaction.mail,
    model.Rcpt: transaction.rcpt,
    model.Data: transaction.data,
    model.Rset: hello.rset,
    model.Vrfy: hello.vrfy,
    model.Expn: hello.expn,
    model.Help: hello.help_,
    model.Noop: hello.noop,
    model.Quit: hello.quit_,
    model.StartTls: security.starttls,
    model.Auth: security.auth,
}
