"""Running a command to its tagged answer: gathers what is sent, tells what changed meanwhile, ends the session where it must."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator, Callable

from portyard.commons.effects import Abort, Close, Effect, Note, Send
from portyard.commons.mailstore.model import (
    InvalidMailboxNameError,
    MailboxExistsError,
    MailstoreError,
    NoSuchMailboxError,
    StoreFullError,
)
from portyard.commons.scenario.obeying import interrupted, ruled
from portyard.commons.scenario.quirks import worded
from portyard.imap.core.context import Answer, BrokenAnswerError, Claimed, Context, Dialogue, MailboxGoneError, News
from portyard.imap.core.model import Delete, Fetch, Rename, Request, Search, Store
from portyard.imap.core.replies import Refusal, Tagged, ruled_lines, status_line
from portyard.imap.core.state import Happening, Machine, Outcome, Phase

SEND_SIZE = 32 * 1024  # octets of short lines gathered before they are sent


class Running:
    """What a session is in the midst of.

    Args:
        context: What the session's commands share.
        machine: Its phase.
        claim: What a claimed name leads to.

    Attributes:
        request: The command that runs, or None.
        dialogue: Where it waits for another line, or None.
        lie: What a rule wants said in place of its answer, or None.
        bad: Commands in a row that weren't any, or were wrong.
    """

    def __init__(self, context: Context, machine: Machine, claim: Callable[[Claimed], AsyncIterator[Effect]]) -> None:
        self._context = context
        self._machine = machine
        self._claim = claim
        self.request: Request | None = None
        self.dialogue: Dialogue | None = None
        self.lie: bytes | None = None
        self.bad = 0
        self._failed_logins = 0
        self._out = bytearray()

    async def converse(self, line: bytes) -> AsyncIterator[Effect]:
        """Go on with the line that the command waits for."""
        assert self.dialogue is not None
        dialogue, self.dialogue = self.dialogue, None
        if dialogue.watching:
            async for effect in interrupted(self._context.gate, "done", mailbox=self._context.mailbox_name):
                yield effect
        async for effect in self.run(dialogue.answer(line)):
            yield effect

    async def run(self, answers: AsyncIterator[Answer]) -> AsyncIterator[Effect]:
        """Run a command to its tagged answer, or until it wants another line."""
        final: Tagged | None = None
        try:
            async for answer in answers:
                match answer:
                    case bytes():
                        if self.lie is None or isinstance(answer, News):
                            self._out += answer
                        if len(self._out) >= SEND_SIZE:
                            yield self._flush()
                    case Tagged():
                        final = answer
                    case Dialogue():
                        self.dialogue = answer
                    case Claimed():
                        async for effect in self._claim(answer):
                            yield effect
                    case Send() if self.lie is not None:
                        pass
                    case _:
                        if self._out:
                            yield self._flush()
                        yield answer
        except (Refusal, MailstoreError) as error:
            final = error.answer if isinstance(error, Refusal) else _store_refusal(error)
        except MailboxGoneError:
            async for effect in self.bye(await self._why_gone()):  # RFC 2180 §3.3
                yield effect
            return
        except BrokenAnswerError as error:
            yield _failure(error)
            yield Abort()
            return
        except Exception as error:
            yield _failure(error)
            final = Tagged("NO", "Internal error; the server's log says more", "SERVERBUG")
        async for effect in self.finish(final) if final is not None else self._wait():
            yield effect

    async def _wait(self) -> AsyncIterator[Effect]:
        """Say what there is before the command waits for another line."""
        if self.dialogue is not None and self.lie is not None:
            self._out += self.lie
        if self._out:
            yield self._flush()
        if self.dialogue is not None:
            async for effect in self.tell_news():  # what came before the watch stood
                yield effect

    def _flush(self) -> Send:
        data = bytes(self._out)
        self._out.clear()
        return Send(data)

    async def finish(self, final: Tagged) -> AsyncIterator[Effect]:
        """Tell what changed meanwhile, then the tagged answer, in one piece."""
        assert self.request is not None
        request, self.request = self.request, None
        self._machine.ended(request.command, Outcome(final.status))
        if self._machine.phase is Phase.SELECTED and self._context.view is None:
            self._machine.happened(Happening.OUR_MAILBOX_DELETED)
            assert isinstance(request.command, Delete)
        if self._machine.phase is Phase.AUTHENTICATED:
            self._context.view = None  # RFC 3501 §6.3.1: also where a rule refused a SELECT
        try:
            uid = bool(getattr(request.command, "uid", False))
            # RFC 3501 §7.4.1: no EXPUNGE while FETCH, STORE or SEARCH run; their UID kin are other commands
            silent = isinstance(request.command, Fetch | Store | Search) and not uid
            self._out += await self._context.news(expunges=not silent, uid=uid)
        except MailboxGoneError:
            words = await self._why_gone()
            final = Tagged("NO", words, "NONEXISTENT", (*final.then, Close()))
            self._out += status_line("*", "BYE", words)
            self._machine.happened(Happening.BYE)
        told = final.told if self.lie is None else self.lie
        if told is None:
            text, code = self._context.worded(final, name_of(request), self._fields(request, final))
            told = status_line(request.tag, final.status, text, code)
        self._out += told
        if final.told is None:  # what a rule refuses is nobody's fault
            self.bad = self.bad + 1 if final.status == "BAD" else 0
        self._failed_logins += final.code == "AUTHENTICATIONFAILED"
        yield self._flush()
        for effect in final.then:
            yield effect
        async for effect in self.lose_patience():
            yield effect

    def _fields(self, request: Request, final: Tagged) -> dict[str, str]:
        """What a persona's words may tell of a command."""
        context, command = self._context, request.command
        name: str = getattr(command, "mailbox", context.mailbox_name)
        if isinstance(command, Rename) and final.words == "exists":
            name = command.new_name
        return {"mailbox": context.told_name(name)}

    async def tell_news(self) -> AsyncIterator[Effect]:
        """Tell what happened in the mailbox, where the client waits for it."""
        if self.dialogue is None or not self.dialogue.watching:
            return
        news = self._told_news()
        gate = self._context.gate
        came = await self._context.arrived() if gate is not None and gate.armed else 0
        if came:
            mailbox, messages = self._context.mailbox_name, len(self._context.selected) + came
            news = ruled(gate, "exists", news, _untagged, mailbox=mailbox, messages=messages)
        async for effect in news:
            yield effect

    async def _told_news(self) -> AsyncIterator[Effect]:
        try:
            news = await self._context.news(expunges=True)
        except MailboxGoneError:
            async for effect in self.bye(await self._why_gone()):
                yield effect
            return
        if news:
            yield Send(news)

    async def _why_gone(self) -> str:
        """Why the selected mailbox isn't there any more."""
        return await self._context.why_ended() or "Mailbox was deleted"

    async def bye(self, text: str, code: str | None = None, *, name: str = "") -> AsyncIterator[Effect]:
        """The server ends the session (RFC 3501 §7.1.5)."""
        self._machine.happened(Happening.BYE)
        text = worded(self._context.quirks.replies, name, self._context.offer.facts, text)
        self._out += status_line("*", "BYE", text, code)
        yield self._flush()
        yield Close()

    async def lose_patience(self) -> AsyncIterator[Effect]:
        """End the session of a peer that only errs."""
        limits = self._context.quirks.limits
        if self.bad >= limits.errors or self._failed_logins >= limits.logins:
            what, name = ("bad commands", "errors") if self.bad >= limits.errors else ("wrong passwords", "logins")
            async for effect in self.bye(f"Too many {what}", name=name):
                yield effect


async def _untagged(text: str) -> AsyncIterator[Effect]:
    """Untagged lines that a rule wrote."""
    yield Send(ruled_lines("*", text))


def name_of(request: Request) -> str:
    """The command's name, in capitals."""
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
