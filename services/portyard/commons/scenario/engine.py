"""The gate: every event of a room is held against the rules of its sandbox before the state moves. Pure.

While no rule is set anywhere an event costs one comparison of counters. Rules are read again when their counter moved, so that a rule is
in force at the next event once the call that set it has returned. The first rule that fires wins; later ones are not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from portyard.commons.scenario.actions import Action, Reset, action_name
from portyard.commons.scenario.counting import chance
from portyard.commons.scenario.index import Bucket, CompiledRule, RuleSet
from portyard.commons.scenario.magic import parse_magic
from portyard.commons.scenario.model import Event, Rule, Scalar, Spelling, StoredRule, Verdict, verdict_of
from portyard.commons.scenario.session_gate import Known, SessionGate, Stamp
from portyard.commons.scenario.templates import filled
from portyard.commons.scenario.vocabulary import Vocabulary

__all__ = ["Claim", "Gate", "Insiders", "RuleBook", "SessionGate", "Stamp"]

_SANDBOXES = 4096  # whose rules are kept ready
_EMPTY = Bucket(())


@dataclass(frozen=True, slots=True)
class Claim:
    """The outcome of counting a match.

    Attributes:
        fires: Whether the rule fires now.
        spent: Whether it never will again (for this scope).
        count: Which match it was.
    """

    fires: bool
    spent: bool
    count: int


class RuleBook(Protocol):
    """Where the rules are kept, and counted for all processes together."""

    @property
    def generation(self) -> Callable[[], int]:
        """Reads a number that moves when any rule, or any sandbox's magic switch, does; a memory read."""

    async def anything(self) -> bool:
        """Whether there is a rule or magic in any sandbox."""

    async def carried(self) -> tuple[frozenset[str], bool]:
        """The rooms that rules of any sandbox ask for faults of bytes (`*` stands for any letters), and whether magic is on in any."""

    async def state(self, sandbox: str) -> tuple[int, bool]:
        """A number that no other state of this sandbox's rules has had, and whether magic addresses are on."""

    async def load(self, sandbox: str) -> tuple[StoredRule, ...]:
        """The sandbox's rules in their order."""

    async def claim(self, stored: StoredRule, identity: str, scope: str, session: str) -> Claim:
        """Count a match of a counted rule, and say whether it fires; committed on return."""

    async def claim_magic(self, sandbox: str, scope: str, times: int) -> bool:
        """Whether a counted magic address has something left; committed on return."""

    def note_hit(self, stored: StoredRule, session: str) -> None:
        """Count a hit of a rule that isn't counted; written behind."""


class Insiders(Protocol):
    """The ends that services of the testbed have of the connections that they make to each other."""

    def add(self, end: tuple[str, int], /) -> None:
        """Note an end, before it is connected."""

    def discard(self, end: tuple[str, int], /) -> None:
        """Forget it."""

    def __contains__(self, end: object, /) -> bool:
        """Whether it is noted."""


class Gate:
    """The gate of one process.

    Args:
        rules: The rule book.
        seed: Of the testbed's chance.

    Attributes:
        vocabularies: What the rooms declare, by room.
        insiders: Our ends (address and port) of connections that the testbed's services make to each other.
    """

    def __init__(self, rules: RuleBook, seed: int = 0) -> None:
        self._rules = rules
        self._generation = rules.generation
        self._seed = seed
        self._seen: int | None = None
        self._anything = True
        self._sets: dict[str, tuple[int, RuleSet, bool]] = {}
        self._carried: tuple[int | None, frozenset[str], bool] = (None, frozenset(), False)
        self._carrying: dict[str, bool] = {}  # the answers that follow from `_carried`, by room
        self.vocabularies: dict[str, Vocabulary] = {}
        self.insiders: Insiders = set[tuple[str, int]]()

    def learn(self, vocabulary: Vocabulary) -> None:
        """Take a room's vocabulary: from then on nothing is asked of it that it can't honour, and its magic is known."""
        self.vocabularies[vocabulary.room] = vocabulary
        self._sets.clear()
        self._carrying = {}

    @property
    def armed(self) -> bool:
        """False while there is no rule and no magic anywhere; then nobody need ask."""
        return self._anything or self._generation() != self._seen

    def session(
        self,
        room: str,
        *,
        session: str,
        peer: str,
        role: str = "",
        port: str = "",
        sandbox: str = "default",
        internal: bool = False,
    ) -> SessionGate:
        """The gate as one session has it; see Event for the arguments."""
        return SessionGate(self, room, role or room, sandbox, session, peer, port, internal)

    async def ask(self, event: Event) -> Verdict | None:
        """What is to be done about an event; None for what always happens."""
        known = self._sets.get(event.sandbox)
        if known is None or known[0] != self._generation():
            if not self.armed:
                return None
            known = await self._current(event.sandbox)
        _, rules, magic = known
        verdict = None
        bucket = rules.bucket(event.room, event.verb)
        if bucket is not None:
            values = event.values()
            found = bucket.find(values)
            if found:
                verdict = await self._judge(found, values, event)
        if verdict is None and magic and not event.internal:
            verdict = await self._conjure(event)
        return verdict

    async def asks_for_bytes(self, room: str, sandbox: str | None = None) -> bool:
        """Whether a connection to a room, accepted now, must be one that faults of bytes can be put on.

        Args:
            room: The room.
            sandbox: Whose rules alone can mean it; None where it may be any that the session will name.
        """
        if not self.armed:
            return False
        if sandbox is None:
            return await self._anybody_asks_for_bytes(room)
        _, rules, magic = await self._current(sandbox)
        return (magic and self._magic_resets(room)) or rules.asks_for_bytes(room)

    async def _anybody_asks_for_bytes(self, room: str) -> bool:
        generation = self._generation()  # before the reading, as in `_current`
        if self._carried[0] != generation:
            self._carried = (generation, *await self._rules.carried())
            self._carrying = {}
        known = self._carrying.get(room)
        if known is None:
            known = self._carrying[room] = self._carries(room)
        return known

    def _carries(self, room: str) -> bool:
        _, rooms, magic = self._carried
        if magic and self._magic_resets(room):
            return True
        if not rooms:
            return False
        from portyard.commons.scenario.checking import covers  # a testbed without a rule starts without the language

        return any(covers(each, room) for each in rooms)

    def _magic_resets(self, room: str) -> bool:
        """Whether magic, wherever it is looked for in a room, can ask for a fault of bytes: its one is `reset`."""
        vocabulary = self.vocabularies.get(room)
        return vocabulary is not None and any(
            verb.magic and action_name(Reset()) in verb.actions for verb in vocabulary.verbs.values()
        )

    def nothing_for(self, sandbox: str, room: str, verb: str) -> bool:
        """True when it is known, without asking the rule book, that no rule and no magic can mean such an event."""
        if self.idle:
            return True
        known = self._sets.get(sandbox)
        if known is None or known[0] != self._generation():
            return False
        return known[1].bucket(room, verb) is None and (not known[2] or self._magic_field(room, verb) is None)

    @property
    def idle(self) -> bool:
        """Whether it is known that there is no rule and no magic anywhere."""
        return not self._anything and self._generation() == self._seen

    def narrowed(
        self, sandbox: str, room: str, verb: str | tuple[str, ...], fields: Mapping[str, Scalar], *, internal: bool
    ) -> Known | None:
        """What is left to ask of such events where these fields stay as they are; None while the rules have to be read first."""
        known, generation = self._sets.get(sandbox), self._generation()
        if known is None or known[0] != generation:
            return None
        bucket = known[1].bucket(room, verb) or _EMPTY
        verbs = (verb,) if isinstance(verb, str) else verb
        magic = next(filter(None, (self._magic_field(room, one) for one in verbs)), None) if known[2] else None
        return generation, bucket.narrowed(fields, None if internal else magic, internal=internal)

    def _magic_field(self, room: str, verb: str) -> str | None:
        vocabulary = self.vocabularies.get(room)
        declared = vocabulary.verbs.get(verb) if vocabulary else None
        return declared.magic if declared is not None else None

    async def _current(self, sandbox: str) -> tuple[int, RuleSet, bool]:
        generation = self._generation()  # before the reading: a change in between is read twice, never missed
        known = self._sets.get(sandbox)
        if known is not None and known[0] == generation:
            return known
        if generation != self._seen:
            self._anything = await self._rules.anything()
            self._seen = generation
        version, magic = await self._rules.state(sandbox)
        if known is None or known[1].version != version:
            rules = RuleSet(await self._rules.load(sandbox), version, self.vocabularies)
        else:
            rules = known[1]
        if len(self._sets) >= _SANDBOXES:
            self._sets.clear()
        current = self._sets[sandbox] = (generation, rules, magic)
        return current

    async def _judge(self, found: Iterable[CompiledRule], values: Mapping[str, Scalar], event: Event) -> Verdict | None:
        for rule in found:
            if event.internal and not rule.inside:
                continue
            if not rule.counted:
                self._rules.note_hit(rule.stored, event.session)
                rule.rolled += 1
                return self._verdict(rule, values, rule.rolled, event.spelling)
            claim = await self._claim(rule, event)
            if claim is not None and claim.fires:
                return self._verdict(rule, values, claim.count, event.spelling)
        return None

    async def _claim(self, rule: CompiledRule, event: Event) -> Claim | None:
        scope = _scope(rule.rule, event)
        if scope is None or scope in rule.spent:
            return None
        claim = await self._rules.claim(rule.stored, rule.identity, scope, event.session)
        if claim.spent:
            if len(rule.spent) >= _SANDBOXES:
                rule.spent.clear()  # they are claimed once more, and told again that nothing is left
            rule.spent.add(scope)
        return claim

    def _verdict(
        self, rule: CompiledRule, values: Mapping[str, Scalar], count: int, spelling: Spelling | None
    ) -> Verdict:
        if rule.fixed is not None:
            return rule.fixed
        values = values if spelling is None else spelling(values)
        actions = tuple(filled(action, values) for action in rule.rule.then)
        verdict = verdict_of(rule.label, actions)
        if not rule.jitter_s:
            return verdict
        jitter_s = rule.jitter_s * chance(self._seed, f"{rule.identity} jitter", 0, count)
        return verdict_of(rule.label, actions, verdict.delay_s + jitter_s)

    async def _conjure(self, event: Event) -> Verdict | None:
        vocabulary = self.vocabularies.get(event.room)
        verb = vocabulary.verbs.get(event.verb) if vocabulary else None
        text = event.fields.get(verb.magic) if verb and verb.magic else None
        if verb is None or not isinstance(text, str):
            return None
        magic = parse_magic(text, f"{event.room}.{event.verb}")
        actions = _honoured(magic.rule.then, verb.actions) if magic else ()
        if magic is None or not actions:
            return None
        if magic.rule.times is not None:
            scope = f"{event.room} {event.role} {event.verb} {text.lower()}"
            if not await self._rules.claim_magic(event.sandbox, scope, magic.rule.times):
                return None
        return verdict_of(magic.words, actions)


def _scope(rule: Rule, event: Event) -> str | None:
    """Whose count a match is; None where there is nobody to count for."""
    match rule.per:
        case "session":
            return event.session or None
        case "peer":
            return event.peer or None
        case "account":
            return event.account or None
        case _:
            return ""


def _honoured(actions: tuple[Action, ...], words: frozenset[str]) -> tuple[Action, ...]:
    return tuple(action for action in actions if action_name(action) in words)
