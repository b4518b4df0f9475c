"""One peer's queries and their answers, as the rules want them: over TCP a conversation (RFC 7766), over UDP each by itself.

Knows no socket and no zones; what the true answer is, the resolver says.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

from portyard.commons.effects import Close, Effect, Joins, Note, Send
from portyard.commons.events import Event, Literal, Timeout
from portyard.commons.sandbox.model import DEFAULT
from portyard.commons.scenario.engine import SessionGate
from portyard.commons.scenario.glance import Glance
from portyard.commons.scenario.obeying import Gate, ruled
from portyard.commons.scenario.vocabulary import Scalar
from portyard.dns.core.framing import framed
from portyard.dns.core.model import Message, Question, Rcode
from portyard.dns.core.presentation import NotPresentableError, name_text, reply_of, type_text
from portyard.dns.core.resolver import Domain, Outcome, Resolver, opened, outcome_of, reply_to, shown
from portyard.dns.core.zones import View

IDLE_S = 10.0  # RFC 7766 §6.2.3: "of the order of a few seconds"


class Answering:
    """The answers to one peer's queries as the rules want them; each `Send` holds one whole message, as it is or with its text.

    Args:
        resolver: Answers.
        view: From where the peer asks.
        stream: It asks over TCP.
        gate: What the rules want; None for nothing.
    """

    def __init__(self, resolver: Resolver, view: View, *, stream: bool, gate: Gate = None) -> None:
        self._resolver = resolver
        self._view = view
        self._stream = stream
        self._gate = gate
        self._way: dict[str, Scalar] = {"transport": "tcp" if stream else "udp", "view": view.value}
        self._glance = None if gate is None else Glance(gate, "query", "name", (view, stream), self._fields)

    async def answer(self, query: Message | Outcome) -> AsyncIterator[Effect]:
        """What one query, as `opened` reads it, brings about: a message, or none and the end of a connection."""
        heeded, domain = await self.weighed(query)
        if heeded and self._gate is not None and not isinstance(query, Outcome):
            effects = self._ruled(query, self._gate)
        else:
            effects = self.unruled(query, domain)
        async for effect in effects:
            yield effect

    async def unruled(self, query: Message | Outcome, domain: Domain | None) -> AsyncIterator[Effect]:
        """The same where rules have no say; `domain` as it was `weighed`."""
        outcome = query
        if not isinstance(outcome, Outcome):
            outcome = await self._resolver.reply(outcome, self._view, stream=self._stream, domain=domain)
            yield Joins(outcome.sandbox, anew=True)
        # A datagram is noted as it is: whoever reads the journal makes text of it.
        yield _sent(outcome) if self._stream or outcome.octets is None else Send(outcome.octets)

    async def weighed(self, query: Message | Outcome) -> tuple[bool, Domain | None]:
        """Whether rules have a say in a query's answer, which then may be long in coming; and the name's domain, if it is known then."""
        gate, glance = self._gate, self._glance
        if gate is None or glance is None or isinstance(query, Outcome) or not query.questions or not gate.armed:
            return False, None
        question = query.questions[0]
        domain = await self._resolver.domain_of(question.name)  # of the name that is asked for: its owner's rules count
        if domain.sandbox == gate.sandbox:  # as mostly: names that were never asked for are known as well
            return glance.heeds(question, _name_field(question), question.type), domain
        asked = question.name, question.type  # with one gate, all that its fields depend on
        return gate.heeds("query", partial(self._fields, question), domain.sandbox, asked), domain

    def _fields(self, question: Question) -> dict[str, Scalar]:
        return {
            "name": _name_field(question),
            "type": type_text(question.type),
            **self._way,
        }

    async def _ruled(self, query: Message, gate: SessionGate) -> AsyncIterator[Effect]:
        """The sandbox whose names are asked for is joined first: its rules are the ones that count."""
        question = query.questions[0]
        yield Joins((await self._resolver.domain_of(question.name)).sandbox, anew=True)

        async def truth() -> AsyncIterator[Effect]:
            yield _sent(await self._resolver.reply(query, self._view, stream=self._stream))

        async def refused(text: str) -> AsyncIterator[Effect]:
            lied = reply_of(reply_to(query), f"{text} aa" if text == Rcode.NXDOMAIN.name else text)
            yield _sent(outcome_of(query, lied, DEFAULT, stream=self._stream))

        async def said(text: str) -> AsyncIterator[Effect]:
            try:
                reply = reply_of(reply_to(query), text)
                outcome = outcome_of(query, reply, DEFAULT, stream=self._stream)
            except (NotPresentableError, struct.error, ValueError) as error:
                yield Note("error", {"text": f"what the rule says is no reply: {error}"})
                outcome = outcome_of(query, replace(reply_to(query), rcode=Rcode.SERVFAIL), DEFAULT, stream=True)
            yield _sent(outcome)

        async for effect in ruled(gate, "query", truth(), refused, said, **self._fields(question)):
            yield effect


def _name_field(question: Question) -> str:
    """The name that is asked for, as rules see it."""
    return name_text(question.name).lower().removesuffix(".") or "."  # what is escaped has no letters


class StreamSession:
    """One TCP connection: queries as they come, answered in order (RFC 7766 §6.2.1.1).

    Args:
        resolver: Answers.
        view: From where the peer asks.
        gate: What the rules want; None for nothing.
    """

    def __init__(self, resolver: Resolver, view: View, gate: Gate = None) -> None:
        self._answering = Answering(resolver, view, stream=True, gate=gate)

    @property
    def timeout_s(self) -> float | None:
        """How long a peer may be idle."""
        return IDLE_S

    async def open(self) -> AsyncIterator[Effect]:
        """DNS greets nobody."""
        nothing: tuple[Effect, ...] = ()
        for effect in nothing:
            yield effect

    async def receive(self, event: Event) -> AsyncIterator[Effect]:
        """The answer to one message."""
        match event:
            case Literal(octets):
                async for effect in self._answering.answer(opened(octets)):
                    yield replace(effect, data=framed(effect.data)) if isinstance(effect, Send) else effect
            case Timeout():
                yield Close()

    def transcript(self, event: Event) -> str:
        """The query as the journal shows it."""
        return shown(event.data) if isinstance(event, Literal) else type(event).__name__


def _sent(outcome: Outcome) -> Effect:
    if outcome.octets is None:
        return Close()  # not a query: no answer can be matched to it, and what follows is as doubtful
    return Send(outcome.octets, outcome.told)
