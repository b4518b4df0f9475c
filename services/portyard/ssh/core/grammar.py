"""Text to script and back. A subset of POSIX's shell language (XCU §2): what is left out is refused by name, never half understood.

How text is cut into tokens, `tokens.py` knows. Left out: command substitution, arithmetic, functions, compound commands, background jobs,
here-documents, `${NAME:-word}` and its like.
"""

from __future__ import annotations

import re

from portyard.ssh.core.model import (
    AndOr,
    Assignment,
    BadSyntax,
    Incomplete,
    Literal,
    Parameter,
    Part,
    Pipeline,
    Redirect,
    Script,
    Simple,
    Word,
)
from portyard.ssh.core.tokens import Operator, Token, cut, joined, unsupported

SCRIPT_SIZE = 256 * 1024  # characters
COMMANDS = 4096  # simple commands of one script
STAGES = 32  # commands of one pipeline

_REDIRECTS = {"<": 0, ">": 1, ">>": 1, ">|": 1, ">&": 1}
_UNSUPPORTED = {"<<": "here-documents", "<<-": "here-documents", "<&": "<&", "<>": "<>", "&": "background jobs"}
# XCU §2.4; "!" is served, and "in" is reserved in a place only that isn't.
_RESERVED = frozenset(
    (
        "if",
        "then",
        "else",
        "elif",
        "fi",
        "do",
        "done",
        "case",
        "esac",
        "while",
        "until",
        "for",
        "{",
        "}",
        "function",
        "[[",
    )
)


def parse_script(text: str) -> Script:
    """Read a script.

    Raises:
        Incomplete: It ends in the middle of something.
        BadSyntax: It isn't one.
    """
    if len(text) > SCRIPT_SIZE:
        raise BadSyntax("line too long")
    if "\0" in text:
        raise BadSyntax("syntax error: a NUL")
    return _Parser(cut(text)).script()


class _Parser:
    """Tokens to a script (XCU §2.10)."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._commands = 0

    def script(self) -> Script:
        lists: list[AndOr] = []
        self._newlines()
        while self._peek() is not None:
            lists.append(self._and_or())
            separator = self._peek()
            if separator is not None and not self._take(";", "\n"):
                raise self._unexpected(separator)
            self._newlines()
        return Script(tuple(lists))

    def _and_or(self) -> AndOr:
        first = self._pipeline()
        rest: list[tuple[str, Pipeline]] = []
        while (operator := self._take("&&", "||")) is not None:
            self._newlines()
            rest.append((operator.text, self._pipeline()))
        return AndOr(first, tuple(rest))

    def _pipeline(self) -> Pipeline:
        negated = False
        while _bare(self._peek()) == "!":
            self._at += 1
            negated = not negated
        commands = [self._simple()]
        while self._take("|") is not None:
            self._newlines()
            commands.append(self._simple())
        if len(commands) > STAGES:
            raise BadSyntax(f"a pipeline of more than {STAGES} commands")
        return Pipeline(tuple(commands), negated)

    def _simple(self) -> Simple:
        assignments: list[Assignment] = []
        words: list[Word] = []
        redirects: list[Redirect] = []
        while (token := self._peek()) is not None:
            if isinstance(token, Word):
                self._at += 1
                assignment = _assignment(token) if not words else None
                if assignment is not None:
                    assignments.append(assignment)
                    continue
                if not words and _bare(token) in _RESERVED:
                    raise unsupported(f"`{_bare(token)}'")
                words.append(token)
            elif token.text in _REDIRECTS:
                redirects.append(self._redirect(token))
            elif token.text in _UNSUPPORTED:
                raise unsupported(_UNSUPPORTED[token.text])
            elif token.text == "(":
                raise unsupported("`('")
            else:
                break
        if not (assignments or words or redirects):
            raise self._unexpected(self._peek())
        self._commands += 1
        if self._commands > COMMANDS:
            raise BadSyntax(f"more than {COMMANDS} commands")
        return Simple(tuple(assignments), tuple(words), tuple(redirects))

    def _redirect(self, operator: Operator) -> Redirect:
        self._at += 1
        target = self._peek()
        if not isinstance(target, Word):
            raise self._unexpected(target)
        self._at += 1
        descriptor = _REDIRECTS[operator.text] if operator.descriptor is None else operator.descriptor
        if descriptor > 2 or (descriptor == 0) != (operator.text == "<"):
            raise BadSyntax(f"syntax error: descriptor {descriptor} can't be redirected with `{operator.text}'")
        if operator.text == ">&" and _bare(target) not in ("1", "2"):
            raise BadSyntax("syntax error: `>&' takes 1 or 2")
        return Redirect(descriptor, operator.text, target)

    def _newlines(self) -> None:
        while self._take("\n") is not None:
            pass

    def _peek(self) -> Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _take(self, *texts: str) -> Operator | None:
        token = self._peek()
        if isinstance(token, Operator) and token.text in texts:
            self._at += 1
            return token
        return None

    def _unexpected(self, token: Token | None) -> BadSyntax:
        if token is None:
            return Incomplete("syntax error: unexpected end of file")
        shown = str(token) if isinstance(token, Operator) else print_word(token)
        return BadSyntax(f"syntax error near unexpected token `{shown}'")


def _bare(token: Token | None) -> str | None:
    """A word that is one unquoted literal, as text."""
    if isinstance(token, Word) and len(token.parts) == 1:
        part = token.parts[0]
        if isinstance(part, Literal) and not part.quoted:
            return part.text
    return None


# XCU §2.10.2, rule 7: an unquoted name and "=" at a word's beginning
_ASSIGNS = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)\Z", re.DOTALL)


def _assignment(word: Word) -> Assignment | None:
    head = word.parts[0]
    match = _ASSIGNS.match(head.text) if isinstance(head, Literal) and not head.quoted else None
    if match is None:
        return None
    rest: list[Part] = [Literal(match[2]), *word.parts[1:]]
    return Assignment(match[1], Word(joined(rest)))


# Printing: `parse_script(print_script(script)) == script`


def print_script(script: Script) -> str:
    """A script's text."""
    return "; ".join(print_list(entry) for entry in script.lists)


def print_list(entry: AndOr) -> str:
    """A list's text."""
    return " ".join([_print_pipeline(entry.first), *(f"{op} {_print_pipeline(line)}" for op, line in entry.rest)])


def _print_pipeline(pipeline: Pipeline) -> str:
    return ("! " if pipeline.negated else "") + " | ".join(_print_simple(command) for command in pipeline.commands)


def _print_simple(command: Simple) -> str:
    words = [f"{assignment.name}={_print_value(assignment.value)}" for assignment in command.assignments]
    words += [print_word(word) for word in command.words]
    words += [f"{entry.descriptor}{entry.operator}{print_word(entry.target)}" for entry in command.redirects]
    return " ".join(words)


def _print_value(word: Word) -> str:
    return "" if word.parts == (Literal(""),) else print_word(word)


def print_word(word: Word) -> str:
    """A word's text."""
    return "".join(_print_part(part) for part in word.parts)


def _print_part(part: Part) -> str:
    if isinstance(part, Parameter):
        return f'"${{{part.name}}}"' if part.quoted else f"${{{part.name}}}"
    if not part.quoted:
        return part.text
    return "'" + part.text.replace("'", "'\\''") + "'"
