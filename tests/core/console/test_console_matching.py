from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portyard.console.core.matching import Criteria, PatternError, because, compiled


@pytest.mark.parametrize(
    ("pattern", "value", "fits"),
    [
        ("code", "Your CODE is 1", True),
        ("code", "your cod", False),
        ("", "anything", True),
        ("How are you?", "How are you? Fine", True),
        ("*@t1.test", "U1@T1.test", True),
        ("*@t1.test", "u1@t1.test.example", False),
        ("a*b*c", "a.x.b.y.c", True),
        ("a.c*", "abcd", False),
        (r"/\d{6}/", "code 123456", True),
        ("/^code$/", "Code", True),
        ("/^code$/", "codes", False),
        ("/", "a/b", True),
        ("straße", "STRASSE", True),
    ],
)
def test_patterns(pattern: str, value: str, fits: bool) -> None:
    assert compiled(pattern)(value) is fits


def test_a_wrong_expression_says_why() -> None:
    with pytest.raises(PatternError, match="not a regular expression"):
        compiled("/(/")


@given(st.text(max_size=50), st.text(max_size=50))
def test_text_is_found_in_itself(before: str, text: str) -> None:
    if "*" not in text and not (text.startswith("/") and text.endswith("/")):
        assert compiled(text)(before + text)


def test_differences_are_named() -> None:
    criteria = Criteria({"to": compiled("*@t1.test"), "subject": compiled("code")})
    assert criteria.differences({"to": ["x@else.test", "u@t1.test"], "subject": ["a code"]}) == []
    assert criteria.differences({"to": ["u@t1.test"], "subject": ["hello"]}) == ["subject"]
    assert because(criteria.differences({"to": [], "subject": ["hello"]})) == "to differs, subject differs"


def test_a_question_mark_is_no_wildcard() -> None:
    assert compiled("Really?*")("really? yes")
    assert not compiled("Really?*")("reallyX yes")


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("/(?=a)b/", "looks ahead"),
        (r"/(a)\1/", "what a group held"),
        ("x" * 1001, "longer"),
        (f"/{'x' * 1001}/", "longer"),
    ],
)
def test_a_pattern_that_could_take_for_ever_is_refused(pattern: str, reason: str) -> None:
    with pytest.raises(PatternError, match=reason):
        compiled(pattern)


def test_the_end_of_a_long_value_is_seen() -> None:
    assert compiled("*@t1.test")("x" * 100_000 + "@T1.test")
