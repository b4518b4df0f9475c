"""How a core obeys a verdict: its answer, wrapped. Pure, so that a rule works the same with and without a socket.

A core asks before the state moves:

    async for effect in ruled(gate, "rcpt", answer(), refusal, recipient=address):
        yield effect

`answer` is the truth and moves the state; it is not begun when the verdict refuses.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable

from portyard.commons.effects import Abort, Arm, Close, Effect, Hear, Hush, Note, Pause, Send, StartTls
from portyard.commons.events import Event, Line
from portyard.commons.scenario import actions
from portyard.commons.scenario.actions import Action, Delay, Expect, HangUp, Kind, Say, Silence, action_name, kind_of
from portyard.commons.scenario.engine import SessionGate
from portyard.commons.scenario.model import Scalar, Verdict
from portyard.commons.scenario.patterns import parse_pattern

Refusal = Callable[[str], AsyncIterator[Effect]]
Heard = Callable[[bytes], object]
Gate = SessionGate | None


def _unheard(_: bytes) -> None:
    return None


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
    verdict: Verdict,
    verb: str,
    answer: AsyncIterator[Effect],
    refusal: Refusal,
    lie: Refusal,
    heard: Heard = _unheard,
) -> AsyncIterator[Effect]:
    """The effects of a verdict on an answer; see `ruled`, and `played` for `heard`."""
    yield Note(
        "fault", {"verb": verb, "rule": verdict.rule, "does": [action_name(action) for action in verdict.actions]}
    )
    if verdict.delay_s:
        yield Pause(verdict.delay_s)
    if verdict.faults:
        yield Arm(verdict.faults)
    if verdict.script is not None:
        async for effect in played(verdict.script, lie, heard):
            yield effect
        return
    if verdict.refuse is not None:
        async for effect in refusal(verdict.refuse):
            yield effect
    elif verdict.say is not None:
        async for effect in _lied(answer, lie(verdict.say)):
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


async def _lied(answer: AsyncIterator[Effect], lie: AsyncIterator[Effect]) -> AsyncIterator[Effect]:
    """What an answer does, with another word; it is told before the connection ends, or changes below it."""
    ending: list[Effect] = []
    async for effect in unsaid(answer):
        if isinstance(effect, StartTls | Close | Abort):
            ending.append(effect)
        else:
            yield effect
    async for effect in lie:
        yield effect
    for effect in ending:
        yield effect


async def played(script: tuple[Action, ...], lie: Refusal, heard: Heard = _unheard) -> AsyncIterator[Effect]:
    """A script's steps, one after the other, in place of any answer; what follows an `expect` waits for its line.

    Args:
        script: The steps.
        lie: See `ruled`.
        heard: Told each line that was expected, for who answers to its words (a tag).
    """
    for place, step in enumerate(script):
        match step:
            case Delay(delay_s):
                yield Pause(delay_s)
            case Say(reply):
                async for effect in lie(reply):
                    yield effect
            case actions.Send(text):
                yield Send(text.encode("utf-8", "surrogateescape"))
            case Expect(text):
                yield _hear(text, script[place + 1 :], lie, heard)
                return
            case Silence():
                yield Hush()
            case HangUp():
                yield Close()
            case _ if kind_of(step) is Kind.BYTES:
                yield Arm((step,))


def _hear(expected: str, rest: tuple[Action, ...], lie: Refusal, heard: Heard) -> Hear:
    pattern = parse_pattern(expected)

    def then(line: bytes) -> AsyncIterator[Effect]:
        heard(line)
        return played(rest, lie, heard)

    return Hear(lambda line: pattern.matches(line.decode("utf-8", "replace")), then)


def continued(hearing: Hear, event: Event) -> AsyncIterator[Effect] | None:
    """How an answer that waited for a line goes on with what came; None where that is the session's to answer, the script over."""
    if not isinstance(event, Line) or not hearing.matches(event.data):
        return None
    return hearing.then(event.data)


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
