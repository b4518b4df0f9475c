"""docs/personas.md is true: its personas can be brought, its table names every one there is, its list of keys is whole."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from portyard.commons.scenario.personas import PersonaError, Wardrobe, builtins, from_toml, make, shape_of
from portyard.commons.settings import Settings
from portyard.rooms import cards

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "personas.md").read_text()
BLOCKS = re.findall(r"^```toml (\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
HAVING = {card.name: card for card in cards() if card.quirks}


def test_there_are_examples() -> None:
    assert {room for room, _ in BLOCKS} >= {"settings", "imap", "smtp", "pop3"}


@pytest.mark.parametrize(("room", "text"), [block for block in BLOCKS if block[0] != "settings"])
def test_an_example_can_be_brought(room: str, text: str, tmp_path: Path) -> None:
    values = from_toml(text)
    assert Wardrobe(tmp_path).put(HAVING[room], values["name"], values).summary


@pytest.mark.parametrize("text", [text for room, text in BLOCKS if room == "settings"])
def test_settings_are_settings(text: str, tmp_path: Path) -> None:
    settings = msgspec.convert(tomllib.loads(text), Settings)
    Wardrobe(tmp_path, settings.personas).check_chosen(cards())


def test_the_table_names_every_persona() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \| (\w+) \|", TEXT, re.MULTILINE)
    named = {(room, name) for names, room in rows for name in re.findall(r"`([^`]+)`", names)}
    assert named == {(card.name, persona.name) for card in HAVING.values() for persona in builtins(card)}


@pytest.mark.parametrize("room", HAVING)
def test_nothing_is_on_by_itself(room: str) -> None:
    """A persona that says nothing is the room as it is."""
    card = HAVING[room]
    quirks = make(card, "nothing", {}).quirks[room]
    assert quirks == shape_of(card)()


@pytest.mark.parametrize(
    ("room", "values"),
    [
        ("imap", {"replies": {"greeting": "Ahoy\n"}}),
        ("imap", {"folders": {"Trash": "Bin\n"}}),
        ("imap", {"keywords": ["$Seen\n"]}),
        ("pop3", {"replies": {"greeting": "Ahoy\n"}}),
        ("pop3", {"unique_id": "$uid.$validity\n"}),
        ("smtp", {"replies": {"greeting": "220 Ahoy\n"}}),
        ("smtp", {"replies": {"hello": "Ahoy\n"}}),
        ("ftp", {"greeting": "Ahoy\n"}),
        ("ftp", {"replies": {"cwd.550": "550 No\n"}}),
        ("ftp", {"unknown": ["CWD\n"]}),
        ("ssh", {"version": "Ahoy\n"}),
    ],
)
def test_no_line_ends_within_a_line(room: str, values: dict[str, Any]) -> None:
    """TOML's longer texts end in one."""
    with pytest.raises(PersonaError):
        make(HAVING[room], "mine", values)


def _texts() -> list[tuple[str, str, str]]:
    """Room, key and a text with every field that the list of keys names for it."""
    found = []
    for section in (ROOT / "docs" / "persona-keys.md").read_text().split("\n## ")[1:]:
        room = section.partition("\n")[0]
        for key, told in re.findall(r"^- `([a-z_.]+)`: (.*)$", section, re.MULTILINE):
            if key.startswith("replies.") or (room == "ftp" and key in ("greeting", "status")):
                fields = ["$host", "$peer", "$session", "$time", *re.findall(r"`(\$[a-z]+)`", told)]
                found.append((room, key, " ".join(fields)))
    return found


def _saying(room: str, key: str, text: str) -> dict[str, Any]:
    if room == "ftp":
        return {key: [text] if key == "status" else text}
    table, _, name = key.partition(".")
    if room == "smtp" and name != "hello":
        codes = ("250 ", "354 ", "550 ")
        text = next(code + text for code in codes if _fits(room, {table: {name: f"{code}ok"}}))
    return {table: {name: text}}


def _fits(room: str, values: dict[str, Any]) -> bool:
    try:
        make(HAVING[room], "mine", values)
    except PersonaError:
        return False
    return True


@pytest.mark.parametrize(("room", "key", "text"), _texts())
def test_a_text_has_the_fields_that_are_listed_and_no_others(room: str, key: str, text: str) -> None:
    make(HAVING[room], "mine", _saying(room, key, text))
    with pytest.raises(PersonaError, match=r"nothing fills in \$nobody here") as caught:
        make(HAVING[room], "mine", _saying(room, key, f"{text} $nobody"))
    assert caught.value.key.startswith(key)
    assert str(caught.value.value).endswith("$nobody") or key == "status"
    assert caught.value.allowed.startswith("$host, $peer, $session, $time")


@pytest.mark.parametrize(
    ("room", "values", "key"),
    [
        ("ftp", {"replies": {"cwd.550": "550 No $pth"}}, "replies.cwd.550"),
        ("imap", {"identity": {"name": "$hosst"}}, "identity.name"),
        ("pop3", {"unique_id": "$uid$validity$host"}, "unique_id"),
        ("smtp", {"msa": {"replies": {"noop": "250 2.0.0 $recipient"}}}, "msa.replies.noop"),
    ],
)
def test_a_field_that_nothing_fills_in_is_refused_where_it_stands(room: str, values: dict[str, Any], key: str) -> None:
    with pytest.raises(PersonaError, match="nothing fills in") as caught:
        make(HAVING[room], "mine", values)
    assert caught.value.key == key
    assert caught.value.allowed


def test_the_list_of_keys_is_not_stale() -> None:
    spec = importlib.util.spec_from_file_location("persona_keys", ROOT / "scripts" / "persona_keys.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text() == module.page(), "run: make diagrams"
