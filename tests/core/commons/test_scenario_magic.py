"""Magic words in addresses, paths and file names."""

from __future__ import annotations

import pytest

from portyard.commons.scenario.actions import Action, Delay, HangUp, Refuse, Reset, Silence
from portyard.commons.scenario.magic import parse_magic, without_magic


@pytest.mark.parametrize(
    ("text", "actions", "times"),
    [
        ("anyone+550@x.test", [Refuse("550 as the address asks")], None),
        ("anyone+451x2@x.test", [Refuse("451 as the address asks")], 2),
        ("anyone+delay5@x.test", [Delay(5.0)], None),
        ("anyone+delay250ms@x.test", [Delay(0.25)], None),
        ("anyone+hangup@x.test", [HangUp()], None),
        ("anyone+HANGUP@x.test", [HangUp()], None),
        ("anyone+delay2+451x3@x.test", [Delay(2.0), Refuse("451 as the address asks")], 3),
        ("anyone+450+delay2+silence@x.test", [Delay(2.0), Refuse("450 as the address asks")], None),
        ("anyone+silence+hangup@x.test", [Silence()], None),
        ("/files/alice/report+503.txt", [Refuse("503 as the address asks")], None),
        ("/files/a+reset/report.txt", [Reset()], None),
        ("/get+503?x=1", [Refuse("503 as the address asks")], None),
        ("a+delay99999", [Delay(86400.0)], None),
        ("/files/me@x.test/report+503", [Refuse("503 as the address asks")], None),
        ("/img+404@2x.png", [Refuse("404 as the address asks")], None),
        ("/a+503/me@x.test", [Refuse("503 as the address asks")], None),
        ("t1/anyone+550@elsewhere.test", [Refuse("550 as the address asks")], None),
        ("run+hangup", [HangUp()], None),
        ("cat notes+hangup", [HangUp()], None),
    ],
)
def test_what_is_magic(text: str, actions: list[Action], times: int | None) -> None:
    magic = parse_magic(text, "a.b")
    assert magic is not None
    assert list(magic.rule.then) == actions
    assert magic.rule.times == times
    assert magic.words.startswith("+")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "anyone@x.test",
        "a+tag@x.test",
        "a+5500@x.test",
        "a+250@x.test",
        "a+550x0@x.test",
        "a+delay@x.test",
        "a@x+550.test",
        "a+hangups@x",
        "t1/a@x+550.test",
        "echo +hangup now",
    ],
)
def test_what_is_none(text: str) -> None:
    assert parse_magic(text, "a.b") is None


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("", ""),
        ("alice", "alice"),
        ("alice+451x2", "alice"),
        ("alice+HANGUP@x.test", "alice@x.test"),
        ("alice+delay2+451x3@x.test", "alice@x.test"),
        ("alice+451+tag+delay200ms@x.test", "alice+tag@x.test"),
        ("alice+tag@x.test", "alice+tag@x.test"),
        ("alice+5500@x+550.test", "alice+5500@x+550.test"),
        ("t1/alice+550@x.test", "t1/alice@x.test"),
        ("a+451/b+550@x.test", "a+451/b@x.test"),
        ("+451@x.test", "@x.test"),
    ],
)
def test_a_name_without_its_words(text: str, plain: str) -> None:
    assert without_magic(text) == plain
    assert without_magic(plain) == plain or "/" in plain
