"""docs/rules.md is true: its rules can be set, its table names every action with its fields."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from portyard.commons.scenario.actions import ACTIONS, Kind
from portyard.commons.scenario.checking import check
from portyard.commons.scenario.model import Rule
from portyard.commons.scenario.parsing import parse_toml
from portyard.rooms import cards

PAGE = (Path(__file__).parents[2] / "docs" / "rules.md").read_text()
BLOCKS = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| `(\w+)` \| `(\w+)` \| ([^|]*)\|", re.MULTILINE)


@pytest.mark.parametrize("text", BLOCKS)
def test_its_rules_can_be_set(text: str) -> None:
    vocabularies = {card.name: card.vocabulary for card in cards() if card.vocabulary is not None}
    rules = parse_toml(text)
    assert rules
    for rule in rules:
        check(rule, vocabularies)


def test_its_table_has_every_action_with_its_fields() -> None:
    rows = {name: (bare, set(re.findall(r"\w+", others))) for name, bare, others in ROW.findall(PAGE)}
    assert rows.keys() == {name for name, spec in ACTIONS.items() if spec.kind is not Kind.STEP}
    for name, (bare, others) in rows.items():
        fields = {field.name for field in msgspec.structs.fields(ACTIONS[name].type)}
        assert bare == (ACTIONS[name].bare or "true"), name
        assert others == fields - {bare}, name


def test_it_tells_every_key() -> None:
    for field in msgspec.structs.fields(Rule):
        assert f"`{field.name}`" in PAGE
