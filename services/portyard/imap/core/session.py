"""A session: collects lines and literals into commands, and has them run as the rules want it. Knows no socket, clock or chance."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from portyard.commons.accounts.model import Accounts
from portyard.commons.clock import Clocks
from portyard.commons.effects import Close, Effect, Joins, Send, Unwatch
from portyard.commons.events import Event, Gone, Line, Literal, MailboxChanged, Timeout, TlsStarted, TooLong
from portyard.commons.mailstore.model import Mailstore
from portyard.commons.scenario.model import Scalar, Verdict
from portyard.commons.scenario.obeying import Gate, obeyed
from portyard.commons.scenario.quirks import worded
from portyard.imap.core import transcript
from portyard.imap.core.commands import HANDLERS
from portyard.imap.core.context import Answer, Claimed, Context, Offer
from portyard.imap.core.fields import verb_for
from portyard.imap.core.gathering import FarTooLargeError, Gathered, Gathering
from portyard.imap.core.grammar import tag_of, verb_of
from portyard.imap.core.lexing import BadSyntax
from portyard.imap.core.model import Authenticate, Command, Login, Request
from portyard.imap.core.replies import Tagged, ruled_lines, ruled_refusal, status_line
from portyard.imap.core.running import Running, name_of
from portyard.imap.core.state import BY_NAME, Happening, Machine, Phase

SandboxOf = Callable[[str], Awaitable[str | None]]


class ImapSession:
    """See the module's text; implements `Session` of commons.

    Args:
        accounts: Who may log in.
        mail: The mailboxes.
        offer: What the connection allows.
        secure: TLS is below from the start.
        gate: What the rules want of this session; None for nothing.
        sandbox_of: The sandbox that a claimed login names, whether or not there is such an account; None for none.
        clocks: Every sandbox's time; None for the store's.
    """

    def __init__(
        self,
        accounts: Accounts,
        mail: Mailstore,
        offer: Offer,
        *,
        secure: bool = False,
        gate: Gate = None,
        sandbox_of: SandboxOf | None = None,
        clocks: Clocks | None = None,
    ) -> None:
        self._context = Context(accounts, mail, offer, secure=secure, gate=gate, clocks=clocks)
        self._gate = gate
        self._sandbox_of = sandbox_of or self._sandbox_of_account
        self._machine = Machine()
        self._gathering = Gathering(self._context, self._may)
        self._running = Running(self._context, self._machine, self._claim)

    @property
    def timeout_s(self) -> float | None:
        """How long the peer may stay silent, in seconds."""
        limits = self._context.quirks.limits
        return limits.silence_s if self._context.account is not None else limits.login_s or limits.silence_s

    @property
    def phase(self) -> Phase:
        """Where the session stands."""
        return self._machine.phase

    async def open(self) -> AsyncIterator[Effect]:
        """The greeting (RFC 3501 §7.1)."""
        context = self._context
        text = worded(context.quirks.replies, "greeting", context.offer.facts, "Portyard IMAP4rev1 ready")
        told = "greeting" in context.quirks.tells_capabilities
        yield Send(status_line("*", "OK", text, f"CAPABILITY {context.capabilities()}" if told else None))

    def transcript(self, event: Event) -> str:
        """The event as the journal shows it, secrets blanked."""
        if self._running.dialogue is not None and isinstance(event, Line):
            return transcript.dialogue_line(event, secret=self._running.dialogue.secret)
        return transcript.shown(event, tuple(self._gathering.lines))

    async def receive(self, event: Event) -> AsyncIterator[Effect]:
        """The answer to one event."""
        match event:
            case Line() if self._running.dialogue is not None:
                answers = self._running.converse(event.data)
            case Line():
                answers = self._take_line(event)
            case Literal(data):
                self._gathering.take_literal(data)
                return
            case TooLong(_, head):
                answers = self._over_long(head)
            case TlsStarted():
                self._context.secure = True
                return
            case MailboxChanged():
                answers = self._running.tell_news()
            case Timeout():
                answers = self._running.bye("Autologout; idle for too long", name="autologout")  # RFC 3501 §5.4
            case _:
                assert isinstance(event, Gone), "framing hands out no such event"
                self._machine.happened(Happening.BYE)
                self._leave()
                return
        async for effect in answers:
            yield effect
        if self.phase is Phase.LOGOUT:
            self._leave()

    def _leave(self) -> None:
        if self._context.account is not None:
            self._context.offer.seats.leave(self._context.account.id, self._context)

    # Lines and literals to commands.

    async def _take_line(self, line: Line) -> AsyncIterator[Effect]:
        try:
            async for effect in self._gathering.take_line(line):
                if not isinstance(effect, Gathered):
                    yield effect
                    continue
                async for answer in self._command(effect):
                    yield answer
        except FarTooLargeError:
            async for answer in self._running.bye("Literal far too large", "TOOBIG"):
                yield answer

    async def _command(self, gathered: Gathered) -> AsyncIterator[Effect]:
        appending, refused = gathered.appending, gathered.refused
        if appending is not None and appending.verdict is not None and refused is not None and refused.told is not None:
            self._running.request = appending.request
            async for effect in self._obey(appending.verdict, "append", nothing()):
                yield effect
            return
        try:
            if refused is not None:
                raise BadSyntax(refused.text, status=refused.status, code=refused.code)
            request = self._context.read(gathered.frame)
        except BadSyntax as error:
            tag = error.tag or tag_of(gathered.frame.text) or "*"
            answer = Tagged(error.status, str(error), error.code, name=error.name)
            async for effect in self._complain(tag, answer, verb_of(gathered.frame.text)):
                yield effect
            return
        if not self._machine.allows(request.command):
            reason = f"{name_of(request)} is not allowed in the {self.phase.value} state"
            async for effect in self._complain(request.tag, Tagged("BAD", reason, name="state"), name_of(request)):
                yield effect
            return
        if type(request.command) in BY_NAME and (words := await self._context.why_ended()):
            async for effect in self._running.bye(words):
                yield effect
            return
        self._running.request = request
        async for effect in self._ruled(request.command, gathered):
            yield effect

    async def _may(self, request: Request) -> bool:
        """Whether a command could be run; the account is looked for before its mailboxes are reached by name."""
        if not self._machine.allows(request.command):
            return False
        return type(request.command) not in BY_NAME or not await self._context.why_ended()

    async def _complain(self, tag: str, answer: Tagged, command: str) -> AsyncIterator[Effect]:
        """Answer something that wasn't run."""
        text, code = self._context.worded(answer, command, {})
        yield Send(status_line(tag, answer.status, text, code))
        self._running.bad += 1
        async for effect in self._running.lose_patience():
            yield effect

    async def _over_long(self, head: bytes) -> AsyncIterator[Effect]:
        line = self._gathering.lines[0] if self._gathering.lines else head
        self._gathering.forget()
        answer = Tagged("BAD", "Line too long", "TOOBIG")
        if self._running.dialogue is not None:
            watching, self._running.dialogue = self._running.dialogue.watching, None
            if watching:
                yield Unwatch()
            effects = self._running.finish(answer)
        else:
            effects = self._complain(tag_of(line) or "*", answer, verb_of(line))
        async for effect in effects:
            yield effect

    # Rules.

    async def _ruled(self, command: Command, gathered: Gathered) -> AsyncIterator[Effect]:
        """Run a command as the rules want it; for a login they are asked once its name is claimed."""
        answer = HANDLERS[type(command)](self._context, command)
        if gathered.appending is not None:
            verdict = gathered.appending.verdict
        elif isinstance(command, Login | Authenticate):
            verdict = None
        else:
            verdict = await self._context.ruling.verdict(command, gathered.frame, self._context.mailbox_name)
        async for effect in self._obey(verdict, verb_for(command), answer):
            yield effect

    async def _claim(self, claimed: Claimed) -> AsyncIterator[Effect]:
        """Join the sandbox of a name, then go on as its rules want it."""
        assert self._running.request is not None
        sandbox = await self._sandbox_of(claimed.login)
        if sandbox is not None:
            yield Joins(sandbox)
        if claimed.answer is None:
            return
        fields: dict[str, Scalar] = {"login": claimed.login}
        if isinstance(self._running.request.command, Authenticate):
            fields["mechanism"] = claimed.mechanism
        verb = verb_for(self._running.request.command)
        gate = self._gate
        verdict = await gate.ask(verb, **fields) if gate is not None and gate.armed else None
        async for effect in self._obey(verdict, verb, claimed.answer):
            yield effect

    async def _sandbox_of_account(self, login: str) -> str | None:
        account = await self._context.accounts.find(login)
        return None if account is None else account.sandbox

    async def _obey(self, verdict: Verdict | None, verb: str, answer: AsyncIterator[Answer]) -> AsyncIterator[Effect]:
        if verdict is None:
            async for effect in self._running.run(answer):
                yield effect
            return
        assert self._running.request is not None
        tag = self._running.request.tag

        def heard(line: bytes) -> None:
            nonlocal tag
            if verb_of(line):  # RFC 3501 §2.2.1; DONE and what answers a challenge have no tag of their own
                tag = tag_of(line) or tag

        async def lied(text: str) -> AsyncIterator[Effect]:
            if verdict.script is None:
                self._running.lie = ruled_lines(tag, text)
                async for effect in self._running.run(answer):
                    yield effect
                self._running.lie = None
            else:
                yield Send(ruled_lines(tag, text))

        truth = nothing() if verdict.say is not None else self._running.run(answer)
        async for effect in obeyed(verdict, verb, truth, self._refuse, lied, heard):
            yield effect

    async def _refuse(self, text: str) -> AsyncIterator[Effect]:
        """End the command as a rule says that it failed."""
        assert self._running.request is not None
        final = ruled_refusal(self._running.request.tag, text)
        if final.status in ("NO", "BAD"):
            async for effect in self._running.finish(final):
                yield effect
        else:
            self._machine.happened(Happening.BYE)  # RFC 3501 §7.1.5
            yield Send(final.told or b"")
            yield Close()


async def nothing() -> AsyncIterator[Any]:
    """No answer."""
    return
    yield  # makes it a generator
