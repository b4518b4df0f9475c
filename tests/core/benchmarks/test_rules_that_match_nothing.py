"""The benchmark's rules are rules: every room takes them."""

from __future__ import annotations

import pytest

from benchmarks.rules import RULES, rules_of
from portyard.commons.scenario.checking import check
from portyard.commons.scenario.parsing import parse_rule
from portyard.commons.scenario.vocabulary import Vocabulary
from portyard.rooms import cards

VOCABULARIES = {card.name: card.vocabulary for card in cards() if card.vocabulary is not None}


@pytest.mark.parametrize("vocabulary", VOCABULARIES.values(), ids=VOCABULARIES.keys())
def test_every_room_takes_them(vocabulary: Vocabulary) -> None:
    rules = [parse_rule(rule) for rule in rules_of(vocabulary)]
    assert len(rules) == RULES
    for rule in rules:
        check(rule, VOCABULARIES)
