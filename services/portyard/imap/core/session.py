"""A session: collects lines and literals into commands, runs them, tells what changed, answers. Knows no socket, clock or chance."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator

from portyard.commons.accounts.model import Accounts
from portyard.commons.effects import Abort, Close, Effect, Expect, Note, Send, Unwatch
from portyard.commons.events import Event, Gone, Line, Literal, MailboxChanged, Timeout, TlsStarted, TooLong
from portyard.commons.mailstore.model import (
    InvalidMailboxNameError,
    MailboxExistsError,
    Mailstore,
    MailstoreError,
    NoSuchMailboxError,
    StoreFullError,
)
from portyard.imap.core import transcript
from portyard.imap.core.commands import HANDLERS
from portyard.imap.core.context import Answer, BrokenAnswerError, Context, Dialogue, MailboxGoneError, Offer
from portyard.imap.core.framing import LITERAL_LIMIT, NeedLiteral, SkipLiteral, TakeLiteral, literal_at_end
from portyard.imap.core.grammar import parse_command, tag_of, verb_of
from portyard.imap.core.lexing import BadSyntax, Frame
from portyard.imap.core.model import Delete, Fetch, Request, Search, Store
from portyard.imap.core.replies import Refusal, Tagged, status_line
from portyard.imap.core.state import BY_NAME, Happening, Machine, Outcome, Phase

AUTOLOGOUT_S = 30 * 60.0  # RFC 3501 §5.4: at least 30 minutes
BAD_LIMIT = 20  # commands in a row that make no sense; whoever sends more isn't speaking IMAP
LOGINS_LIMIT = 10  # wrong passwords in one session
COMMAND_LIMIT = 1 << 20  # octets of one command, the appended message not counted
SEND_SIZE = 32 * 1024  # octets of short lines gathered before they are sent
SKIP_FACTOR = 4  # a refused literal that comes unasked is read and dropped up to so many times the message limit


class ImapSession:
    """See the module's text; implements `Session` of commons.

    Args:
        accounts: Who may log in.
        mail: The mailboxes.
        offer: What the connection allows.
        secure: TLS is below from the start.
    """

    def __init__(self, accounts: Accounts, mail: Mailstore, offer: Offer, *, secure: bool = False) -> None:
        self._context = Context(accounts, mail, offer, secure=secure)
        self._machine = Machine()
        self._lines: list[bytes] = []
        self._literals: list[bytes] = []
        self._refused: Tagged | None = None
        self._gathered = 0  # octets of the command so far
        self._request: Request | None = None
        self._dialogue: Dialogue | None = None
        self._bad = 0
        self._failed_logins = 0
        self._out = bytearray()

    @property
    def timeout_s(self) -> float | None:
        """How long the peer may stay silent, in seconds."""
        return AUTOLOGOUT_S

    @property
    def phase(self) -> Phase:
        """Where the session stands."""
        return self._machine.phase

    async def open(self) -> AsyncIterator[Effect]:
        """The greeting (RFC 3501 §7.1)."""
        yield Send(status_line("*", "OK", "Portyard IMAP4rev1 ready", f"CAPABILITY {self._context.capabilities()}"))

    def transcript(self, event: Event) -> str:
        """The event as the journal shows it, secrets blanked."""
        if self._dialogue is not None and isinstance(event, Line):
            return transcript.dialogue_line(event, secret=self._dialogue.secret)
        return transcript.shown(event, tuple(self._lines))

    async def receive(self, event: Event) -> AsyncIterator[Effect]:
        """The answer to one event."""
        match event:
            case Line() if self._dialogue is not None:
                answers = self._converse(event)
            case Line():
                answers = self._take_line(event)
            case Literal(data):
                self._literals.append(data)
                self._gathered += len(data)
                return
            case TooLong(_, head):
                answers = self._over_long(head)
            case TlsStarted():
                self._context.secure = True
                return
            case MailboxChanged():
                answers = self._tell_news()
            case Timeout():
                answers = self._bye("Autologout; idle for too long")  # RFC 3501 §5.4
            case _:
                assert isinstance(event, Gone), "framing hands out no such event"
                self._machine.happened(Happening.BYE)
                return
        async for effect in answers:
            yield effect

    # Lines and literals to commands.

    async def _take_line(self, line: Line) -> AsyncIterator[Effect]:
        if self._refused is None or not self._lines:  # of a refused command only the tag is wanted
            self._lines.append(line.data)
        self._gathered += len(line.data)
        if line.bare_lf and self._refused is None:
            self._refused = Tagged("BAD", "A line must end in CRLF")  # RFC 3501 §2.2
        need = literal_at_end(line.data)
        if need is not None:
            self._refused = self._refused or self._refusal(need)
            if self._refused is None:
                if need.synchronising:
                    yield Send(b"+ Ready for literal data\r\n")  # RFC 3501 §7.5
                yield Expect(TakeLiteral(need.size))
                return
            if not need.synchronising:  # RFC 7888 §4: it comes anyway
                if need.size > SKIP_FACTOR * self._context.offer.message_limit:
                    async for effect in self._bye("Literal far too large", "TOOBIG"):
                        yield effect
                    return
                yield Expect(SkipLiteral(need.size))
                return
        frame, refused = Frame(b"\r\n".join(self._lines), tuple(self._literals)), self._refused
        self._forget_parts()
        async for effect in self._command(frame, refused):
            yield effect

    def _refusal(self, need: NeedLiteral) -> Tagged | None:
        """Why a literal is not wanted, or None. Only a message may be large, and only from somebody logged in."""
        message = verb_of(self._lines[0]) == "APPEND" and self.phase is not Phase.NOT_AUTHENTICATED
        if message and need.size > self._context.offer.message_limit:
            return Tagged("NO", "Message too large", "TOOBIG")
        if not message and need.size > LITERAL_LIMIT:
            return Tagged("BAD", "Literal too large", "TOOBIG")
        gathered = self._gathered + (0 if message else need.size)
        return Tagged("BAD", "Command too large", "TOOBIG") if gathered > COMMAND_LIMIT else None

    def _forget_parts(self) -> None:
        self._lines, self._literals, self._refused, self._gathered = [], [], None, 0

    async def _command(self, frame: Frame, refused: Tagged | None) -> AsyncIterator[Effect]:
        try:
            if refused is not None:
                raise BadSyntax(refused.text, status=refused.status, code=refused.code)
            request = parse_command(frame)
        except BadSyntax as error:
            tag = error.tag or tag_of(frame.text) or "*"
            async for effect in self._complain(tag, Tagged(error.status, str(error), error.code)):
                yield effect
            return
        if not self._machine.allows(request.command):
            reason = f"{_name(request)} is not allowed in the {self.phase.value} state"
            async for effect in self._complain(request.tag, Tagged("BAD", reason)):
                yield effect
            return
        if type(request.command) in BY_NAME and await self._account_is_gone():
            async for effect in self._bye("Account was deleted"):
                yield effect
            return
        self._request = request
        async for effect in self._run(HANDLERS[type(request.command)](self._context, request.command)):
            yield effect

    async def _account_is_gone(self) -> bool:
        """Asked before its mailboxes are reached by name; the selected one tells its end by itself."""
        account = self._context.account
        assert account is not None, "the table lets only somebody who is logged in come here"
        found = await self._context.accounts.by_address(account.sandbox, account.address)
        return found is None or found.id != account.id

    async def _complain(self, tag: str, answer: Tagged) -> AsyncIterator[Effect]:
        """Answer something that wasn't run."""
        yield Send(status_line(tag, answer.status, answer.text, answer.code))
        self._bad += 1
        async for effect in self._lose_patience():
            yield effect

    async def _lose_patience(self) -> AsyncIterator[Effect]:
        if self._bad >= BAD_LIMIT or self._failed_logins >= LOGINS_LIMIT:
            what = "bad commands" if self._bad >= BAD_LIMIT else "wrong passwords"
            async for effect in self._bye(f"Too many {what}"):
                yield effect

    async def _over_long(self, head: bytes) -> AsyncIterator[Effect]:
        line = self._lines[0] if self._lines else head
        self._forget_parts()
        answer = Tagged("BAD", "Line too long", "TOOBIG")
        if self._dialogue is not None:
            watching, self._dialogue = self._dialogue.watching, None
            if watching:
                yield Unwatch()
            effects = self._finish(answer)
        else:
            effects = self._complain(tag_of(line) or "*", answer)
        async for effect in effects:
            yield effect

    # Running a command.

    async def _converse(self, line: Line) -> AsyncIterator[Effect]:
        assert self._dialogue is not None
        dialogue, self._dialogue = self._dialogue, None
        async for effect in self._run(dialogue.answer(line.data)):
            yield effect

    async def _run(self, answers: AsyncIterator[Answer]) -> AsyncIterator[Effect]:
        """Run a command to its tagged answer, or until it wants another line."""
        final: Tagged | None = None
        try:
            async for answer in answers:
                match answer:
                    case bytes():
                        self._out += answer
                        if len(self._out) >= SEND_SIZE:
                            yield self._flush()
                    case Tagged():
                        final = answer
                    case Dialogue():
                        self._dialogue = answer
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
        elif self._out:
            yield self._flush()

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
        try:
            uid = bool(getattr(request.command, "uid", False))
            # RFC 3501 §7.4.1: no EXPUNGE while FETCH, STORE or SEARCH run; their UID kin are other commands
            silent = isinstance(request.command, Fetch | Store | Search) and not uid
            self._out += await self._context.news(expunges=not silent, uid=uid)
        except MailboxGoneError:
            final = Tagged("NO", "Mailbox was deleted", "NONEXISTENT", (*final.then, Close()))
            self._out += status_line("*", "BYE", "Mailbox was deleted")
            self._machine.happened(Happening.BYE)
        self._out += status_line(request.tag, final.status, final.text, final.code)
        self._bad = self._bad + 1 if final.status == "BAD" else 0
        self._failed_logins += final.code == "AUTHENTICATIONFAILED"
        yield self._flush()
        for effect in final.then:
            yield effect
        async for effect in self._lose_patience():
            yield effect

    async def _tell_news(self) -> AsyncIterator[Effect]:
        if self._dialogue is None or not self._dialogue.watching:
            return
        try:
            news = await self._context.news(expunges=True)
        except MailboxGoneError:
            async for effect in self._bye("Mailbox was deleted"):
                yield effect
            return
        if news:
            yield Send(news)

    async def _bye(self, text: str, code: str | None = None) -> AsyncIterator[Effect]:
        """The server ends the session (RFC 3501 §7.1.5)."""
        self._machine.happened(Happening.BYE)
        self._out += status_line("*", "BYE", text, code)
        yield self._flush()
        yield Close()


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
