"""grep's patterns."""

from __future__ import annotations

import time

import pytest

from portyard.ssh.core.expression import BadPattern
from portyard.ssh.core.pattern import PATTERN, Pattern


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("abc", ["abc", "xabcx"], ["ab", ""]),
        ("a.c", ["abc", "a.c"], ["ac"]),
        ("^a", ["ab"], ["ba"]),
        ("a$", ["ba"], ["ab"]),
        ("^$", [""], ["a"]),
        ("a*b", ["b", "aab"], ["a"]),
        ("*a", ["*a"], ["a"]),
        ("a+", ["a+"], ["a"]),
        (r"a\+b", ["aab"], ["b"]),
        (r"a\?b$", ["ab", "b"], ["a"]),
        (r"\(ab\)\{2\}", ["abab"], ["ab"]),
        (r"a\|b", ["a", "b"], ["c"]),
        ("[a-c]x", ["bx"], ["dx"]),
        ("[^a]x", ["bx"], ["ax", "x"]),
        ("[]x]", ["]", "x"], ["y"]),
        ("[[:digit:]_]", ["a1", "_"], ["a"]),
        (r"a\.b", ["a.b"], ["axb"]),
        (r"\<no\>", ["a no b"], ["know"]),
        ("a^b$c", ["a^b$c"], ["abc"]),
        ("ä", ["xäx"], ["a"]),
    ],
)
def test_basic(pattern: str, yes: list[str], no: list[str]) -> None:
    found = Pattern(pattern)
    assert all(found.matches(line) for line in yes)
    assert not any(found.matches(line) for line in no)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("a+b", ["aab"], ["b"]),
        ("^(ab|cd)+$", ["abcd"], ["abc"]),
        ("a{2,3}b", ["aab", "aaaab"], ["ab"]),
        ("^a{2,}$", ["aaaa"], ["a"]),
        ("^a{,2}$", ["", "aa"], ["aaa"]),
        ("a{x", ["a{x"], ["a"]),
        ("(^a|b$)", ["ac", "cb"], ["ca"]),
        (r"\w+\s\w", ["ab c"], ["abc"]),
        ("a||b", ["x"], []),
    ],
)
def test_extended(pattern: str, yes: list[str], no: list[str]) -> None:
    found = Pattern(pattern, extended=True)
    assert all(found.matches(line) for line in yes)
    assert not any(found.matches(line) for line in no)


def test_choices() -> None:
    assert Pattern("a.b", fixed=True).matches("xa.by")
    assert not Pattern("a.b", fixed=True).matches("axb")
    assert Pattern("HELLO", ignore_case=True).matches("say hello")
    assert Pattern("[A-C]", ignore_case=True).matches("b")
    assert Pattern("or", words=True).matches("this or that")
    assert not Pattern("or", words=True).matches("for")
    assert Pattern("a.c", lines=True).matches("abc")
    assert not Pattern("a.c", lines=True).matches("xabc")


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [
        ("[a", "Unmatched ["),
        ("(a", "Unmatched ("),
        (r"(a)\1", "back-references"),
        ("a{300}", "repetition"),
        ("[z-a]", "range"),
        ("[[:nope:]]", "class"),
        ("a\\", "backslash"),
        ("((a{200}){200})", "too big"),
        ("(" * 200 + ")" * 200, "too deeply"),
        ("a" * (PATTERN + 1), "too long"),
    ],
)
def test_what_is_refused(pattern: str, complaint: str) -> None:
    with pytest.raises(BadPattern, match=complaint.replace("(", r"\(").replace("[", r"\[")):
        Pattern(pattern, extended=True)


@pytest.mark.parametrize("pattern", ["(a*)*b", "(a|a)*b", "(a|aa)+$b", "a*a*a*a*a*a*b", "(.*.*.*)*x"])
def test_no_pattern_explodes(pattern: str) -> None:
    started = time.process_time()
    assert not Pattern(pattern, extended=True).matches("a" * 20_000)
    assert time.process_time() - started < 5  # a backtracking engine needs longer than the universe has
