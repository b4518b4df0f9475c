"""docs/tls.md says what the matrix of tests shows, and its examples are rules that rooms can honour."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from portyard.commons.scenario.checking import check
from portyard.commons.scenario.parsing import parse_rule
from portyard.commons.tls.recipes import RECIPES
from portyard.console.rules import vocabularies
from tests.edges.tls.matrix import table

TEXT = (Path(__file__).parents[3] / "docs" / "tls.md").read_text()


def test_the_table_is_true() -> None:
    assert table() in TEXT, f"docs/tls.md should hold this table:\n{table()}"


@pytest.mark.parametrize("written", re.findall(r'^\{"on".*\}$', TEXT, re.MULTILINE))
def test_an_example_is_a_rule(written: str) -> None:
    assert check(parse_rule(json.loads(written)), vocabularies(), recipes=RECIPES)


def test_there_are_examples() -> None:
    assert len(re.findall(r'^\{"on".*\}$', TEXT, re.MULTILINE)) >= 5
