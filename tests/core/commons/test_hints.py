"""The end of a refusal's sentence."""

from __future__ import annotations

import pytest

from portyard.commons.hints import did_you_mean
from portyard.commons.journal.model import KINDS


@pytest.mark.parametrize(
    ("word", "told"), [("refsue", "; did you mean refuse?"), ("SAY", "; did you mean say?"), ("teapot", ""), ("", "")]
)
def test_a_near_miss_is_named(word: str, told: str) -> None:
    assert did_you_mean(word, ["refuse", "say", "silence"]) == told


@pytest.mark.parametrize(
    ("word", "told"),
    [("nope", ""), ("open", "opened"), ("repl", "reply"), ("cmd", "command"), ("tsl", "tls"), ("ommand", "command")],
)
def test_what_only_shares_some_letters_is_no_near_miss(word: str, told: str) -> None:
    assert did_you_mean(word, KINDS) == (f"; did you mean {told}?" if told else "")
