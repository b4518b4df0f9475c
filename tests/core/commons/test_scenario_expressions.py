"""Expressions that can take for ever are refused; globs never do."""

from __future__ import annotations

import re

import pytest

from portyard.commons.scenario.expressions import compiled, glob
from portyard.commons.scenario.patterns import PatternError, parse_pattern


@pytest.mark.parametrize(
    "text",
    [
        "(a+)+$",
        "(a*)*b",
        r"^(\w+\s?)*$",
        "(?:x+y*)+z",
        "((a+))+",
        "(a|b+)*c",
        "((ab)*)*",
        "(?:(?:a{1,99})*)*",
        "x(?=(a+)+b)",
    ],
)
def test_a_repeat_of_nothing_but_repeats_is_refused(text: str) -> None:
    with pytest.raises(re.error, match="for ever"):
        compiled(text)
    with pytest.raises(PatternError, match=r"no regular expression: .*for ever"):
        parse_pattern(f"/{text}/")


@pytest.mark.parametrize(
    "text",
    [r"^([a-z]+,)*[a-z]+$", "a+b*c?", "(ab)*", r"(?:\d{1,3}\.){3}\d+", "(a|b)*", "(?:(?>a+))+", "x*+", "(a{2}b?)*", ""],
)
def test_others_are_not(text: str) -> None:
    assert compiled(text).pattern == text


@pytest.mark.parametrize(
    ("text", "value", "fits"),
    [
        ("*", "", True),
        ("a*", "a", True),
        ("a*", "ba", False),
        ("*a", "aba", True),
        ("a*b*c", "axbxc", True),
        ("a*b*c", "acb", False),
        ("*ab*ab", "ab", False),
        ("*ab*ab", "abab", True),
        ("*ab*b", "abb", True),
        ("a**b", "ab", True),
        ("a?c", "a\nc", True),
        ("a?*", "a", False),
        ("*[x].*", "a[x].b", True),
    ],
)
def test_what_a_glob_means(text: str, value: str, fits: bool) -> None:
    assert bool(glob(text).fullmatch(value)) is fits


def test_many_stars_end() -> None:
    """With stars that give back this would take longer than anybody lives."""
    assert glob("*a" * 40 + "b").fullmatch("a" * 2000) is None
