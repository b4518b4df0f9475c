"""What a field is held against."""

from __future__ import annotations

import pytest

from portyard.commons.scenario.model import Scalar
from portyard.commons.scenario.patterns import (
    Glob,
    PatternError,
    Shape,
    as_number,
    is_ambiguous_path,
    parse_pattern,
    parse_range,
)


@pytest.mark.parametrize(
    ("written", "value", "matches"),
    [
        ("bob@x.test", "BOB@X.test", True),
        ("bob@x.test", "bob@x.test.", False),
        ("*@slow.test", "a@SLOW.test", True),
        ("*@slow.test", "a@slow.test.example", False),
        ("a*b", "ab", True),
        ("a*b", "a\nb", True),
        ("a?b", "ab", False),
        ("a?b", "axb", True),
        ("a.b", "axb", False),
        ("user@[127.0.0.1]", "user@[127.0.0.1]", True),
        ("*", "", True),
        ("**", "x", True),
        ("/^a.c$/", "abc", True),
        ("/^a.c$/", "ABC", False),
        ("/^a.c$/i", "ABC", True),
        ("/b/", "abc", True),
        ("/", "/", True),
        ("//", "//", True),
        ("550", 550, True),
        ("true", True, True),
        (550, 550, True),
        (550, 550.0, True),
        (550, 551, False),
        (550, "550", False),
        (1, True, False),
        (True, True, True),
        (True, False, False),
        (True, 1, False),
        ("<5", 4, True),
        ("<5", 5, False),
        ("<=5", 5, True),
        (">5", 5, False),
        (">=5", 5, True),
        (">=10 <20", 10, True),
        (">=10 <20", 19.5, True),
        (">=10 <20", 20, False),
        (">1 >5", 3, False),
        ("=5", 5, True),
        ("=5", 6, False),
        ("<5", "4", False),
        ("<5", True, False),
        ("<>", "<>", True),
        ("<5 apples", "<5 apples", True),
    ],
)
def test_a_pattern_matches_what_it_means(written: Scalar, value: Scalar, matches: bool) -> None:
    assert parse_pattern(written).matches(value) is matches


@pytest.mark.parametrize(
    "written", ["", "/(/", "/a{99999999999}/", ">5 <5", ">5 <=5", "=1 =2", float("nan"), float("inf")]
)
def test_what_is_no_pattern(written: Scalar) -> None:
    with pytest.raises(PatternError):
        parse_pattern(written)


@pytest.mark.parametrize(
    ("text", "shape", "anchor"),
    [
        ("Abc", Shape.EXACT, "abc"),
        ("Abc*", Shape.PREFIX, "abc"),
        ("*Abc", Shape.SUFFIX, "abc"),
        ("abc*d", Shape.PREFIX, "abc"),
        ("a?cde", Shape.SUFFIX, "cde"),
        ("*a*", Shape.OTHER, ""),
        ("*", Shape.ANY, ""),
    ],
)
def test_how_a_glob_is_found_among_many(text: str, shape: Shape, anchor: str) -> None:
    assert (Glob(text).shape, Glob(text).anchor) == (shape, anchor)


def test_numbers_and_paths_in_text() -> None:
    assert as_number(" 550 ") == parse_pattern(550)
    assert as_number("5x") is None
    assert parse_range("5") is None
    assert is_ambiguous_path("/api/")
    assert is_ambiguous_path("/api/v1/")
    assert is_ambiguous_path("/api/i")  # a file of this name, or whatever holds "api"
    assert not is_ambiguous_path("/^api/")
    assert not is_ambiguous_path("/api")
    assert not is_ambiguous_path("/i")
    assert not is_ambiguous_path("/^api/i")
