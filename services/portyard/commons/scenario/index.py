"""Finds, among many rules, those that an event may match, without asking each. Pure.

For each field a table tells which rules a value may be meant by, as the bits of one number; what all tables let through is then held
against every condition. A table knows exact texts, beginnings and ends, numbers by their bounds, and of all else short pieces of text
without which a pattern can't match. Only an expression that needs no text at all (`/^[0-9]+$/`) is tried by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from portyard.commons.scenario.compiled import CompiledRule
from portyard.commons.scenario.model import Scalar, StoredRule
from portyard.commons.scenario.narrowing import Index, Narrowed
from portyard.commons.scenario.vocabulary import Vocabulary

__all__ = ["Bucket", "CompiledRule", "Narrowed", "RuleSet"]

_VERBS = 1024  # buckets of one sandbox
_SESSIONS = 1024  # of one bucket, that differ in what never changes in them
_PARTS = 16  # of one bucket's rules, each with an index of its own
_SMALL = 32  # rules, of which an index is made whenever it is wanted


class Bucket:
    """A sandbox's rules for one verb of one room, in their order.

    Args:
        rules: They.
    """

    def __init__(self, rules: Sequence[CompiledRule]) -> None:
        self._index = Index(rules)
        self._narrowed: dict[object, Narrowed | None] = {}
        self._parts: dict[int, Index] = {}

    def find(self, values: Mapping[str, Scalar]) -> list[CompiledRule]:
        """The rules that match, in their order."""
        return [rule for rule, _ in self._index.each(self._index.left(values)) if rule.matches(values)]

    def narrowed(
        self, known: Mapping[str, Scalar], magic: str | None = None, *, internal: bool = False
    ) -> Narrowed | None:
        """See `_narrow`; sessions that are alike have the same."""
        key = (internal, magic, *known.items())
        try:
            return self._narrowed[key]
        except KeyError:
            if len(self._narrowed) >= _SESSIONS:
                self._narrowed.clear()
            narrowed = self._narrowed[key] = self._narrow(known, magic, internal)
            return narrowed

    def _narrow(self, known: Mapping[str, Scalar], magic: str | None, internal: bool) -> Narrowed | None:
        """What is left to ask where some fields stay as they are; None where no rule, and no magic, can mean anything.

        Args:
            known: These fields' values.
            magic: The field in which magic words are looked for.
            internal: The peer is another service of the testbed, whom only rules that name a role see.
        """
        left = self._index.left(known, known)
        for rule, bit in self._index.each(left):  # a table lets some through that don't match
            if (internal and not rule.inside) or not rule.may_match(known):
                left ^= bit
        if not left and magic is None:
            return None
        index = self._part(left)
        return Narrowed(index, index.everybody if index is not self._index else left, frozenset(known), magic)

    def _part(self, left: int) -> Index:
        """An index of these rules alone, where that is worth the making: else what others ask for would be looked for, too."""
        part = self._index if left == self._index.everybody else self._parts.get(left)
        if part is None:
            count = left.bit_count()
            if len(self._parts) >= _PARTS and count > _SMALL:
                return self._index
            if len(self._parts) >= _SESSIONS:
                self._parts.clear()
            part = self._parts[left] = Index([rule for rule, _ in self._index.each(left)])
        return part


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
        self._buckets: dict[tuple[str, str | tuple[str, ...]], Bucket | None] = {}
        self._bytes: dict[str, bool] = {}

    def __len__(self) -> int:
        return len(self._rules)

    def bucket(self, room: str, verb: str | tuple[str, ...]) -> Bucket | None:
        """The rules for a verb, or for any of several; None where there is none."""
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

    def _collect(self, room: str, verb: str | tuple[str, ...]) -> Bucket | None:
        if not self._rules:
            return None
        from portyard.commons.scenario.checking import covers, honours

        verbs, vocabulary = (verb,) if isinstance(verb, str) else verb, self._vocabularies.get(room)
        found = [
            rule
            for rule in self._rules
            if covers(rule.rule.room, room)
            and any(covers(rule.rule.verb, one) and honours(rule.rule, vocabulary, one) for one in verbs)
        ]
        return Bucket(found) if found else None
