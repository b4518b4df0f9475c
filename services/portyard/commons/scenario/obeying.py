"""How a core obeys a verdict: its answer, wrapped. Pure, so that a rule works the same with and without a socket.

A core asks before the state moves:

    async for effect in ruled(gate, "rcpt", answer(), refusal, recipient=address):
        yield effect

`answer` is the truth and moves the state; it is not begun when the verdict refuses.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable

from portyard.commons.effects import Abort, Arm, Close, Effect, Hush, Note, Pause, Send, StartTls
from portyard.commons.scenario.actions import Action, Delay, HangUp, Kind, Refuse, Say, Silence, action_name, kind_of
from portyard.commons.scenario.engine import SessionGate
from portyard.commons.scenario.model import Scalar, Verdict

Refusal = Callable[[str], AsyncIterator[Effect]]
Gate = SessionGate | None


async def ruled(
    gate: Gate,
    verb: str,
    answer: AsyncIterator[Effect],
    refusal: Refusal,
    lie: Refusal | None = None,
    /,
    **fields: Scalar,
) -> AsyncIterator[Effect]:
    """An answer as the rules want it.

    Args:
        gate: The session's gate; None asks nobody.
        verb: Of the room's vocabulary.
        answer: The true answer; begun only when the state may move.
        refusal: Says a refusal in the protocol's words, given the rule's text.
        lie: Says a false answer, given the rule's text; as `refusal` says it when None.
        **fields: The verb's own fields.
    """
    verdict = await gate.ask(verb, **fields) if gate is not None and gate.armed else None
    if verdict is None:
        async for effect in answer:
            yield effect
        return
    async for effect in obeyed(verdict, verb, answer, refusal, lie or refusal):
        yield effect


async def obeyed(
    verdict: Verdict, verb: str, answer: AsyncIterator[Effect], refusal: Refusal, lie: Refusal
) -> AsyncIterator[Effect]:
    """The effects of a verdict on an answer; see `ruled`."""
    yield Note(
        "fault", {"verb": verb, "rule": verdict.rule, "does": [action_name(action) for action in verdict.actions]}
    )
    if verdict.delay_s:
        yield Pause(verdict.delay_s)
    if verdict.faults:
        yield Arm(verdict.faults)
    if verdict.script is not None:
        async for effect in played(verdict.script, refusal, lie):
            yield effect
        return
    if verdict.refuse is not None:
        async for effect in refusal(verdict.refuse):
            yield effect
    elif verdict.say is not None:
        ending: list[Effect] = []  # the lie is told before the connection ends, or changes below it
        async for effect in unsaid(answer):
            if isinstance(effect, StartTls | Close | Abort):
                ending.append(effect)
            else:
                yield effect
        async for effect in lie(verdict.say):
            yield effect
        for effect in ending:
            yield effect
    elif verdict.respond is not None:
        async for effect in lie(verdict.respond.body):
            yield effect
    elif not (verdict.silence or verdict.hang_up):
        async for effect in answer:
            yield effect
    if verdict.hang_up:
        yield Close()
    elif verdict.silence:
        yield Hush()


async def played(script: tuple[Action, ...], refusal: Refusal, lie: Refusal) -> AsyncIterator[Effect]:
    """A script's steps, one after the other, in place of any answer."""
    for step in script:
        match step:
            case Delay(delay_s):
                yield Pause(delay_s)
            case Say(reply):
                async for effect in lie(reply):
                    yield effect
            case Refuse(reply):
                async for effect in refusal(reply):
                    yield effect
            case Silence():
                yield Hush()
            case HangUp():
                yield Close()
            case _ if kind_of(step) is Kind.BYTES:
                yield Arm((step,))


async def unsaid(answer: AsyncIterator[Effect]) -> AsyncIterator[Effect]:
    """What the answer does, without what it says: the state moves, the peer hears something else."""
    async for effect in answer:
        if not isinstance(effect, Send):
            yield effect


async def interrupted(gate: Gate, verb: str, /, **fields: Scalar) -> AsyncIterator[Effect]:
    """What happens in the midst of an answer that has begun (a literal, a message): a pause, faults, silence, or the end."""
    verdict = await gate.ask(verb, **fields) if gate is not None and gate.armed else None
    if verdict is None:
        return
    nothing = _nothing()
    async for effect in obeyed(verdict, verb, nothing, lambda _: _nothing(), lambda _: _nothing()):
        yield effect


async def _nothing() -> AsyncGenerator[Effect, None]:
    return
    yield  # makes it a generator
