"""Whatever somebody brings as a persona is one, or is refused with key and value; nothing else ever happens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portyard.commons.card import Card
from portyard.commons.scenario.personas import PersonaError, Wardrobe, builtins, make, shape_of
from portyard.console.problems import explained
from portyard.rooms import cards

CARDS = {card.name: card for card in cards() if card.quirks}
TEXTS = st.one_of(
    st.text(max_size=20), st.sampled_from(["", "$host", "550 5.1.1 no", "250 yes", "INBOX", "a.b", "\r\n", "\0", "✓"])
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)


def keys_of(card: Card) -> list[str]:
    found = ["name", "summary", *(service.role for service in card.services)]
    for field in msgspec.structs.fields(shape_of(card)):
        found.append(field.encode_name)
    return found


def inner_keys(card: Card) -> list[str]:
    shapes = [field.type for field in msgspec.structs.fields(shape_of(card))]
    return [
        field.encode_name
        for shape in shapes
        if isinstance(shape, type) and issubclass(shape, msgspec.Struct)
        for field in msgspec.structs.fields(shape)
    ]


def tables(card: Card) -> st.SearchStrategy[dict[str, Any]]:
    inner = st.dictionaries(st.sampled_from([*inner_keys(card), "x", "a.b", "a[0]"]), VALUES, max_size=3)
    return st.dictionaries(st.one_of(st.sampled_from(keys_of(card)), TEXTS), st.one_of(VALUES, inner), max_size=4)


@pytest.mark.parametrize("room", CARDS)
@settings(deadline=None)  # building what is tried takes longer than trying it
@given(data=st.data())
def test_it_is_one_or_it_is_refused(room: str, data: st.DataObject) -> None:
    card = CARDS[room]
    values = data.draw(tables(card))
    refused = refusal_of(card, values)
    if refused is not None:
        assert refused.reason
        msgspec.json.encode(explained(refused).problem)


def refusal_of(card: Card, values: dict[str, Any]) -> PersonaError | None:
    try:
        make(card, "mine", values)
    except PersonaError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("room", "name"), [(room, each.name) for room, card in CARDS.items() for each in builtins(card)]
)
def test_a_copy_of_a_room_s_own_means_the_same(room: str, name: str, tmp_path: Path) -> None:
    wardrobe, card = Wardrobe(tmp_path), CARDS[room]
    own = wardrobe.find(card, name)
    keys = json.loads(json.dumps(own.keys)) | {"name": "copy"}
    assert wardrobe.put(card, "copy", keys).quirks == own.quirks
    assert Wardrobe(tmp_path).find(card, "copy").quirks == own.quirks
