"""A rule book in memory, for the gate alone: counts as the store does, in one process."""

from __future__ import annotations

from collections import Counter

from portyard.commons.scenario.checking import carries
from portyard.commons.scenario.counting import chance, due
from portyard.commons.scenario.engine import Claim
from portyard.commons.scenario.model import Rule, StoredRule


class MemoryRules:
    """Implements `engine.RuleBook`.

    Args:
        seed: Of chance.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._rules: dict[str, list[StoredRule]] = {}
        self._number = 0
        self._scopes: dict[tuple[int, str], int] = {}
        self._matched: Counter[tuple[int, str]] = Counter()
        self._fired: Counter[tuple[int, str]] = Counter()
        self.magic: set[str] = set()
        self.version = 0
        self.asked = Counter[str]()
        self.hits: Counter[str] = Counter()

    def add(self, *rules: Rule, sandbox: str = "default") -> None:
        for rule in rules:
            self._number += 1
            self._rules.setdefault(sandbox, []).append(StoredRule(self._number, sandbox, rule))
        self.version += 1

    def clear(self, sandbox: str = "default") -> None:
        self._rules.pop(sandbox, None)
        self.version += 1

    def generation(self) -> int:
        return self.version

    async def anything(self) -> bool:
        self.asked["anything"] += 1
        return bool(self._rules or self.magic)

    async def carried(self) -> tuple[frozenset[str], bool]:
        self.asked["carried"] += 1
        found = {carries(stored.rule, sandbox) for sandbox, rules in self._rules.items() for stored in rules}
        return frozenset(found - {""}), bool(self.magic)

    async def state(self, sandbox: str) -> tuple[int, bool]:
        self.asked["state"] += 1
        return self.version, sandbox in self.magic

    async def load(self, sandbox: str) -> tuple[StoredRule, ...]:
        self.asked["load"] += 1
        return tuple(self._rules.get(sandbox, ()))

    async def claim(self, stored: StoredRule, identity: str, scope: str, session: str) -> Claim:
        self.asked["claim"] += 1
        key = (stored.id, scope)
        ordinal = (
            self._scopes.setdefault(key, 1 + sum(number == stored.id for number, _ in self._scopes)) if scope else 0
        )
        self._matched[key] += 1
        times = stored.rule.times
        left = times is None or self._fired[key] < times
        draw = chance(self._seed, identity, ordinal, self._matched[key])
        fires = left and due(stored.rule, self._matched[key], draw)
        self._fired[key] += fires
        self.hits[stored.rule.name] += fires
        return Claim(fires, times is not None and self._fired[key] >= times, self._matched[key])

    async def claim_magic(self, sandbox: str, scope: str, times: int) -> bool:
        self._fired[0, f"{sandbox} {scope}"] += 1
        return self._fired[0, f"{sandbox} {scope}"] <= times

    def note_hit(self, stored: StoredRule, session: str) -> None:
        self.hits[stored.rule.name] += 1
