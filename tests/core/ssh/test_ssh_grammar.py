"""The shell's grammar: what is read, what is refused, in which words."""

from __future__ import annotations

import pytest

from portyard.ssh.core.grammar import COMMANDS, SCRIPT_SIZE, STAGES, parse_script, print_script
from portyard.ssh.core.model import (
    AndOr,
    Assignment,
    BadSyntax,
    Incomplete,
    Literal,
    Parameter,
    Pipeline,
    Redirect,
    Script,
    Simple,
    Word,
)


def word(text: str, *, quoted: bool = False) -> Word:
    return Word((Literal(text, quoted),))


def simple(*words: str) -> Simple:
    return Simple(words=tuple(map(word, words)))


def test_lists_and_pipelines() -> None:
    script = parse_script("a | b && ! c || d; e\n\nf # and so on")
    assert script == Script(
        (
            AndOr(
                Pipeline((simple("a"), simple("b"))),
                (("&&", Pipeline((simple("c"),), negated=True)), ("||", Pipeline((simple("d"),)))),
            ),
            AndOr(Pipeline((simple("e"),))),
            AndOr(Pipeline((simple("f"),))),
        )
    )


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("'a b'", (Literal("a b", quoted=True),)),
        ('"a $b c"', (Literal("a ", quoted=True), Parameter("b", quoted=True), Literal(" c", quoted=True))),
        (r"a\ b", (Literal("a"), Literal(" ", quoted=True), Literal("b"))),
        ("${a}b$?", (Parameter("a"), Literal("b"), Parameter("?"))),
        ("''", (Literal("", quoted=True),)),
        ('""', (Literal("", quoted=True),)),
        ("a''", (Literal("a"), Literal("", quoted=True))),
        ("a#b", (Literal("a#b"),)),
        ('"\\$\\x"', (Literal("$\\x", quoted=True),)),
        ("$", (Literal("$"),)),
        ("a\\\nb", (Literal("ab"),)),
    ],
)
def test_words(text: str, parts: tuple[object, ...]) -> None:
    assert parse_script(text).lists[0].first.commands[0].words == (Word(parts),)  # type: ignore[arg-type]


def test_assignments_and_redirects() -> None:
    (entry,) = parse_script("A=1 B= cmd C=2 <in 2>&1 >>out 2>err").lists
    assert entry.first.commands[0] == Simple(
        (Assignment("A", word("1")), Assignment("B", word(""))),
        (word("cmd"), word("C=2")),
        (
            Redirect(0, "<", word("in")),
            Redirect(2, ">&", word("1")),
            Redirect(1, ">>", word("out")),
            Redirect(2, ">", word("err")),
        ),
    )


@pytest.mark.parametrize("text", ["'a", '"a', "a |", "a &&", "a ||\n", "${a", "a \\\n", '"a\\"', "a; b |"], ids=repr)
def test_what_wants_more(text: str) -> None:
    with pytest.raises(Incomplete, match="unexpected end of file"):
        parse_script(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("| a", "syntax error near unexpected token `|'"),
        ("a ;; b", "syntax error near unexpected token `;;'"),
        ("&& a", "syntax error near unexpected token `&&'"),
        ("a > | b", "syntax error near unexpected token `|'"),
        ("a >\nb", "syntax error near unexpected token `newline'"),
        (")", "syntax error near unexpected token `)'"),
        ("echo $(id)", "syntax error: command substitution is not supported here"),
        ('echo "`id`"', "syntax error: command substitution is not supported here"),
        ("echo $((1+1))", "syntax error: arithmetic is not supported here"),
        ("sleep 1 &", "syntax error: background jobs is not supported here"),
        ("cat <<E", "syntax error: here-documents is not supported here"),
        ("for i in a; do b; done", "syntax error: `for' is not supported here"),
        ("{ a; }", "syntax error: `{' is not supported here"),
        ("(a)", "syntax error: `(' is not supported here"),
        ("echo ${a:-b}", "syntax error: this kind of ${…} is not supported here"),
        ("echo $1", "syntax error: $1 is not supported here"),
        ("a >&3", "syntax error: `>&' takes 1 or 2"),
        ("a 5> b", "syntax error: descriptor 5 can't be redirected with `>'"),
        ("a\0", "syntax error: a NUL"),
        ("|".join(["a"] * (STAGES + 1)), f"a pipeline of more than {STAGES} commands"),
        (";".join(["a"] * (COMMANDS + 1)), f"more than {COMMANDS} commands"),
        ("a" * (SCRIPT_SIZE + 1), "line too long"),
    ],
)
def test_what_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(BadSyntax) as caught:
        parse_script(text)
    assert str(caught.value) == complaint
    assert not isinstance(caught.value, Incomplete)


def test_printing_and_reading_are_inverse() -> None:
    text = "A='x y' cmd \"$A\"${B}'it'\\''s' '' 2>&1 >'o ut' | ! x; b && c || d"
    with pytest.raises(BadSyntax):
        parse_script("a | ! b |")
    script = parse_script(text.replace("| ! x", "| x"))
    assert parse_script(print_script(script)) == script
