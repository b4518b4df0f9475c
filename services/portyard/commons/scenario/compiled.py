"""A rule made ready to be held against events. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from portyard.commons.scenario.actions import Delay
from portyard.commons.scenario.model import Scalar, StoredRule, Verdict, verdict_of
from portyard.commons.scenario.patterns import Pattern, parse_pattern
from portyard.commons.scenario.templates import is_template


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
