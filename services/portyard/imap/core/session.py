"""A session: collects lines and literals into commands, runs them, tells what changed, answers. Knows no socket, clock or chance."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from portyard.commons.accounts.model import Accounts
from portyard.commons.clock import Clocks
from portyard.commons.effects import Abort, Close, Effect, Joins, Note, Send, Unwatch
from portyard.commons.events import Event, Gone, Line, Literal, MailboxChanged, Timeout, TlsStarted, TooLong
from portyard.commons.mailstore.model import (
    InvalidMailboxNameError,
    MailboxExistsError,
    Mailstore,
    MailstoreError,
    NoSuchMailboxError,
    StoreFullError,
)
from portyard.commons.scenario.model import Scalar, Verdict
from portyard.commons.scenario.obeying import Gate, interrupted, obeyed, ruled
from portyard.commons.scenario.quirks import worded
from portyard.imap.core import transcript
from portyard.imap.core.commands import HANDLERS
from portyard.imap.core.context import (
    Answer,
    BrokenAnswerError,
    Claimed,
    Context,
    Dialogue,
    MailboxGoneError,
    News,
    Offer,
)
from portyard.imap.core.fields import fields_for, verb_for
from portyard.imap.core.gathering import Appending, FarTooLargeError, Gathered, Gathering
from portyard.imap.core.grammar import tag_of, verb_of
from portyard.imap.core.lexing import BadSyntax
from portyard.imap.core.model import Authenticate, Command, Delete, Fetch, Login, Request, Search, Store
from portyard.imap.core.names import encode_name
from portyard.imap.core.replies import Refusal, Tagged, ruled_lines, ruled_refusal, status_line
from portyard.imap.core.state import BY_NAME, Happening, Machine, Outcome, Phase

SEND_SIZE = 32 * 1024  # octets of short lines gathered before they are sent


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
        self._lie: bytes | None = None  # what a rule wants said in place of the answer
        self._request: Request | None = None
        self._dialogue: Dialogue | None = None
        self._bad = 0
        self._failed_logins = 0
        self._out = bytearray()

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
        if self._dialogue is not None and isinstance(event, Line):
            return transcript.dialogue_line(event, secret=self._dialogue.secret)
        return transcript.shown(event, tuple(self._gathering.lines))

    async def receive(self, event: Event) -> AsyncIterator[Effect]:
        """The answer to one event."""
        match event:
            case Line() if self._dialogue is not None:
                answers = self._converse(event)
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
                answers = self._tell_news()
            case Timeout():
                answers = self._bye("Autologout; idle for too long", name="autologout")  # RFC 3501 §5.4
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
            async for answer in self._bye("Literal far too large", "TOOBIG"):
                yield answer

    async def _command(self, gathered: Gathered) -> AsyncIterator[Effect]:
        appending, refused = gathered.appending, gathered.refused
        if appending is not None and appending.verdict is not None and refused is not None and refused.told is not None:
            self._request = appending.request
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
            reason = f"{_name(request)} is not allowed in the {self.phase.value} state"
            async for effect in self._complain(request.tag, Tagged("BAD", reason, name="state"), _name(request)):
                yield effect
            return
        if not await self._may(request):
            async for effect in self._bye("Account was deleted"):
                yield effect
            return
        self._request = request
        async for effect in self._ruled(request.command, appending):
            yield effect

    async def _may(self, request: Request) -> bool:
        """Whether a command could be run; the account is looked for before its mailboxes are reached by name."""
        if not self._machine.allows(request.command):
            return False
        if type(request.command) not in BY_NAME:
            return True  # the selected mailbox tells its end by itself
        account = self._context.account
        assert account is not None, "the table lets only somebody who is logged in come here"
        found = await self._context.accounts.by_address(account.sandbox, account.address)
        return found is not None and found.id == account.id

    async def _complain(self, tag: str, answer: Tagged, command: str) -> AsyncIterator[Effect]:
        """Answer something that wasn't run."""
        text, code = self._context.worded(answer, command, {})
        yield Send(status_line(tag, answer.status, text, code))
        self._bad += 1
        async for effect in self._lose_patience():
            yield effect

    async def _lose_patience(self) -> AsyncIterator[Effect]:
        limits = self._context.quirks.limits
        if self._bad >= limits.errors or self._failed_logins >= limits.logins:
            what, name = ("bad commands", "errors") if self._bad >= limits.errors else ("wrong passwords", "logins")
            async for effect in self._bye(f"Too many {what}", name=name):
                yield effect

    async def _over_long(self, head: bytes) -> AsyncIterator[Effect]:
        line = self._gathering.lines[0] if self._gathering.lines else head
        self._gathering.forget()
        answer = Tagged("BAD", "Line too long", "TOOBIG")
        if self._dialogue is not None:
            watching, self._dialogue = self._dialogue.watching, None
            if watching:
                yield Unwatch()
            effects = self._finish(answer)
        else:
            effects = self._complain(tag_of(line) or "*", answer, verb_of(line))
        async for effect in effects:
            yield effect

    # Rules.

    async def _ruled(self, command: Command, appending: Appending | None) -> AsyncIterator[Effect]:
        """Run a command as the rules want it; for a login they are asked once its name is claimed."""
        answer, verb = HANDLERS[type(command)](self._context, command), verb_for(command)
        if appending is not None:
            verdict = appending.verdict
        elif isinstance(command, Login | Authenticate) or self._gate is None or not self._gate.armed:
            verdict = None
        else:
            verdict = await self._gate.ask(verb, **fields_for(command, self._context.mailbox_name))
        async for effect in self._obey(verdict, verb, answer):
            yield effect

    async def _claim(self, claimed: Claimed) -> AsyncIterator[Effect]:
        """Join the sandbox of a name, then go on as its rules want it."""
        assert self._request is not None
        sandbox = await self._sandbox_of(claimed.login)
        if sandbox is not None:
            yield Joins(sandbox)
        if claimed.answer is None:
            return
        fields: dict[str, Scalar] = {"login": claimed.login}
        if isinstance(self._request.command, Authenticate):
            fields["mechanism"] = claimed.mechanism
        verb = verb_for(self._request.command)
        gate = self._gate
        verdict = await gate.ask(verb, **fields) if gate is not None and gate.armed else None
        async for effect in self._obey(verdict, verb, claimed.answer):
            yield effect

    async def _sandbox_of_account(self, login: str) -> str | None:
        account = await self._context.accounts.find(login)
        return None if account is None else account.sandbox

    async def _obey(self, verdict: Verdict | None, verb: str, answer: AsyncIterator[Answer]) -> AsyncIterator[Effect]:
        if verdict is None:
            async for effect in self._run(answer):
                yield effect
            return
        assert self._request is not None
        tag = self._request.tag

        def heard(line: bytes) -> None:
            nonlocal tag
            tag = tag_of(line) or tag

        async def lied(text: str) -> AsyncIterator[Effect]:
            if verdict.script is None:
                self._lie = ruled_lines(tag, text)
                async for effect in self._run(answer):
                    yield effect
                self._lie = None
            else:
                yield Send(ruled_lines(tag, text))

        truth = nothing() if verdict.say is not None else self._run(answer)
        async for effect in obeyed(verdict, verb, truth, self._refuse, lied, heard):
            yield effect

    async def _refuse(self, text: str) -> AsyncIterator[Effect]:
        """End the command as a rule says that it failed."""
        assert self._request is not None
        final = ruled_refusal(self._request.tag, text)
        if final.status in ("NO", "BAD"):
            async for effect in self._finish(final):
                yield effect
        else:
            self._machine.happened(Happening.BYE)  # RFC 3501 §7.1.5
            yield Send(final.told or b"")
            yield Close()

    # Running a command.

    async def _converse(self, line: Line) -> AsyncIterator[Effect]:
        assert self._dialogue is not None
        dialogue, self._dialogue = self._dialogue, None
        if dialogue.watching:
            async for effect in interrupted(self._gate, "done", mailbox=self._context.mailbox_name):
                yield effect
        async for effect in self._run(dialogue.answer(line.data)):
            yield effect

    async def _run(self, answers: AsyncIterator[Answer]) -> AsyncIterator[Effect]:
        """Run a command to its tagged answer, or until it wants another line."""
        final: Tagged | None = None
        try:
            async for answer in answers:
                match answer:
                    case bytes():
                        if self._lie is None or isinstance(answer, News):
                            self._out += answer
                        if len(self._out) >= SEND_SIZE:
                            yield self._flush()
                    case Tagged():
                        final = answer
                    case Dialogue():
                        self._dialogue = answer
                    case Claimed():
                        async for effect in self._claim(answer):
                            yield effect
                    case Send() if self._lie is not None:
                        pass
                    case _:
                        if self._out:
                            yield self._flush()
                        yield answer
        except (Refusal, MailstoreError) as error:
            final = error.answer if isinstance(error, Refusal) else _store_refusal(error)
        except MailboxGoneError:
            async for effect in self._bye("Mailbox was deleted"):  # RFC 2180 §3.3
                yield effect
            return
        except BrokenAnswerError as error:
            yield _failure(error)
            yield Abort()
            return
        except Exception as error:
            yield _failure(error)
            final = Tagged("NO", "Internal error; the server's log says more", "SERVERBUG")
        if final is not None:
            async for effect in self._finish(final):
                yield effect
            return
        if self._dialogue is not None and self._lie is not None:
            self._out += self._lie
        if self._out:
            yield self._flush()
        if self._dialogue is not None:
            async for effect in self._tell_news():  # what came before the watch stood
                yield effect

    def _flush(self) -> Send:
        data = bytes(self._out)
        self._out.clear()
        return Send(data)

    async def _finish(self, final: Tagged) -> AsyncIterator[Effect]:
        """Tell what changed meanwhile, then the tagged answer, in one piece."""
        assert self._request is not None
        request, self._request = self._request, None
        self._machine.ended(request.command, Outcome(final.status))
        if self.phase is Phase.SELECTED and self._context.view is None:
            self._machine.happened(Happening.OUR_MAILBOX_DELETED)
            assert isinstance(request.command, Delete)
        if self.phase is Phase.AUTHENTICATED:
            self._context.view = None  # RFC 3501 §6.3.1: also where a rule refused a SELECT
        try:
            uid = bool(getattr(request.command, "uid", False))
            # RFC 3501 §7.4.1: no EXPUNGE while FETCH, STORE or SEARCH run; their UID kin are other commands
            silent = isinstance(request.command, Fetch | Store | Search) and not uid
            self._out += await self._context.news(expunges=not silent, uid=uid)
        except MailboxGoneError:
            final = Tagged("NO", "Mailbox was deleted", "NONEXISTENT", (*final.then, Close()))
            self._out += status_line("*", "BYE", "Mailbox was deleted")
            self._machine.happened(Happening.BYE)
        told = final.told if self._lie is None else self._lie
        if told is None:
            text, code = self._context.worded(final, _name(request), self._fields(request))
            told = status_line(request.tag, final.status, text, code)
        self._out += told
        if final.told is None:  # what a rule refuses is nobody's fault
            self._bad = self._bad + 1 if final.status == "BAD" else 0
        self._failed_logins += final.code == "AUTHENTICATIONFAILED"
        yield self._flush()
        for effect in final.then:
            yield effect
        async for effect in self._lose_patience():
            yield effect

    def _fields(self, request: Request) -> dict[str, str]:
        """What a persona's words may tell of a command."""
        name = getattr(request.command, "mailbox", None)
        mailbox = {} if name is None else {"mailbox": encode_name(self._context.naming.wire(name))}
        account = self._context.account
        return mailbox | ({} if account is None else {"account": account.address})

    async def _tell_news(self) -> AsyncIterator[Effect]:
        if self._dialogue is None or not self._dialogue.watching:
            return
        news = self._told_news()
        came = await self._context.arrived() if self._gate is not None and self._gate.armed else 0
        if came:
            mailbox, messages = self._context.mailbox_name, len(self._context.selected) + came
            news = ruled(self._gate, "exists", news, _untagged, mailbox=mailbox, messages=messages)
        async for effect in news:
            yield effect

    async def _told_news(self) -> AsyncIterator[Effect]:
        try:
            news = await self._context.news(expunges=True)
        except MailboxGoneError:
            async for effect in self._bye("Mailbox was deleted"):
                yield effect
            return
        if news:
            yield Send(news)

    async def _bye(self, text: str, code: str | None = None, *, name: str = "") -> AsyncIterator[Effect]:
        """The server ends the session (RFC 3501 §7.1.5)."""
        self._machine.happened(Happening.BYE)
        text = worded(self._context.quirks.replies, name, self._context.offer.facts, text)
        self._out += status_line("*", "BYE", text, code)
        yield self._flush()
        yield Close()


async def _untagged(text: str) -> AsyncIterator[Effect]:
    """Untagged lines that a rule wrote."""
    yield Send(ruled_lines("*", text))


async def nothing() -> AsyncIterator[Any]:
    """No answer."""
    return
    yield  # makes it a generator


def _name(request: Request) -> str:
    return type(request.command).__name__.upper()


def _store_refusal(error: MailstoreError) -> Tagged:
    """What the store refuses, in RFC 5530's codes."""
    match error:
        case NoSuchMailboxError():
            return Tagged("NO", "No such mailbox", "NONEXISTENT")
        case MailboxExistsError():
            return Tagged("NO", "The mailbox exists", "ALREADYEXISTS")
        case InvalidMailboxNameError():
            return Tagged("NO", f"Not a mailbox name: {error}", "CANNOT")
        case StoreFullError():
            return Tagged("NO", "No room for it", "OVERQUOTA")
    return Tagged("NO", str(error), "SERVERBUG")


def _failure(error: BaseException) -> Note:
    shown = "".join(traceback.format_exception(error))
    return Note("error", {"text": f"{type(error).__name__}: {error}", "traceback": shown})
