"""Text cut into tokens, without any grammar."""

from __future__ import annotations

import pytest

from portyard.ssh.core.model import BadSyntax, Incomplete, Literal, Parameter, Word
from portyard.ssh.core.tokens import Operator, cut, joined


def word(*parts: Literal | Parameter) -> Word:
    return Word(parts)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        ("  # a comment", []),
        ("a b", [word(Literal("a")), word(Literal("b"))]),
        ("a\\\nb", [word(Literal("ab"))]),  # XCU §2.2.1
        ("a>>b", [word(Literal("a")), Operator(">>"), word(Literal("b"))]),
        ("2>&1", [Operator(">&", 2), word(Literal("1"))]),
        ("a&&b||c", [word(Literal("a")), Operator("&&"), word(Literal("b")), Operator("||"), word(Literal("c"))]),
        ("a\n", [word(Literal("a")), Operator("\n")]),
        ("'a b'c", [word(Literal("a b", quoted=True), Literal("c"))]),
        ('"$A\\$"', [word(Parameter("A", True), Literal("$", quoted=True))]),
        ("${A}b$", [word(Parameter("A", False), Literal("b$"))]),
        ("''", [word(Literal("", quoted=True))]),
    ],
)
def test_tokens(text: str, tokens: list[object]) -> None:
    assert cut(text) == tokens


@pytest.mark.parametrize("text", ["'a", '"a', "a\\\n", "${a"])
def test_what_ends_in_the_middle(text: str) -> None:
    with pytest.raises(Incomplete):
        cut(text)


@pytest.mark.parametrize("text", ["`a`", "$(a)", "$((1))", "$1", "${a:-b}", '"`a`"'])
def test_what_is_left_out_is_named(text: str) -> None:
    with pytest.raises(BadSyntax, match="is not supported here"):
        cut(text)


def test_how_operators_are_told() -> None:
    assert [str(Operator("\n")), str(Operator(">>", 1))] == ["newline", ">>"]


def test_neighbours_are_joined() -> None:
    assert joined([Literal("a"), Literal(""), Literal("b"), Literal("c", quoted=True)]) == (
        Literal("ab"),
        Literal("c", quoted=True),
    )
