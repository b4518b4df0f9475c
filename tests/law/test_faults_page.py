"""docs/faults.md says of every fault where it is seen, by the data that the matrix in containers is held against."""

from __future__ import annotations

import re
from pathlib import Path

from portyard.commons.scenario.actions import ACTIONS, Kind
from portyard.console.core.unseen import HIDDEN, PEER
from portyard.rooms import cards
from tests.support.matrix.octets import SPEECHES
from tests.support.matrix.rooms import ROOMS

PAGE = (Path(__file__).parents[2] / "docs" / "faults.md").read_text()
VOCABULARIES = [card.vocabulary for card in cards() if card.vocabulary is not None]
ROW = re.compile(r"^\| `(\w+)` \| ([✓◐–](?: \| [✓◐–])*) \|$", re.MULTILINE)


def test_every_action_has_a_row_and_every_mark_is_what_the_tests_look_for() -> None:
    rows = {word: marks.split(" | ") for word, marks in ROW.findall(PAGE)}
    assert rows.keys() == {word for word, spec in ACTIONS.items() if spec.kind is not Kind.STEP}
    for word, marks in rows.items():
        for vocabulary, mark in zip(VOCABULARIES, marks, strict=True):
            announced = any(word in verb.actions for verb in vocabulary.verbs.values())
            assert mark == ("◐" if word in HIDDEN else "✓" if announced else "–"), (word, vocabulary.room)


def test_what_is_hidden_is_told_in_the_words_of_the_warnings() -> None:
    for warning in (*HIDDEN.values(), PEER):
        assert warning in PAGE


def test_every_field_is_explained_below_its_room_s_table() -> None:
    for vocabulary in VOCABULARIES:
        section = PAGE.partition(f"\n## {vocabulary.room}\n")[2].partition("\n## ")[0]
        told = re.findall(r"^- `(\w+)`: (?=\w|\")", section, re.MULTILINE)
        assert sorted(told) == sorted({field for verb in vocabulary.verbs.values() for field in verb.fields})


def test_the_matrix_has_every_room() -> None:
    assert {vocabulary.room for vocabulary in VOCABULARIES} == ROOMS.keys() == SPEECHES.keys()
