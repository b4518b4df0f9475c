"""A session under rules: each step is asked for before it is taken. Used only while there is a rule or magic somewhere.

What no rule means is answered as it always is, by a list of effects; only a verdict makes effects that come one after the other.

On MTA and MDA the sandbox is the recipient's: RCPT asks in its own, DATA and the message in each of the transaction's, and what one of
them wants of the message's replies meets, with LMTP, its own recipients alone (RFC 2033 §4.2).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from portyard.commons.effects import Effect, Send
from portyard.commons.events import Line
from portyard.commons.scenario.engine import SessionGate
from portyard.commons.scenario.obeying import obeyed
from portyard.commons.scenario.vocabulary import Scalar
from portyard.smtp.core import model
from portyard.smtp.core.commands import security, transaction
from portyard.smtp.core.context import Context
from portyard.smtp.core.fields import fields_of, recipient_of, verb_of
from portyard.smtp.core.hop import KEYWORD, parse_hop
from portyard.smtp.core.model import Command, PeerError, Recipient
from portyard.smtp.core.state import Phase

if TYPE_CHECKING:
    from portyard.smtp.core.session import Session

Work = Callable[[], Awaitable[Sequence[Effect]]]
Fields = Callable[[], dict[str, Scalar]]
"""An event's fields, made only where some rule looks at them."""
Answer = Sequence[Effect] | AsyncIterator[Effect]
"""The effects where no rule has a say; where one has, what makes them one after the other."""

_BARE: Final = re.compile(r"([245])\d\d(?= as the address asks$)")


async def line(session: Session, event: Line) -> Answer:
    """The answer to a line."""
    try:
        if session.exchanging(event):
            return await _hear(session, event.data)
        command = session.read(event.data)
        return await _STEPS.get(type(command), _command)(session, command, event.data)
    except PeerError as error:
        return session.refuse(error.reply)


def _command(session: Session, command: Command, octets: bytes) -> Awaitable[Answer]:
    """A command that belongs to the session; its line tells all of its fields."""
    gate, verb, fields = gate_of(session.context), verb_of(command), partial(fields_of, command, None)
    if not gate.heeds(verb, fields, None, octets):
        return session.answer(command)
    return _ask(session, (gate.sandbox,), verb, partial(session.answer, command), fields)


def _mail(session: Session, command: Command, octets: bytes) -> Awaitable[Answer]:
    """MAIL; a testbed peer that proves itself is inside from here on, and names the sandbox."""
    assert isinstance(command, model.Mail)
    hop = _hop(session.context, command) if command.parameters else None
    return _command(session, command, octets) if hop is None else _handed_on(session, command, hop, octets)


async def _handed_on(session: Session, command: model.Mail, hop: model.Hop, octets: bytes) -> Answer:
    """MAIL from a testbed peer."""
    context, fields = session.context, partial(fields_of, command, None)
    context.trust()
    if command.parameters[-1].keyword == KEYWORD:  # no field tells of it, and it is another one each time
        octets = octets[: octets.rfind(b" ")]
    stands = await context.door.stands(model.Taker(hop.sandbox, hop.generation))
    if not stands or not gate_of(context).heeds("mail", fields, hop.sandbox, octets):
        return await session.answer(command)
    return await _ask(session, (hop.sandbox,), "mail", partial(session.answer, command), fields)


def _hop(context: Context, command: model.Mail) -> model.Hop | None:
    """What a testbed peer proves with the command."""
    for parameter in command.parameters:
        if parameter.keyword == KEYWORD and (hop := parse_hop(parameter.value or "", context.secret)) is not None:
            return hop
    return None


async def _rcpt(session: Session, command: Command, octets: bytes) -> Answer:
    """RCPT, in the sandbox that its address names; in none where that is past."""
    assert isinstance(command, model.Rcpt)
    context = session.context
    sandbox = await transaction.named(context, command)
    fields = partial(recipient_of, command, context.transaction)
    if sandbox is None or not gate_of(context).heeds("rcpt", fields, sandbox, (octets, *_from(context))):
        return await session.answer(command)  # which joins the sandbox
    context.join(sandbox)
    if context.transaction is not None:
        context.transaction.looked = None  # a rule may let time pass
    since = context.door.present(sandbox)

    async def answer() -> Sequence[Effect]:
        if context.transaction is None:
            return await session.answer(command)
        context.transaction.since = since
        try:
            return await session.answer(command)
        finally:
            context.transaction.since = None

    def refused(text: str) -> AsyncIterator[Effect]:
        if context.transaction is not None:
            context.transaction.refused += 1
        return said(text)

    return await _ask(session, (sandbox,), "rcpt", answer, fields, refused)


async def _data(session: Session, command: Command, octets: bytes) -> Answer:
    """DATA, and the moment after its 354."""
    context, sandboxes, going = session.context, sandboxes_of(session.context), _from(session.context)
    shape = (going, sandboxes, gate_of(context).stamp)
    if context.calm == shape:  # clients repeat themselves, and the last time no rule meant either moment
        return await session.answer(command)
    fields = partial(fields_of, command, context.transaction)
    if _heeds(session, sandboxes, "data", fields, ("data", *going)):
        answer = await _ask(session, sandboxes, "data", partial(session.answer, command), fields)
        return _and_then(session, answer, sandboxes, fields)
    effects = await session.answer(command)
    if context.machine.phase is not Phase.DATA:
        return effects
    if _heeds(session, sandboxes, "receiving", fields, ("receiving", *going)):
        return _one_by_one(effects, await _ask(session, sandboxes, "receiving", _nothing, fields))
    context.calm = shape
    return effects


async def _and_then(
    session: Session, answer: Answer, sandboxes: Sequence[str], fields: Fields
) -> AsyncIterator[Effect]:
    """DATA's answer as a verdict wants it; only then is it known whether a 354 was said."""
    async for effect in _one_by_one(answer):
        yield effect
    if session.context.machine.phase is Phase.DATA:
        async for effect in _one_by_one(await _ask(session, sandboxes, "receiving", _nothing, fields)):
            yield effect


async def _auth(session: Session, command: Command, octets: bytes) -> Answer:
    """AUTH, to its end where the response comes with it."""
    assert isinstance(command, model.Auth)
    initial = security.begin(session.context, command)
    session.context.machine.advance(command)
    return await (_challenge(session, command.mechanism) if initial is None else _hear(session, initial))


async def _challenge(session: Session, mechanism: str) -> Answer:
    async def work() -> Sequence[Effect]:
        return security.challenge(session.context)

    def refused(text: str) -> AsyncIterator[Effect]:
        session.drop_exchange()
        return said(text)

    return await _ask(
        session, (gate_of(session.context).sandbox,), "challenge", work, lambda: {"mechanism": mechanism}, refused
    )


async def _hear(session: Session, response: bytes) -> Answer:
    """A word of the exchange: another challenge, or the claim, which is asked for before it is checked."""
    context = session.context
    mechanism = context.exchange.mechanism if isinstance(context.exchange, security.Exchange) else ""
    try:
        claim = await security.hear(context, response)
    except PeerError:
        session.drop_exchange()
        raise
    if claim is None:
        return await _challenge(session, mechanism)
    context.machine.settle()
    fields: dict[str, Scalar] = {"mechanism": mechanism, "login": claim.name}
    return await _ask(
        session, (gate_of(session.context).sandbox,), "auth", partial(security.verify, context, claim), lambda: fields
    )


_STEPS: Final[dict[type[Command], Callable[[Session, Command, bytes], Awaitable[Answer]]]] = {
    model.Mail: _mail,
    model.Rcpt: _rcpt,
    model.Data: _data,
    model.Auth: _auth,
}


# ── Asking ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def gate_of(context: Context) -> SessionGate:
    """The gate; nobody gets here without."""
    assert context.gate is not None
    return context.gate


def sandboxes_of(context: Context) -> tuple[str, ...]:
    """Those of the transaction's recipients, each once, without those that were reset since."""
    recipients: Sequence[Recipient] = context.transaction.recipients if context.transaction else ()
    if not recipients:
        return (context.peer.home,)
    if len(recipients) == 1 and not recipients[0].late:
        return (recipients[0].sandbox,)
    return tuple(dict.fromkeys(recipient.sandbox for recipient in recipients if not recipient.late))


def _from(context: Context) -> tuple[Hashable, ...]:
    """What, beside a line, decides about the fields of a step of the transaction: from whom it is, and to how many."""
    going = context.transaction
    return () if going is None else (going.reverse_path.local_part, going.reverse_path.domain, len(going.recipients))


def _heeds(session: Session, sandboxes: Sequence[str], verb: str, fields: Fields, event: Hashable) -> bool:
    """Whether one of these sandboxes has to be asked."""
    gate = gate_of(session.context)
    return any(gate.heeds(verb, fields, sandbox, event) for sandbox in sandboxes)


async def _ask(
    session: Session,
    sandboxes: Sequence[str],
    verb: str,
    work: Work,
    fields: Fields,
    refused: Callable[[str], AsyncIterator[Effect]] | None = None,
) -> Answer:
    """A step as the rules want it: of these sandboxes; the first verdict counts."""
    gate = gate_of(session.context)
    for sandbox in sandboxes:
        verdict = await gate.ask_in(sandbox, verb, fields())
        if verdict is not None:
            return obeyed(verdict, verb, true_answer(session, work), refused or said, said)
    return await work()


async def _one_by_one(*answers: Answer) -> AsyncIterator[Effect]:
    """Answers one after the other."""
    for answer in answers:
        if isinstance(answer, Sequence):
            for effect in answer:
                yield effect
        else:
            async for effect in answer:
                yield effect


async def true_answer(session: Session, work: Work) -> AsyncIterator[Effect]:
    """What the room does by itself, its refusals among it, so that a lie is told in their place, too."""
    try:
        effects = await work()
    except PeerError as error:
        effects = session.refuse(error.reply)
    for effect in effects:
        yield effect


async def _nothing() -> Sequence[Effect]:
    return ()


async def said(text: str) -> AsyncIterator[Effect]:
    """A whole reply that a rule wrote."""
    yield spoken(text)


def spoken(text: str) -> Send:
    """The same as an effect."""
    # RFC 2034 §4: each reply has an enhanced code; of a magic address's we write the text
    lines = _BARE.sub(r"\g<0> \1.0.0", text).replace("\r\n", "\n").split("\n")
    return Send(b"".join(line.encode() + b"\r\n" for line in lines))
