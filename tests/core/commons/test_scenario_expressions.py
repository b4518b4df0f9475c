"""No expression and no glob takes for ever: they end as soon as the text does, or are refused when they are written."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portyard.commons.scenario.checking import covers
from portyard.commons.scenario.expressions import LOOKED_AT, PATTERN_LIMIT, ExpressionError, compiled, glob
from portyard.commons.scenario.patterns import PatternError, parse_pattern

HOSTILE = [
    "(a+)+$",
    "(a*)*b",
    r"^(\w+\s?)*$",
    "(a|aa)+$",
    "(a|b|ab)*c",
    "(.*a){12}b",
    "(.*a){30}b",
    "(a?){30}a{30}",
    "([^@]|a)+!",
    "a*a*a*a*a*a*a*a*b@",
    "(?:x+y*)+z",
    "(x+x+)+y",
    "((ab)*)*c",
    "(?:(?:a{1,99})*)*b",
    "(?:a|a?)+b",
    "(?:a{1,9}){9}b",
    "(.?){300}b",
    "(a|b)*a(a|b){300}c",
    "(?:.{1,100}a){3}b",
    "(((((((((a*)*)*)*)*)*)*)*)*)*b",
    "(" * 300 + "a" + ")*" * 300,
    "a?" * 400 + "a" * 150,
    "(?=(a+)+b)",
    r"(a*)\1+b",
    "(?>a+)+b",
    "((a{100}){100}){100}",
    "(.{1000}){1000}",
    "[ab]*" * 190 + "c",
]
# Python's own matcher would be at it for longer than anybody lives; a machine however busy has this behind it in seconds.
TRIAL = """
import sys
from portyard.commons.scenario.patterns import PatternError, parse_pattern
from portyard.console.core.matching import PatternError as NoFilter, compiled
for text in eval(sys.stdin.read()):
    for value in ("a" * 28, "a" * 40, "ab" * 50, "a" * 100_000, "abba" * 25_000, "é" * 100_000, "xy" * 50_000):
        try:
            parse_pattern(f"/{text}/").matches(value), parse_pattern(f"/{text}/i").matches(value)
        except PatternError:
            pass
        try:
            compiled(f"/{text}/")(value)
        except NoFilter:
            pass
        parse_pattern("*" + text[:900]).matches(value)
print("done")
"""


def test_no_expression_holds_up_a_process() -> None:
    child = subprocess.run(
        [sys.executable, "-c", TRIAL], input=repr(HOSTILE), capture_output=True, text=True, timeout=120
    )
    assert (child.stdout, child.returncode) == ("done\n", 0), child.stderr


@pytest.mark.parametrize("text", ["(a|aa)+$", "(.*a){12}b", "(a?){30}a{30}", "([^@]|a)+!", "(a+)+$", "a*a*a*a*a*a*b@"])
def test_what_only_another_matcher_would_take_for_ever_with_is_known(text: str) -> None:
    assert not compiled(text)("a" * 29 + "#")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("(?=a)b", "looks ahead or behind"),
        ("(?<!a)b", "looks ahead or behind"),
        (r"(a)\1", "asks for what a group held"),
        ("(?P<x>a)(?P=x)", "asks for what a group held"),
        ("(a)?(?(1)b|c)", "asks for what a group held"),
        ("(?>a+)b", "has an atomic group"),
        ("x(a*+|b)", "has a possessive repeat"),
        (r"a\Z", r"\$ is the end of the text"),
        ("[[:alpha:]]", "classes are written as"),
        ("[x[:^digit:]]", "classes are written as"),
        ("a{,3}", "the least number is missing"),
        ("a{1001}", "invalid repetition size"),
        (".{900}", "too big"),
        ("x" * (PATTERN_LIMIT + 1), f"longer than {PATTERN_LIMIT}"),
        ("(", r"unterminated subpattern"),
        ("(?x) a", r"\(\?x"),
    ],
)
def test_what_is_not_possible_is_told_when_it_is_written(text: str, reason: str) -> None:
    with pytest.raises(ExpressionError, match=reason):
        compiled(text)
    with pytest.raises(PatternError, match=f"no regular expression: .*(?:{reason})"):
        parse_pattern(f"/{text}/")


def test_a_glob_is_no_longer_than_an_expression() -> None:
    with pytest.raises(PatternError, match=f"longer than {PATTERN_LIMIT}"):
        parse_pattern("*" + "a" * PATTERN_LIMIT)


@pytest.mark.parametrize(
    ("text", "value", "found"),
    [
        (r"^([a-z]+,)*[a-z]+$", "one,two", True),
        (r"(?:\d{1,3}\.){3}\d+", "at 10.0.0.1", True),
        ("^$", "", True),
        ("^$", "x", False),
        ("a$", "a\n", False),
        ("(?m)^b$", "a\nb\nc", True),
        ("a.b", "a\nb", False),
        ("(?s)a.b", "a\nb", True),
        ("(?i)STRASSE", "strasse", True),
        ("é", "caf\u00e9", True),
        ("^caf.$", "caf\u00e9", True),
        ("^.$", "\udc80", True),
        ("\udc80", "x\udc80", True),
        (r"\w", "\u00e9", False),
        (r"[\]x]\[:]", "x[:]", True),
        (r"\{,3}", "{,3}", True),
        (r"\\Z", r"\Z", True),
        (r"\x41\07", "A\a", True),
    ],
)
def test_what_an_expression_means(text: str, value: str, found: bool) -> None:
    assert compiled(text)(value) is found


def test_an_expression_may_mind_no_case() -> None:
    assert compiled("code", ignore_case=True)("A CODE")
    assert not compiled("code")("A CODE")


def test_the_beginning_of_a_long_text_is_looked_at() -> None:
    assert compiled("b")("a" * (LOOKED_AT - 1) + "b")
    assert not compiled("b")("a" * LOOKED_AT + "b")


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
@pytest.mark.parametrize("long", [False, True])
def test_what_a_glob_means(text: str, value: str, fits: bool, long: bool) -> None:
    if long and fits and "*" in text:  # the same over a text of which not all is looked at
        text, value = f"*{text}", "x" * (LOOKED_AT - len(value)) + value
        value, text = (value, text) if not text.endswith("*") else (value + "y" * LOOKED_AT, text)
    assert glob(text)(value) is fits


def test_a_globs_end_is_the_texts_end_however_long_that_is() -> None:
    text = "first " + "x" * LOOKED_AT + " last"
    assert glob("first*last")(text)
    assert glob("*last")(text)
    assert glob("f?rst*l?st")(text)
    assert not glob("first*lost")(text)
    assert not glob("first*last*last")(text)
    assert not glob("*xlast")(text)


def test_many_stars_end() -> None:
    """With stars that give back this would take longer than anybody lives."""
    assert not glob("*a" * 40 + "b")("a" * 2000)
    assert not covers("*" * 60 + "z", "message_deleted")
    assert covers("*a*e_*", "message_deleted")


def test_nothing_but_an_expression_takes_the_library() -> None:
    program = """
import sys
from portyard.commons.scenario.parsing import make_rule
from portyard.console.core.matching import compiled
make_rule("smtp.rcpt", {"hang_up": True}, where={"recipient": ["*@t?.test", "x"], "size": ">5"})
compiled("*x"), compiled("x")
print("re2" in sys.modules)
make_rule("smtp.rcpt", {"hang_up": True}, where={"recipient": "/x/"})
print("re2" in sys.modules)
"""
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert child.stdout.split() == ["False", "True"], child.stderr


PIECES = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\d", r"\w", r"\b", "^", "$", "A"])
EXPRESSIONS = st.recursive(
    PIECES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda ways: f"(?:{'|'.join(ways)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "*?", "{2}", "{0,2}", "{1,}"])).map(
            lambda two: f"({two[0]}){two[1]}"
        ),
        inner.map(lambda text: f"(?i:{text})"),
    ),
    max_leaves=6,
)


@given(EXPRESSIONS, st.text("abA1 -", max_size=8), st.booleans())
def test_an_expression_means_what_python_says(text: str, value: str, ignore_case: bool) -> None:
    """The index of rules reads expressions as Python does: both have to mean the same."""
    found = re.search(text, value, re.IGNORECASE if ignore_case else 0) is not None
    assert compiled(text, ignore_case=ignore_case)(value) is found
