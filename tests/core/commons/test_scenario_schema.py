"""The schema of a rule takes what the parser takes, and refuses what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from portyard.commons.scenario.actions import ACTIONS
from portyard.commons.scenario.model import RuleError
from portyard.commons.scenario.parsing import parse_rule, rule_fields
from portyard.commons.scenario.schema import rule_schemas
from tests.core.commons.test_scenario_parsing import WRONG
from tests.support.json_schema import is_valid

SCHEMAS = rule_schemas()

RIGHT: list[dict[str, Any]] = [
    {"on": "smtp.rcpt", "where": {"recipient": "*@t1.test"}, "times": 2, "then": {"refuse": "451 4.7.1 later"}},
    {"on": "imap.fetch", "times": 1, "then": {"hang_up": True}, "per": "session", "chance": 0.5, "skip": 1, "every": 2},
    {"on": "http.connect", "then": [{"reset": {"after_octets": 5}}], "name": "x", "where": {"a": [1, "<5", True]}},
    {"on": "*", "then": {"delay": "2s", "say": "250 ok"}},
    {"on": "*", "then": {"latency": {"delay_s": "150ms", "jitter_s": 1, "direction": "up"}, "bandwidth": 1000}},
    {"on": "a.b", "then": {"respond": {"status": 404, "headers": {"a": "b"}}}},
    {"on": "a.b", "then": {"script": [{"say": "x"}, {"expect": True}, {"delay": 1}, {"hang_up": True}]}},
]


def test_it_is_a_schema_with_every_action() -> None:
    assert set(SCHEMAS["Then"]["properties"]) | set(SCHEMAS["Step"]["properties"]) == set(ACTIONS)


@pytest.mark.parametrize("values", RIGHT, ids=str)
def test_what_is_right_is_taken(values: dict[str, Any]) -> None:
    assert is_valid(values, SCHEMAS["Rule"], SCHEMAS)
    assert is_valid(rule_fields(parse_rule(values)), SCHEMAS["Rule"], SCHEMAS)


# What needs more than a schema: patterns, combinations, text that is parsed.
BEYOND = (
    "no number lies",
    "too big",
    "no regular expression",
    "TCP",
    "both the answer",
    "can follow",
    "once",
    "counted by",
    "form",
    "mistaken",
    "a path can't end",
)


@pytest.mark.parametrize("values", [values for values, _, _ in WRONG], ids=str)
def test_what_is_wrong_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(RuleError) as caught:
        parse_rule(values)
    if is_valid(values, SCHEMAS["Rule"], SCHEMAS):
        assert any(
            word in str(caught.value)
            for word in (*BEYOND, "150ms", "/^$/", "field's name", "printable", "<= 86400", "length")
        )
