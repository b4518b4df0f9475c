"""The end of a refusal's sentence."""

from __future__ import annotations

import pytest

from portyard.commons.hints import did_you_mean


@pytest.mark.parametrize(
    ("word", "told"), [("refsue", "; did you mean refuse?"), ("SAY", "; did you mean say?"), ("teapot", ""), ("", "")]
)
def test_a_near_miss_is_named(word: str, told: str) -> None:
    assert did_you_mean(word, ["refuse", "say", "silence"]) == told
