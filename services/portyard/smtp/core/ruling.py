"""A session under rules: each step is asked for before it is taken. Used only while there is a rule or magic somewhere.

What no rule means is answered as it always is, by a list of effects; only a verdict makes effects that come one after the other.

On MTA and MDA the sandbox is the recipient's: RCPT asks in its own, DATA and the message in each of the transaction's, and what one of
them wants of the message's replies meets, with LMTP, its own recipients alone (RFC 2033 §4.2).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from dataclasses import replace
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from functools import partial
from typing import TYPE_CHECKING, Final

from portyard.commons.effects import Arm, Effect, Note, Pause, Send
from portyard.commons.events import DotBlock, Line
from portyard.commons.scenario.actions import action_name
from portyard.commons.scenario.engine import SessionGate
from portyard.commons.scenario.model import Verdict
from portyard.commons.scenario.obeying import obeyed
from portyard.commons.scenario.vocabulary import Scalar
from portyard.smtp.core import model, trace
from portyard.smtp.core.commands import security, transaction
from portyard.smtp.core.context import Context
from portyard.smtp.core.fields import fields_of, sender_of, verb_of
from portyard.smtp.core.grammar import print_mailbox
from portyard.smtp.core.hop import KEYWORD, parse_hop
from portyard.smtp.core.model import Command, PeerError, Recipient, Transaction
from portyard.smtp.core.state import Phase

if TYPE_CHECKING:
    from portyard.smtp.core.session import Session

Work = Callable[[], Awaitable[Sequence[Effect]]]
Fields = Callable[[], dict[str, Scalar]]
"""An event's fields, made only where some rule looks at them."""
Answer = Sequence[Effect] | AsyncIterator[Effect]
"""The effects where no rule has a say; where one has, what makes them one after the other."""

_SUBJECT: Final = re.compile(rb"subject[ \t]*:([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)", re.IGNORECASE)
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


async def _command(session: Session, command: Command, octets: bytes) -> Answer:
    """A command that belongs to the session."""
    fields = partial(fields_of, command, None)
    return await _asked(session, command, (gate_of(session.context).sandbox,), verb_of(command), fields, octets)


async def _mail(session: Session, command: Command, octets: bytes) -> Answer:
    """MAIL; a testbed peer that proves itself is inside from here on, and names the sandbox."""
    assert isinstance(command, model.Mail)
    context = session.context
    hop = _hop(context, command)
    sandboxes: tuple[str, ...] = (gate_of(context).sandbox,)
    if hop is not None:
        context.trust()
        sandboxes = (hop.sandbox,) if await context.door.stands(model.Taker(hop.sandbox, hop.generation)) else ()
    return await _asked(session, command, sandboxes, "mail", partial(fields_of, command, None), octets)


def _hop(context: Context, command: model.Mail) -> model.Hop | None:
    """What a testbed peer proves with the command."""
    if not command.parameters:
        return None
    claims = (parameter.value or "" for parameter in command.parameters if parameter.keyword == KEYWORD)
    return next((hop for claim in claims if (hop := parse_hop(claim, context.secret))), None)


async def _rcpt(session: Session, command: Command, octets: bytes) -> Answer:
    """RCPT, in the sandbox that its address names; in none where that is past."""
    assert isinstance(command, model.Rcpt)
    context = session.context
    sandbox = await transaction.named(context, command)
    fields = partial(fields_of, command, context.transaction)
    if sandbox is None or not gate_of(context).heeds("rcpt", fields, sandbox, (octets, *_from(context))):
        return await session.answer(command)  # which joins the sandbox
    context.join(sandbox)

    def refused(text: str) -> AsyncIterator[Effect]:
        if context.transaction is not None:
            context.transaction.refused += 1
        return said(text)

    return await _ask(session, (sandbox,), "rcpt", partial(session.answer, command), fields, refused)


async def _data(session: Session, command: Command, octets: bytes) -> Answer:
    """DATA, and the moment after its 354."""
    sandboxes = _sandboxes(session.context)
    fields = partial(fields_of, command, session.context.transaction)
    going = _from(session.context)
    if _heeds(session, sandboxes, "data", fields, ("data", *going)):
        answer = await _ask(session, sandboxes, "data", partial(session.answer, command), fields)
        return _and_then(session, answer, sandboxes, fields)
    effects = await session.answer(command)
    if session.context.machine.phase is not Phase.DATA or not _heeds(
        session, sandboxes, "receiving", fields, ("receiving", *going)
    ):
        return effects
    return _one_by_one(effects, await _ask(session, sandboxes, "receiving", _nothing, fields))


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


# ── The message ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def content(session: Session, block: DotBlock) -> Answer:
    """The answer to the message, as the sandboxes of its recipients want it."""
    context = session.context
    going = context.transaction
    assert going is not None, "message data comes only in a transaction"
    sandboxes = _sandboxes(context)
    if not any(gate_of(context).heeds("content", partial(_content, going, name, block), name) for name in sandboxes):
        context.machine.settle()
        return await transaction.message(context, block)
    gate = gate_of(context)
    verdicts = {name: await gate.ask_in(name, "content", _content(going, name, block)) for name in sandboxes}
    told = [verdict for verdict in verdicts.values() if verdict is not None]
    context.machine.settle()
    if not told:
        return await transaction.message(context, block)
    if len(verdicts) > 1 and context.role.lmtp and all(map(_by_reply, told)):
        return _several(session, block, verdicts)
    replies = len(going.recipients) if context.role.lmtp else 1
    return _whole(session, block, _foremost(told), replies)


async def _whole(session: Session, block: DotBlock, verdict: Verdict, replies: int) -> AsyncIterator[Effect]:
    """One verdict on the whole message."""

    async def all_said(text: str) -> AsyncIterator[Effect]:
        for _ in range(replies):  # RFC 2033 §4.2: one for each recipient
            async for effect in said(text):
                yield effect

    def refused(text: str) -> AsyncIterator[Effect]:
        session.context.transaction = None  # RFC 5321 §4.1.1.4: the transaction ends either way
        return all_said(text)

    truth = _truth(session, partial(transaction.message, session.context, block))
    async for effect in obeyed(verdict, "content", truth, refused, all_said):
        yield effect
    session.context.transaction = None


async def _several(session: Session, block: DotBlock, verdicts: dict[str, Verdict | None]) -> AsyncIterator[Effect]:
    """With LMTP each recipient has a reply of its own: what its sandbox wants of it."""
    context = session.context
    going = context.transaction
    assert going is not None
    for verdict in filter(None, verdicts.values()):
        yield Note(
            "fault", {"verb": "content", "rule": verdict.rule, "does": [action_name(a) for a in verdict.actions]}
        )
        if verdict.delay_s:
            yield Pause(verdict.delay_s)
        if verdict.faults:
            yield Arm(verdict.faults)
    everybody = going.recipients
    taken = [r for r in everybody if (found := verdicts.get(r.sandbox)) is None or found.refuse is None]
    truth: list[Effect] = []
    if taken:
        context.transaction = replace(going, recipients=taken)
        truth = [effect async for effect in _truth(session, partial(transaction.message, context, block))]
    context.transaction = None
    for effect in truth:
        if not isinstance(effect, Send):
            yield effect
    answers = iter([effect for effect in truth if isinstance(effect, Send)])
    for recipient in everybody:
        found = verdicts.get(recipient.sandbox)
        true = next(answers) if found is None or found.refuse is None else None
        text = None if found is None else found.refuse or found.say
        if text is not None:
            yield _send(text)
        elif true is not None:
            yield true


def _by_reply(verdict: Verdict) -> bool:
    """Whether it is obeyed by what some recipients are told, the others left alone."""
    return not (verdict.silence or verdict.hang_up or verdict.script is not None)


def _foremost(verdicts: Sequence[Verdict]) -> Verdict:
    """Of several sandboxes' verdicts on one reply the first that answers, or else the first."""
    return next((verdict for verdict in verdicts if verdict.answers), verdicts[0])


def _content(going: Transaction, sandbox: str, block: DotBlock) -> dict[str, Scalar]:
    """A message's fields as one of its recipients' sandboxes sees them."""
    mine = [recipient.mailbox for recipient in going.recipients if recipient.sandbox == sandbox]
    return {
        **sender_of(going),
        "recipients": len(mine),
        "recipient": " ".join(map(print_mailbox, mine)),
        "size": block.size,
        "subject": subject_of(block.data),
    }


def subject_of(octets: bytes) -> str:
    """The message's Subject, unfolded and decoded as far as it can be (RFC 2047); "" where there is none."""
    found = _subject_field(trace.header_of(octets))
    if found is None:
        return ""
    text = found[1].decode("utf-8", "replace").replace("\r\n", "").strip()
    try:
        return str(make_header(decode_header(text))) if "=?" in text else text
    except (HeaderParseError, LookupError, UnicodeDecodeError, ValueError):
        return text


def _subject_field(header: bytes) -> re.Match[bytes] | None:
    lines = b"\n" + header.lower()
    at = lines.find(b"\nsubject")  # an expression would look at every octet before it
    while at >= 0:
        if found := _SUBJECT.match(header, at):
            return found
        at = lines.find(b"\nsubject", at + 1)
    return None


# ── Asking ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def gate_of(context: Context) -> SessionGate:
    """The gate; nobody gets here without."""
    assert context.gate is not None
    return context.gate


def _sandboxes(context: Context) -> tuple[str, ...]:
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
    for sandbox in sandboxes:  # noqa: SIM110 - mostly one: a generator would take as long as the question
        if gate.heeds(verb, fields, sandbox, event):
            return True
    return False


async def _asked(
    session: Session, command: Command, sandboxes: Sequence[str], verb: str, fields: Fields, octets: bytes
) -> Answer:
    """A command's answer as the rules of these sandboxes want it; its line tells all of its fields."""
    if not _heeds(session, sandboxes, verb, fields, octets):
        return await session.answer(command)
    return await _ask(session, sandboxes, verb, partial(session.answer, command), fields)


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
            return obeyed(verdict, verb, _truth(session, work), refused or said, said)
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


async def _truth(session: Session, work: Work) -> AsyncIterator[Effect]:
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
    yield _send(text)


def _send(text: str) -> Send:
    # RFC 2034 §4: each reply has an enhanced code; of a magic address's we write the text
    lines = _BARE.sub(r"\g<0> \1.0.0", text).replace("\r\n", "\n").split("\n")
    return Send(b"".join(line.encode() + b"\r\n" for line in lines))
