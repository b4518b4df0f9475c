"""A message under rules: what the sandboxes of its recipients want of its replies; see `ruling`."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from functools import partial
from typing import TYPE_CHECKING, Final

from portyard.commons.effects import Arm, Effect, Note, Pause, Send
from portyard.commons.events import DotBlock
from portyard.commons.scenario.actions import action_name
from portyard.commons.scenario.model import Verdict
from portyard.commons.scenario.obeying import obeyed
from portyard.commons.scenario.vocabulary import Scalar
from portyard.smtp.core import trace
from portyard.smtp.core.commands import transaction
from portyard.smtp.core.grammar import print_mailbox
from portyard.smtp.core.model import Transaction
from portyard.smtp.core.ruling import Answer, gate_of, said, sandboxes_of, spoken, true_answer

if TYPE_CHECKING:
    from portyard.smtp.core.session import Session

_FIELD: Final = re.compile(rb"subject[ \t]*:([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)", re.IGNORECASE)
# The same where it stands as in nearly every message: in one line, behind lines that aren't empty and begin with another letter.
_PLAIN: Final = re.compile(rb"(?:[^\r\nSs][^\r\n]*+\r\n)*+Subject:([^\r\n]*+)\r\n(?![ \t])")
_NEAR: Final = 4096  # octets in which it is looked for


async def content(session: Session, block: DotBlock) -> Answer:
    """The answer to the message, as the sandboxes of its recipients want it."""
    context, gate = session.context, gate_of(session.context)
    going = context.transaction
    assert going is not None, "message data comes only in a transaction"
    sandboxes = sandboxes_of(context)
    for name in sandboxes:
        if gate.heeds("content", partial(_fields, going, name, block), name):
            return await _asked(session, going, sandboxes, block)
    context.machine.settle()
    return await transaction.message(context, block)


async def _asked(session: Session, going: Transaction, sandboxes: Sequence[str], block: DotBlock) -> Answer:
    """The same where one of them has something to say, or may have."""
    context, gate = session.context, gate_of(session.context)
    verdicts = {name: await gate.ask_in(name, "content", _fields(going, name, block)) for name in sandboxes}
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

    truth = true_answer(session, partial(transaction.message, session.context, block))
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
        truth = [effect async for effect in true_answer(session, partial(transaction.message, context, block))]
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
            yield spoken(text)
        elif true is not None:
            yield true


def _by_reply(verdict: Verdict) -> bool:
    """Whether it is obeyed by what some recipients are told, the others left alone."""
    return not (verdict.silence or verdict.hang_up or verdict.script is not None)


def _foremost(verdicts: Sequence[Verdict]) -> Verdict:
    """Of several sandboxes' verdicts on one reply the first that answers, or else the first."""
    return next((verdict for verdict in verdicts if verdict.answers), verdicts[0])


def _fields(going: Transaction, sandbox: str, block: DotBlock) -> dict[str, Scalar]:
    """A message's fields as one of its recipients' sandboxes sees them."""
    recipients = going.recipients
    if len(recipients) == 1 and recipients[0].sandbox == sandbox:
        count, addresses = 1, print_mailbox(recipients[0].mailbox)
    else:
        mine = [recipient.mailbox for recipient in recipients if recipient.sandbox == sandbox]
        count, addresses = len(mine), " ".join(map(print_mailbox, mine))
    return {
        "sender": print_mailbox(going.reverse_path),
        "recipients": count,
        "recipient": addresses,
        "size": block.size,
        "subject": subject_of(block.data),
    }


def subject_of(octets: bytes) -> str:
    """The message's Subject, unfolded and decoded as far as it can be (RFC 2047); "" where there is none."""
    plain = _PLAIN.match(octets, 0, _NEAR)
    if plain is not None and plain.end() == _NEAR:  # what follows isn't seen
        plain = None
    found = plain or _subject_field(trace.header_of(octets))
    if found is None:
        return ""
    text = found[1].decode("utf-8", "replace")
    text = text.strip() if plain else text.replace("\r\n", "").strip()
    try:
        return str(make_header(decode_header(text))) if "=?" in text else text
    except (HeaderParseError, LookupError, UnicodeDecodeError, ValueError):
        return text


def _subject_field(header: bytes) -> re.Match[bytes] | None:
    lines = b"\n" + header.lower()
    at = lines.find(b"\nsubject")  # an expression would look at every octet before it
    while at >= 0:
        if found := _FIELD.match(header, at):
            return found
        at = lines.find(b"\nsubject", at + 1)
    return None
