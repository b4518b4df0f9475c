"""What holds for every script and every pattern."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from portyard.ssh.core.expression import BadPattern
from portyard.ssh.core.grammar import parse_script, print_script
from portyard.ssh.core.model import (
    AndOr,
    Assignment,
    BadSyntax,
    Literal,
    Parameter,
    Part,
    Pipeline,
    Redirect,
    Script,
    Simple,
    Word,
)
from portyard.ssh.core.pattern import Pattern
from portyard.ssh.core.tokens import joined
from portyard.ssh.core.words import printable
from tests.support.ssh_shell import Desk

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True)
BARE = st.text("abcXYZ019_-./:,@%+*?[]^~äé", min_size=1, max_size=6)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=8)
PARTS = st.one_of(
    st.builds(Literal, BARE),
    st.builds(Literal, TEXT, st.just(True)),
    st.builds(Parameter, NAMES | st.sampled_from("?$#0"), st.booleans()),
)


def word_of(parts: list[Part]) -> Word:
    return Word(joined(parts))


WORDS = st.lists(PARTS, min_size=1, max_size=4).map(word_of)
RESERVED = {"if", "then", "else", "elif", "fi", "do", "done", "case", "esac", "while", "until", "for", "function", "!"}
COMMANDS = WORDS.filter(lambda word: not (isinstance(word.parts[0], Literal) and word.parts[0].text in RESERVED))
ASSIGNMENTS = st.builds(Assignment, NAMES, WORDS | st.just(Word((Literal(""),))))
REDIRECTS = st.one_of(
    st.builds(Redirect, st.just(0), st.just("<"), WORDS),
    st.builds(Redirect, st.sampled_from([1, 2]), st.sampled_from([">", ">>", ">|"]), WORDS),
    st.builds(Redirect, st.sampled_from([1, 2]), st.just(">&"), st.just(Word((Literal("1"),)))),
)
SIMPLES = st.builds(
    lambda assignments, first, rest, redirects: Simple(tuple(assignments), (first, *rest), tuple(redirects)),
    st.lists(ASSIGNMENTS, max_size=2),
    COMMANDS,
    st.lists(WORDS, max_size=3),
    st.lists(REDIRECTS, max_size=2),
)
PIPELINES = st.builds(Pipeline, st.lists(SIMPLES, min_size=1, max_size=3).map(tuple), st.booleans())
LISTS = st.builds(
    AndOr, PIPELINES, st.lists(st.tuples(st.sampled_from(["&&", "||"]), PIPELINES), max_size=2).map(tuple)
)
SCRIPTS = st.builds(Script, st.lists(LISTS, max_size=3).map(tuple))


@given(SCRIPTS)
@settings(deadline=None, max_examples=60)
def test_reading_what_was_printed(script: Script) -> None:
    assert parse_script(print_script(script)) == script


@given(st.text(st.sampled_from("ab 'x\"$`\\|&;<>()\n{}#*?[]~=0129!-"), max_size=30))
@settings(deadline=None, max_examples=300)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        script = parse_script(text)
    except BadSyntax:
        return
    assert parse_script(print_script(script)) == script


COMMAND_NAMES = [
    *("ls", "cat", "echo", "pwd", "cd", "mkdir", "rm", "mv", "cp", "ln", "touch", "head", "tail", "wc", "grep", "sort"),
    *("uniq", "cut", "tr", "tee", "find", "test", "seq", "stat", "printf", "chmod", "sha256sum", "rmdir", "date", "cd"),
]
ARGUMENTS = st.sampled_from(
    [
        "-l",
        "-a",
        "-r",
        "-rf",
        "-n",
        "2",
        "a",
        "b",
        "..",
        "/",
        "*",
        "-",
        "--",
        "d/e",
        "-s",
        "/etc/passwd",
        "''",
        "-c",
        "x*",
        "-f1",
    ]
)


@given(st.lists(st.tuples(st.sampled_from(COMMAND_NAMES), st.lists(ARGUMENTS, max_size=4)), min_size=1, max_size=6))
@settings(deadline=None, max_examples=60)
def test_no_command_fails_in_a_way_of_its_own(calls: list[tuple[str, list[str]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "outside").write_text("stays\n")
        desk = Desk(Path(folder) / "files")
        for name, args in calls:
            said = desk.run(" ".join([name, *args]), b"some\ninput\n")
            assert 0 <= said.status <= 255
            assert "root:" not in said.out  # the host's /etc/passwd
        assert (Path(folder) / "outside").read_text() == "stays\n"


PATTERNS = st.recursive(
    st.sampled_from(["a", "b", ".", "[ab]", "[^a]", "^", "$"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from("*+?")).map(lambda pair: f"({pair[0]}){pair[1]}"),
        inner.map(lambda text: f"({text}){{1,2}}"),
    ),
    max_leaves=6,
)


@given(PATTERNS, st.lists(st.text("abc", max_size=6), max_size=5))
@settings(deadline=None, max_examples=300)
def test_patterns_mean_what_others_take_them_for(pattern: str, lines: list[str]) -> None:
    try:
        ours = Pattern(pattern, extended=True)
    except BadPattern:
        return
    other = re.compile(pattern)
    for line in lines:
        assert ours.matches(line) == bool(other.search(line)), (pattern, line)


@given(st.text())
def test_a_shown_text_is_one_line(text: str) -> None:
    assert printable(text).isprintable()
