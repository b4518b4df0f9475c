"""Regular expressions as trees, before anything is matched."""

from __future__ import annotations

import pytest

from portyard.ssh.core.expression import (
    NESTED,
    BadPattern,
    Char,
    Edge,
    Either,
    Repeat,
    Sequence,
    Tree,
    is_word,
    literal,
    read_expression,
)


def told(tree: Tree) -> object:
    """The tree with a character that each test of one accepts."""
    match tree:
        case Char(accepts):
            return next(char for char in "abcxyz1_- " if accepts(char))
        case Edge(holds):
            return ("edge", holds)
        case Sequence(parts):
            return [told(part) for part in parts]
        case Either(branches):
            return {"either": [told(branch) for branch in branches]}
        case Repeat(part, least, most):
            return (told(part), least, most)


@pytest.mark.parametrize(
    ("basic", "extended", "tree"),
    [
        ("ab", "ab", ["a", "b"]),
        ("^a$", "^a$", [("edge", "^"), "a", ("edge", "$")]),
        ("a*b\\+", "a*b+", [("a", 0, None), ("b", 1, None)]),
        ("a\\{2,3\\}", "a{2,3}", [("a", 2, 3)]),
        ("a\\|b", "a|b", {"either": [["a"], ["b"]]}),
        ("\\(a\\)*", "(a)*", [(["a"], 0, None)]),
        ("[^ab]\\W", "[^ab]\\W", ["c", "-"]),
        ("[[:digit:]]", "[[:digit:]]", ["1"]),
        ("\\<a\\>", "\\<a\\>", [("edge", "<"), "a", ("edge", ">")]),
    ],
)
def test_both_dialects(basic: str, extended: str, tree: object) -> None:
    assert told(read_expression(basic, extended=False)) == tree
    assert told(read_expression(extended, extended=True)) == tree


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("(a", r"Unmatched \( or"),
        ("[a", r"Unmatched \["),
        ("[b-a]", "Invalid range end"),
        ("[[:odd:]]", "Invalid character class name"),
        ("a{999}", "Invalid repetition count"),
        ("\\1", "back-references"),
        ("a\\", "Trailing backslash"),
        ("(" * NESTED + "a" + ")" * NESTED, "nested too deeply"),
    ],
)
def test_what_cant_be_read(text: str, why: str) -> None:
    with pytest.raises(BadPattern, match=why):
        read_expression(text, extended=True)


def test_a_text_that_stands_for_itself() -> None:
    assert told(literal("a_")) == ["a", "_"]
    assert [is_word(char) for char in "a_1- "] == [True, True, True, False, False]
