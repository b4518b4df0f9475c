"""Lines and literals to whole commands: which literals are wanted, and what the rules say before one is invited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from portyard.commons.effects import Effect, Expect, Send
from portyard.commons.events import Line
from portyard.commons.scenario.model import Verdict
from portyard.commons.scenario.obeying import obeyed
from portyard.commons.scenario.quirks import worded
from portyard.imap.core.context import Context
from portyard.imap.core.fields import fields_for
from portyard.imap.core.framing import LITERAL_LIMIT, NeedLiteral, SkipLiteral, TakeLiteral, literal_at_end
from portyard.imap.core.grammar import tag_of, verb_of
from portyard.imap.core.lexing import BadSyntax, Frame
from portyard.imap.core.model import Request
from portyard.imap.core.replies import Tagged, ruled_lines, ruled_refusal

COMMAND_LIMIT = 1 << 20  # octets of one command, the appended message not counted
MINUS_LIMIT = 4096  # octets of a literal that comes unasked where LITERAL- stands for LITERAL+ (RFC 7888 §5)
SKIP_FACTOR = 4  # a refused literal that comes unasked is read and dropped up to so many times the message limit


class FarTooLargeError(Exception):
    """A refused literal comes all the same, and it is so large that it isn't even dropped."""


@dataclass(frozen=True, slots=True)
class Appending:
    """An APPEND whose message is still to come, and what the rules said of it.

    Attributes:
        request: The command, its message left out.
        verdict: The rules' answer; None for what always happens.
    """

    request: Request
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class Gathered:
    """A whole command.

    Attributes:
        frame: It, as far as it was taken.
        refused: Why it isn't even read, or None.
        appending: What the rules said while it came; None where they weren't asked.
    """

    frame: Frame
    refused: Tagged | None = None
    appending: Appending | None = None


class Gathering:
    """One session's commands as they come.

    Args:
        context: What the session's commands share.
        may: Whether a command could be run now.
    """

    def __init__(self, context: Context, may: Callable[[Request], Awaitable[bool]]) -> None:
        self._context = context
        self._may = may
        self._octets = 0  # of the command so far
        self._refused: Tagged | None = None
        self._appending: Appending | None = None
        self.lines: list[bytes] = []
        self._literals: list[bytes] = []

    def forget(self) -> None:
        """Drop what came of the command."""
        self.lines, self._literals, self._refused, self._octets, self._appending = [], [], None, 0, None

    def take_literal(self, data: bytes) -> None:
        """A literal came."""
        self._literals.append(data)
        self._octets += len(data)

    async def take_line(self, line: Line) -> AsyncIterator[Effect | Gathered]:
        """A line came: what is to be done for the rest of the command, or the whole of it.

        Raises:
            FarTooLargeError: No more can be understood.
        """
        if self._refused is None or not self.lines:  # of a refused command only the tag is wanted
            self.lines.append(line.data)
        self._octets += len(line.data)
        if line.bare_lf and self._refused is None:
            self._refused = Tagged("BAD", "A line must end in CRLF")  # RFC 3501 §2.2
        need = literal_at_end(line.data)
        if need is not None:
            self._refused = self._refused or self._refusal(need) or await self._ruled_out(need)
            if self._refused is None:
                async for effect in self._invite(need):
                    yield effect
                return
            if not need.synchronising:  # RFC 7888 §4: it comes anyway
                if need.size > SKIP_FACTOR * self._context.offer.message_limit:
                    raise FarTooLargeError
                yield Expect(SkipLiteral(need.size))
                return
        gathered = Gathered(Frame(b"\r\n".join(self.lines), tuple(self._literals)), self._refused, self._appending)
        self.forget()
        yield gathered

    def _refusal(self, need: NeedLiteral) -> Tagged | None:
        """Why a literal is not wanted, or None. Only a message may be large, and only from somebody logged in."""
        message = verb_of(self.lines[0]) == "APPEND" and self._context.account is not None
        if not need.synchronising and need.size > MINUS_LIMIT and self._context.quirks.lacks("LITERAL+"):
            return Tagged("BAD", "Literal too large to come unasked", "TOOBIG")  # RFC 7888 §5: LITERAL-
        if message and need.size > self._context.offer.largest_message:
            return Tagged("NO", "Message too large", "TOOBIG")
        if not message and need.size > LITERAL_LIMIT:
            return Tagged("BAD", "Literal too large", "TOOBIG")
        octets = self._octets + (0 if message else need.size)
        return Tagged("BAD", "Command too large", "TOOBIG") if octets > COMMAND_LIMIT else None

    async def _ruled_out(self, need: NeedLiteral) -> Tagged | None:
        """Ask the rules for an APPEND once all but its message is known, so that one they refuse isn't sent in vain."""
        gate = self._context.gate
        if gate is None or not gate.armed or verb_of(self.lines[0]) != "APPEND":
            return None
        *lines, last = self.lines
        text = b"\r\n".join((*lines, last[: last.rindex(b"{")] + b"{0}", b""))
        try:
            request = self._context.read(Frame(text, (*self._literals, b"")))
        except BadSyntax:
            return None  # the literal is its mailbox's name, or it will be refused for what it is
        if not await self._may(request):
            return None
        fields = fields_for(request.command, "") | {"octets": need.size}
        verdict = await gate.ask("append", **fields)
        self._appending = Appending(request, verdict)
        refuse = None if verdict is None else verdict.refuse
        return None if refuse is None else ruled_refusal(request.tag, refuse)

    async def _invite(self, need: NeedLiteral) -> AsyncIterator[Effect]:
        """Take a literal; the client waits for leave to send a synchronising one."""
        taken, gate = Expect(TakeLiteral(need.size)), self._context.gate

        async def invitation() -> AsyncIterator[Effect]:
            if need.synchronising:
                text = worded(
                    self._context.quirks.replies, "literal", self._context.offer.facts, "Ready for literal data"
                )
                yield Send(f"+ {text}\r\n".encode())  # RFC 3501 §7.5
            yield taken

        verdict = None
        if need.synchronising and gate is not None and gate.armed:
            verdict = await gate.ask("literal", command=verb_of(self.lines[0]).lower(), octets=need.size)
        effects = invitation() if verdict is None else self._obey(verdict, invitation())
        async for effect in effects:
            yield effect

    def _obey(self, verdict: Verdict, invitation: AsyncIterator[Effect]) -> AsyncIterator[Effect]:
        tag = tag_of(self.lines[0]) or "*"

        def heard(line: bytes) -> None:
            nonlocal tag
            if verb_of(line):  # RFC 3501 §2.2.1; DONE and what answers a challenge have no tag of their own
                tag = tag_of(line) or tag

        async def refused(text: str) -> AsyncIterator[Effect]:
            self.forget()
            yield Send(ruled_refusal(tag, text).told or b"")

        async def lied(text: str) -> AsyncIterator[Effect]:
            yield Send(ruled_lines(tag, text))

        if verdict.script is not None:
            self.forget()
        return obeyed(verdict, "literal", invitation, refused, lied, heard)
