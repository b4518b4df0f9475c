"""Finds, among many rules, those that an event may match, without asking each. Pure.

A rule is filed under one of its fields: by the exact text that it wants there, by a prefix or suffix, else under the field itself. What
is found is then held against every condition. A rule that names no field is always found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from portyard.commons.scenario.actions import Delay
from portyard.commons.scenario.checking import asks_for_bytes, covers, honours
from portyard.commons.scenario.model import Scalar, StoredRule, Verdict, verdict_of
from portyard.commons.scenario.parsing import print_rule
from portyard.commons.scenario.patterns import Pattern, Shape, parse_pattern, text_of
from portyard.commons.scenario.templates import is_template
from portyard.commons.scenario.vocabulary import Vocabulary

_REMEMBERED = 2048  # values of one field whose candidates are known
_VERBS = 1024  # buckets of one sandbox
_RANK = {Shape.EXACT: 0, Shape.SUFFIX: 1, Shape.PREFIX: 1, Shape.OTHER: 2, Shape.ANY: 3}


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

    def matches(self, values: Mapping[str, Scalar]) -> bool:
        """Whether every condition is met."""
        for name, patterns in self.conditions.items():
            value = values.get(name)
            if value is None or not any(pattern.matches(value) for pattern in patterns):
                return False
        return True


class _Table:
    """The rules of a bucket that are filed under one field, by their places."""

    def __init__(self) -> None:
        self.exact: dict[str, list[int]] = {}
        self.prefixes: dict[int, dict[str, list[int]]] = {}
        self.suffixes: dict[int, dict[str, list[int]]] = {}
        self.others: list[tuple[Sequence[Pattern], int]] = []
        self._known: dict[object, tuple[int, ...]] = {}

    def add(self, patterns: Sequence[Pattern], place: int) -> None:
        if any(_RANK[pattern.shape] > 1 for pattern in patterns):
            self.others.append((patterns, place))
            return
        for pattern in patterns:
            anchor = pattern.anchor
            if pattern.shape is Shape.EXACT:
                self.exact.setdefault(anchor, []).append(place)
            else:
                kinds = self.prefixes if pattern.shape is Shape.PREFIX else self.suffixes
                kinds.setdefault(len(anchor), {}).setdefault(anchor, []).append(place)

    def find(self, value: Scalar) -> tuple[int, ...]:
        key = (
            value if isinstance(value, str) else (type(value), value)
        )  # 1 and True are the same key, and not the same value
        known = self._known.get(key)
        if known is None:
            known = tuple(self._search(value))
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key] = known
        return known

    def _search(self, value: Scalar) -> Iterable[int]:
        text = text_of(value).lower()
        yield from self.exact.get(text, ())
        for length, table in self.prefixes.items():
            yield from table.get(text[:length], ())
        for length, table in self.suffixes.items():
            yield from table.get(text[-length:], ())
        for patterns, place in self.others:
            if any(pattern.matches(value) for pattern in patterns):
                yield place


class Bucket:
    """A sandbox's rules for one verb of one room, in their order.

    Args:
        rules: They.
    """

    def __init__(self, rules: Sequence[CompiledRule]) -> None:
        self._rules = rules
        self._always: list[int] = []
        self._tables: dict[str, _Table] = {}
        for place, rule in enumerate(rules):
            self._file(rule, place)

    def _file(self, rule: CompiledRule, place: int) -> None:
        ranked = sorted(rule.conditions.items(), key=lambda item: max(_RANK[pattern.shape] for pattern in item[1]))
        if not ranked:
            self._always.append(place)
            return
        name, patterns = ranked[0]
        self._tables.setdefault(name, _Table()).add(patterns, place)

    def find(self, values: Mapping[str, Scalar]) -> list[CompiledRule]:
        """The rules that match, in their order."""
        places = list(self._always)
        for name, table in self._tables.items():
            value = values.get(name)
            if value is not None:
                places += table.find(value)
        if not places:
            return []
        rules = (self._rules[place] for place in sorted(set(places)))
        return [rule for rule in rules if rule.matches(values)]


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
            means = (rule.rule for rule in self._rules if covers(rule.rule.room, room))
            known = self._bytes[room] = any(asks_for_bytes(rule) for rule in means)
        return known

    def _collect(self, room: str, verb: str) -> Bucket | None:
        found = [
            rule
            for rule in self._rules
            if covers(rule.rule.room, room)
            and covers(rule.rule.verb, verb)
            and honours(rule.rule, self._vocabularies.get(room), verb)
        ]
        return Bucket(found) if found else None
