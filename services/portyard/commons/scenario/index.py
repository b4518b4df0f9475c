"""Finds, among many rules, those that an event may match, without asking each. Pure.

For each field a table tells which rules a value may be meant by, as the bits of one number; what all tables let through is then held
against every condition. A table knows exact texts, beginnings and ends, numbers by their bounds, and of all else short pieces of text
without which a pattern can't match. Only an expression that needs no text at all (`/^[0-9]+$/`) is tried by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from portyard.commons.scenario.actions import Delay
from portyard.commons.scenario.model import Scalar, StoredRule, Verdict, verdict_of
from portyard.commons.scenario.patterns import Pattern, parse_pattern
from portyard.commons.scenario.tables import Table
from portyard.commons.scenario.templates import is_template
from portyard.commons.scenario.vocabulary import Vocabulary

_VERBS = 1024  # buckets of one sandbox
_SESSIONS = 1024  # of one bucket, that differ in what never changes in them
_EVENTS = 512  # of one such session and verb, of which it is known whether any rule means them
_LONGEST_KNOWN = 512  # characters of a value of such an event: a header may hold a megabyte


class CompiledRule:
    """A rule ready to be asked.

    Args:
        stored: It.
    """

    __slots__ = (
        "conditions",
        "counted",
        "fixed",
        "identity",
        "inside",
        "jitter_s",
        "label",
        "rolled",
        "rule",
        "spent",
        "stored",
    )

    def __init__(self, stored: StoredRule) -> None:
        from portyard.commons.scenario.parsing import print_rule  # a testbed without a rule starts without the language

        rule = stored.rule
        self.stored = stored
        self.rule = rule
        self.label = rule.name or str(stored.id)
        self.identity = rule.name or print_rule(rule)
        self.counted = rule.counted
        self.inside = "role" in rule.where
        self.conditions = {
            name: tuple(parse_pattern(written) for written in patterns) for name, patterns in rule.where.items()
        }
        self.jitter_s = sum(action.jitter_s for action in rule.then if isinstance(action, Delay))
        self.rolled = 0  # how often this process rolled the jitter
        varies = self.jitter_s > 0 or any(is_template(action) for action in rule.then)
        self.fixed: Verdict | None = None if varies else verdict_of(self.label, rule.then)
        self.spent: set[str] = set()  # scopes for which a claim said that there is nothing left

    def matches(self, values: Mapping[str, Scalar], met: Collection[str] = ()) -> bool:
        """Whether every condition is met; of the fields in `met` that is known."""
        return all(name in met or _is_meant(patterns, values.get(name)) for name, patterns in self.conditions.items())

    def may_match(self, values: Mapping[str, Scalar]) -> bool:
        """Whether every condition on these fields is met, whatever others there are."""
        return all(
            name not in values or _is_meant(patterns, values[name]) for name, patterns in self.conditions.items()
        )


def _is_meant(patterns: Iterable[Pattern], value: Scalar | None) -> bool:
    return value is not None and any(pattern.matches(value) for pattern in patterns)


class Bucket:
    """A sandbox's rules for one verb of one room, in their order.

    Args:
        rules: They.
    """

    def __init__(self, rules: Sequence[CompiledRule]) -> None:
        self._rules = rules
        self._all = (1 << len(rules)) - 1
        names = dict.fromkeys(name for rule in rules for name in rule.conditions)
        tables = [(name, Table(self._asked(name))) for name in names]
        # The field that most rules ask for goes first: where nothing is left, no other is looked at.
        tables.sort(key=lambda table: table[1].indifferent(self._all).bit_count())
        self._tables = [(name, table.find, table.indifferent(self._all)) for name, table in tables]
        self._narrowed: dict[object, Narrowed | None] = {}

    def _asked(self, name: str) -> Iterator[tuple[int, Sequence[Pattern]]]:
        for place, rule in enumerate(self._rules):
            if name in rule.conditions:
                yield 1 << place, rule.conditions[name]

    def find(self, values: Mapping[str, Scalar]) -> list[CompiledRule]:
        """The rules that match, in their order."""
        left = self._all
        for name, find, indifferent in self._tables:
            value = values.get(name)
            left &= indifferent if value is None else indifferent | find(value)
            if not left:
                return []
        return [rule for rule, _ in self._each(left) if rule.matches(values)]

    def narrowed(self, known: Mapping[str, Scalar], magic: str | None = None) -> Narrowed | None:
        """See `_narrow`; sessions that are alike have the same."""
        key = (magic, *known.items())
        try:
            return self._narrowed[key]
        except KeyError:
            if len(self._narrowed) >= _SESSIONS:
                self._narrowed.clear()
            narrowed = self._narrowed[key] = self._narrow(known, magic)
            return narrowed

    def _narrow(self, known: Mapping[str, Scalar], magic: str | None) -> Narrowed | None:
        """What is left to ask where some fields stay as they are; None where no rule, and no magic, can mean anything.

        Args:
            known: These fields' values.
            magic: The field in which magic words are looked for.
        """
        left = everybody = self._all
        for name, find, indifferent in self._tables:
            if name in known:
                left &= indifferent | find(known[name])
                everybody &= indifferent
        for rule, bit in self._each(left & ~everybody):  # a table lets some through that don't match
            if not rule.may_match(known):
                left ^= bit
        tables = [
            (name, find, indifferent)
            for name, find, indifferent in self._tables
            if name not in known and left & ~indifferent
        ]
        return Narrowed(self, left, tables, known, magic) if left or magic is not None else None

    def _each(self, bits: int) -> Iterator[tuple[CompiledRule, int]]:
        while bits:
            lowest = bits & -bits
            yield self._rules[lowest.bit_length() - 1], lowest
            bits ^= lowest

    def any_matches(self, bits: int, fields: Mapping[str, Scalar], met: Collection[str]) -> bool:
        """Whether any of the rules with these bits means an event; see `CompiledRule.matches`."""
        return any(rule.matches(fields, met) for rule, _ in self._each(bits))


class Narrowed:
    """What of a bucket is left for the events of one session.

    Args:
        bucket: It.
        left: The bits of the rules that may still be meant.
        tables: By field: its table's `find`, and who is indifferent to it.
        known: The fields that stay as they are.
        magic: The field in which magic words are looked for, or None.
    """

    __slots__ = ("_bucket", "_known", "_left", "_magic", "_names", "_stays", "_tables")

    def __init__(
        self,
        bucket: Bucket,
        left: int,
        tables: Sequence[tuple[str, Callable[[Scalar], int], int]],
        known: Mapping[str, Scalar],
        magic: str | None,
    ) -> None:
        self._bucket = bucket
        self._left = left
        self._tables = [(find, indifferent) for _, find, indifferent in tables]
        self._names = [name for name, _, _ in tables]
        self._stays = frozenset(known)
        self._magic = magic
        self._known: dict[tuple[Scalar | None, ...], bool] = {}

    def may_mean(self, fields: Mapping[str, Scalar]) -> bool:
        """Whether a rule means an event with these fields, or magic may."""
        if self._magic is not None and "+" in str(fields.get(self._magic, "")):
            return True
        event = tuple(map(fields.get, self._names))  # a field's values are of one kind, so that 1 and True never meet
        known = self._known.get(event)
        if known is None:
            known = self._look(event, fields)
            self._remember(event, known)
        return known

    def _look(self, event: Iterable[Scalar | None], fields: Mapping[str, Scalar]) -> bool:
        left = self._left
        for value, (find, indifferent) in zip(event, self._tables):  # noqa: B905 - as many of both
            left &= indifferent if value is None else indifferent | find(value)
            if not left:
                return False
        return left != 0 and self._bucket.any_matches(left, fields, self._stays)

    def _remember(self, event: tuple[Scalar | None, ...], known: bool) -> None:
        for value in event:
            if isinstance(value, str) and len(value) > _LONGEST_KNOWN:
                return
        if len(self._known) >= _EVENTS:
            self._known.clear()
        self._known[event] = known


class RuleSet:
    """A sandbox's rules.

    Args:
        rules: In their order.
        version: By which the set is known to be the same.
        vocabularies: What the rooms declare.
    """

    def __init__(self, rules: Iterable[StoredRule], version: int, vocabularies: Mapping[str, Vocabulary]) -> None:
        self.version = version
        self._rules = [CompiledRule(stored) for stored in rules]
        self._vocabularies = vocabularies
        self._buckets: dict[tuple[str, str], Bucket | None] = {}
        self._bytes: dict[str, bool] = {}

    def __len__(self) -> int:
        return len(self._rules)

    def bucket(self, room: str, verb: str) -> Bucket | None:
        """The rules for a verb; None where there is none."""
        key = (room, verb)
        try:
            return self._buckets[key]
        except KeyError:
            bucket = self._collect(room, verb)
        if len(self._buckets) >= _VERBS:
            self._buckets.clear()
        self._buckets[key] = bucket
        return bucket

    def asks_for_bytes(self, room: str) -> bool:
        """Whether any rule for a room, whatever the verb, has a fault of bytes in it."""
        known = self._bytes.get(room)
        if known is None:
            known = self._bytes[room] = self._asks_for_bytes(room)
        return known

    def _asks_for_bytes(self, room: str) -> bool:
        if not self._rules:
            return False
        from portyard.commons.scenario.checking import asks_for_bytes, covers

        return any(asks_for_bytes(rule.rule) for rule in self._rules if covers(rule.rule.room, room))

    def _collect(self, room: str, verb: str) -> Bucket | None:
        if not self._rules:
            return None
        from portyard.commons.scenario.checking import covers, honours

        found = [
            rule
            for rule in self._rules
            if covers(rule.rule.room, room)
            and covers(rule.rule.verb, verb)
            and honours(rule.rule, self._vocabularies.get(room), verb)
        ]
        return Bucket(found) if found else None
