"""Text that is filled in."""

from __future__ import annotations

import pytest

from portyard.commons.scenario.actions import Delay, Refuse, Respond, Say, Script, Send
from portyard.commons.scenario.templates import fill, filled, in_ascii, in_utf8, is_template, names_in


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("550 <$who> no", "550 <bob> no"),
        ("${who}x $n $yes", "bobx 5 true"),
        ("$$who costs $5", "$who costs $5"),
        ("$other", "$other"),
        ("$who.upper() ${who!r} {who}", "bob.upper() ${who!r} {who}"),
    ],
)
def test_fields_are_filled_in_and_nothing_is_run(text: str, result: str) -> None:
    assert fill(text, {"who": "bob", "n": 5, "yes": True}) == result


def test_a_value_is_not_filled_in_again_and_begins_no_line() -> None:
    values = {"who": "$n\r\n250 ok", "n": 5}
    assert fill("550 $who", values) == "550 $n\r\n250 ok"
    assert fill("550-a\r\n550 $who", values, line=True) == "550-a\r\n550 $n  250 ok"


def test_every_text_of_an_action_is_filled_in() -> None:
    values = {"who": "a\r\nb"}
    assert filled(Refuse("5 $who"), values) == Refuse("5 a  b")
    assert filled(Respond(5, {"X": "$who"}, "$who", "$who"), values) == Respond(5, {"X": "a  b"}, "a\r\nb", "a\r\nb")
    assert filled(Script((Say("$who"), Send("$who"), Delay(1))), values) == Script(
        (Say("a  b"), Send("a  b"), Delay(1))
    )
    plain = Refuse("550")
    assert filled(plain, values) is plain
    assert not is_template(Delay(1))
    assert names_in("$a ${b} $$c") == {"a", "b"}


def test_values_in_ascii() -> None:
    assert in_ascii({"a": "Grüße", "b": "plain", "c": 5}) == {"a": "Gr??e", "b": "plain", "c": 5}
    assert in_utf8({"a": "Grüße", "b": "x\udcff\ud800", "c": 5}) == {"a": "Grüße", "b": "x??", "c": 5}
