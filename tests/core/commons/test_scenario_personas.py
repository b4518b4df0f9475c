"""A persona is held against its room's shape, whole, and every process finds it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest

from portyard.commons.card import Card, Service
from portyard.commons.scenario.engine import Gate
from portyard.commons.scenario.personas import (
    MOST,
    PersonaError,
    Wardrobe,
    _builtins,
    from_toml,
    make,
    shape_of,
    worn,
)
from portyard.commons.scenario.quirks import QuirkError
from tests.support.rules import MemoryRules


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Numbers."""

    line: Annotated[int, msgspec.Meta(ge=10, le=1000)] = 100
    errors: int = 10


class Quirks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An invented room's."""

    greeting: Annotated[str, msgspec.Meta(pattern=r"^[ -~]+\Z", description="One line.")] | None = None
    dialect: Literal["old", "new"] = "new"
    words: tuple[Literal["ONE", "TWO"], ...] = ("ONE",)
    limits: Limits = Limits()
    folders: dict[Literal["old", "new"], Annotated[str, msgspec.Meta(min_length=1)]] = {}
    marks: dict[Annotated[str, msgspec.Meta(max_length=3)], int] = {}

    def __post_init__(self) -> None:
        if len(set(self.folders.values())) < len(self.folders):
            raise QuirkError("folders", "two have one name", "names that differ")
        if "odd" in self.marks:
            raise ValueError("marks.odd is none of ours")


CARD = Card("post", (Service("in", "near", (), ""), Service("out", "far", (), "")), "", quirks=f"{__name__}:Quirks")
BARE = Card("bare", (), "")


def test_what_a_persona_means() -> None:
    text = """
        name = "old"
        summary = "An old one"
        greeting = "hello"
        limits.line = 50

        [far]
        dialect = "old"
        limits = { errors = 3 }
    """
    persona = make(CARD, "old", from_toml(text))
    assert (persona.room, persona.name, persona.summary, persona.builtin) == ("post", "old", "An old one", False)
    assert persona.quirks["near"] == persona.quirks["post"] == Quirks("hello", limits=Limits(50))
    assert persona.quirks["far"] == Quirks("hello", "old", limits=Limits(50, 3))
    assert make(CARD, "a", {}).quirks["post"] == Quirks()
    assert persona.keys == from_toml(text)


@pytest.mark.parametrize(
    ("values", "key", "value", "allowed", "words"),
    [
        ({"greting": "x"}, "greting", "x", "greeting, dialect", "did you mean greeting"),
        ({"lines": 5}, "lines", 5, "greeting, dialect", "did you mean limits.line?"),
        ({"limits": {"lines": 5}}, "limits.lines", 5, "line, errors", "did you mean line"),
        ({"far": {"greting": "x"}}, "far.greting", "x", "greeting", "did you mean greeting"),
        ({"far": {"near": {}}}, "far.near", {}, "greeting", "no such key"),
        ({"far": 5}, "far", 5, "a table", "in one role"),
        ({"greeting": 5}, "greeting", 5, "One line", "got `int`"),
        ({"greeting": "a\r\nb"}, "greeting", "a\r\nb", "One line", "isn't of this form"),
        ({"greeting": "a\n"}, "greeting", "a\n", "One line", "isn't of this form"),
        ({"dialect": "odd"}, "dialect", "odd", "old, new", "invalid enum"),
        ({"words": ["ONE", "THREE"]}, "words.1", "THREE", "ONE, TWO", "invalid enum"),
        ({"words": "ONE"}, "words", "ONE", "ONE, TWO", "got `str`"),
        ({"limits": {"line": 5}}, "limits.line", 5, "a number from 10 to 1000", ">= 10"),
        ({"limits": {"line": True}}, "limits.line", True, "a number from 10", "got `bool`"),
        ({"limits": 5}, "limits", 5, "object", "got `int`"),
        ({"far": {"limits": {"line": 5}}}, "far.limits.line", 5, "a number from 10 to 1000", ">= 10"),
        ({"name": "other"}, "name", "other", "mine", "called otherwise"),
        ({"name": 5}, "name", 5, "mine", "called otherwise"),
        ({"summary": "a\nb"}, "summary", "a\nb", "one line", "no summary"),
        ({"summary": 5}, "summary", 5, "one line", "no summary"),
        ({"folders": {"odd": "x"}}, "folders.odd", "x", "old, new", "invalid enum"),
        ({"folders": {"old": "x", "new": 5}}, "folders.new", 5, "str", "got `int`"),
        ({"folders": {"old": "x", "new": ""}}, "folders.new", "", "length", "length"),
        ({"folders": {"old": "x", "new": "x"}}, "folders", {"old": "x", "new": "x"}, "names that differ", "one name"),
        ({"far": {"folders": {"old": "x", "new": "x"}}}, "far.folders", {"old": "x", "new": "x"}, "differ", "one name"),
        ({"marks": {"a": 1, "long": 2}}, "marks.long", 2, "length <= 3", "length"),
        ({"marks": {"odd": 1}}, "marks.odd", 1, "none of ours", "none of ours"),
    ],
)
def test_what_is_refused(
    tmp_path: Path, values: dict[str, Any], key: str, value: object, allowed: str, words: str
) -> None:
    wardrobe = Wardrobe(tmp_path)
    before = wardrobe.put(CARD, "mine", {"greeting": "before"})
    with pytest.raises(PersonaError) as caught:
        wardrobe.put(CARD, "mine", {"dialect": "old", **values})
    assert (caught.value.key, caught.value.value) == (key, value)
    assert allowed in caught.value.allowed
    assert words in caught.value.reason
    assert wardrobe.find(CARD, "mine") == before


@pytest.mark.parametrize("name", ["", "Mine", "../x", "a/b", ".x", "x.", "-x", "a" * 64, "ä", "a\n"])
def test_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(PersonaError, match="can't be a persona's name"):
        Wardrobe(tmp_path).put(CARD, name, {})
    with pytest.raises(PersonaError, match="no persona of this name"):
        Wardrobe(tmp_path).find(CARD, name)


def test_every_process_sees_them(tmp_path: Path) -> None:
    mine, other = Wardrobe(tmp_path), Wardrobe(tmp_path)
    assert (other.names(CARD), other.every(CARD)) == ([], [])
    mine.put(CARD, "b", {"greeting": "one"})
    mine.put(CARD, "a", {})
    assert other.names(CARD) == ["a", "b"]
    assert other.find(CARD, "b").quirks["near"] == Quirks("one")
    mine.put(CARD, "b", {"greeting": "two"})
    assert other.find(CARD, "b").quirks["near"] == Quirks("two")
    assert other.find(CARD, "b") is other.find(CARD, "b"), "it is read once"
    mine.delete(CARD, "b")
    with pytest.raises(PersonaError, match="no persona of this name") as caught:
        other.find(CARD, "b")
    assert caught.value.allowed == "a"
    with pytest.raises(PersonaError, match="no persona of this name"):
        mine.delete(CARD, "b")
    assert [path.name for path in (tmp_path / "personas" / "post").iterdir()] == ["a.json"], "no draft is left"


def test_what_somebody_broke_by_hand(tmp_path: Path) -> None:
    wardrobe = Wardrobe(tmp_path)
    wardrobe.put(CARD, "good", {})
    (tmp_path / "personas" / "post" / "bad.json").write_text("{")
    (tmp_path / "personas" / "post" / "worse.json").write_text('{"greting": "x"}')
    assert [persona.name for persona in wardrobe.every(CARD)] == ["good"]
    with pytest.raises(PersonaError, match=r"bad\.json"):
        wardrobe.find(CARD, "bad")
    with pytest.raises(PersonaError, match="did you mean greeting"):
        wardrobe.find(CARD, "worse")


def test_a_bound(tmp_path: Path) -> None:
    folder = tmp_path / "personas" / "post"
    folder.mkdir(parents=True)
    for number in range(MOST):
        (folder / f"p{number}.json").write_text("{}")
    with pytest.raises(PersonaError, match="too many"):
        Wardrobe(tmp_path).put(CARD, "more", {})
    Wardrobe(tmp_path).put(CARD, "p0", {"greeting": "x"})


def test_a_room_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "invented" / "core" / "shape_of_post.py"
    module.parent.mkdir(parents=True)
    module.write_text(
        "import msgspec\nclass Quirks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):\n    greeting: str = ''\n"
    )
    folder = tmp_path / "invented" / "personas"
    folder.mkdir()
    (folder / "one.toml").write_text('greeting = "one"\n')
    monkeypatch.syspath_prepend(str(module.parent))
    card = replace(CARD, quirks="shape_of_post:Quirks")
    wardrobe = Wardrobe(tmp_path)
    assert wardrobe.find(card, "one").builtin
    for change in (lambda: wardrobe.put(card, "one", {}), lambda: wardrobe.delete(card, "one")):
        with pytest.raises(PersonaError, match="can't be changed"):
            change()
    (folder / "two.toml").write_text('greting = "two"\n')
    _builtins.clear()
    with pytest.raises(PersonaError, match=r"two.toml: greting = 'two': no such key; did you mean greeting"):
        wardrobe.find(card, "one")
    _builtins.clear()


def test_who_wears_it(tmp_path: Path) -> None:
    wardrobe = Wardrobe(tmp_path, {"post": "a", "out": "b"})
    wardrobe.put(CARD, "a", {"far": {"greeting": "far"}})
    assert (wardrobe.chosen("post", "in"), wardrobe.chosen("post", "out"), wardrobe.chosen("x", "y")) == (
        "a",
        "b",
        None,
    )
    gate = Gate(MemoryRules()).session("post", session="1", peer="192.0.2.1")
    assert worn(gate, Quirks) == worn(None, Quirks) == Quirks()
    wardrobe.wear(gate, CARD, "far", "a")
    assert worn(gate, Quirks) == Quirks("far")
    assert worn(gate, Limits) == Limits(), "another room's"
    with pytest.raises(PersonaError, match="no persona"):
        wardrobe.wear(gate, CARD, "far", "b")


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"pots": "a"}, "no room or service pots; did you mean post"),
        ({"post": "b"}, "post has no persona of this name"),
        ({"bare": "a"}, "bare has no personas"),
    ],
)
def test_a_choice_that_cannot_be(tmp_path: Path, chosen: dict[str, str], words: str) -> None:
    wardrobe = Wardrobe(tmp_path, chosen)
    wardrobe.put(CARD, "a", {})
    with pytest.raises(PersonaError, match=words) as caught:
        wardrobe.check_chosen([CARD, BARE])
    assert caught.value.key == f"personas.{next(iter(chosen))}"
    Wardrobe(tmp_path, {"post": "a", "in": "a"}).check_chosen([CARD, BARE])


def test_a_room_without(tmp_path: Path) -> None:
    assert Wardrobe(tmp_path).names(BARE) == Wardrobe(tmp_path).every(BARE) == []
    with pytest.raises(PersonaError, match="bare has no personas"):
        shape_of(BARE)
    with pytest.raises(PersonaError, match="bare has no personas"):
        Wardrobe(tmp_path).find(BARE, "x")


def test_what_is_no_toml() -> None:
    for text in ("a = ", "a = " + "[" * 100_000):
        with pytest.raises(PersonaError, match="not TOML"):
            from_toml(text)
