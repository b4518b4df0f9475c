"""Text to script and back. A subset of POSIX's shell language (XCU §2): what is left out is refused by name, never half understood.

Left out: command substitution, arithmetic, functions, compound commands, background jobs, here-documents, `${NAME:-word}` and its like.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

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

SCRIPT_SIZE = 256 * 1024  # characters
COMMANDS = 4096  # simple commands of one script
STAGES = 32  # commands of one pipeline

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # XBD §3.235
_BLANKS = " \t"
# XCU §2.3: the longest operator wins.
_OPERATORS = (
    *("<<-", "<<", "<&", "<>", "<", ">>", ">|", ">&", ">"),
    *("&&", "&", "||", "|", ";;", ";", "\n", "(", ")"),
)
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


@dataclass(frozen=True, slots=True)
class _Operator:
    text: str
    descriptor: int | None = None

    def __str__(self) -> str:
        return "newline" if self.text == "\n" else self.text


_Token = Word | _Operator


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
    return _Parser(_Lexer(text).tokens()).script()


class _Lexer:
    """Cuts text into words and operators (XCU §2.3)."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def tokens(self) -> list[_Token]:
        tokens: list[_Token] = []
        while True:
            self._skip()
            if self._at >= len(self._text):
                return tokens
            operator = self._operator()
            tokens.append(operator if operator is not None else self._word())

    def _skip(self) -> None:
        """Blanks, continued lines and comments."""
        text = self._text
        while self._at < len(text):
            if text[self._at] in _BLANKS:
                self._at += 1
            elif text.startswith("\\\n", self._at):
                self._at += 2
                if self._at == len(text):
                    raise Incomplete("syntax error: unexpected end of file")
            elif text[self._at] == "#":
                end = text.find("\n", self._at)
                self._at = len(text) if end < 0 else end
            else:
                return

    def _operator(self) -> _Operator | None:
        descriptor = None
        at = self._at
        # XCU §2.7: a digit right before "<" or ">" is a descriptor
        if self._text[at].isdecimal() and self._text[at + 1 : at + 2] in ("<", ">"):
            descriptor = self._text[at]
            at += 1
        for operator in _OPERATORS:
            if self._text.startswith(operator, at):
                self._at = at + len(operator)
                return _Operator(operator, None if descriptor is None else int(descriptor))
        return None

    def _word(self) -> Word:
        parts: list[Part] = []
        text = self._text
        while self._at < len(text):
            char = text[self._at]
            if char == "'":
                parts.append(self._single())
            elif char == '"':
                parts.extend(self._double())
            elif char == "\\":
                parts.extend(self._escape())
            elif char == "$":
                parts.append(self._dollar(quoted=False))
            elif char == "`":
                raise _unsupported("command substitution")
            elif char in _BLANKS or char in "\n;&|<>()":
                break
            else:
                parts.append(Literal(char))
                self._at += 1
        return Word(joined(parts))

    def _single(self) -> Literal:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise Incomplete("syntax error: unexpected end of file while looking for matching `''")
        text = self._text[self._at + 1 : end]
        self._at = end + 1
        return Literal(text, quoted=True)

    def _double(self) -> list[Part]:
        parts: list[Part] = []
        text = self._text
        self._at += 1
        while self._at < len(text):
            char = text[self._at]
            if char == '"':
                self._at += 1
                return parts or [Literal("", quoted=True)]  # "" is a word too
            if char == "$":
                parts.append(self._dollar(quoted=True))
            elif char == "`":
                raise _unsupported("command substitution")
            elif char == "\\" and text[self._at + 1 : self._at + 2] in ("$", "`", '"', "\\", "\n"):  # XCU §2.2.3
                escaped = text[self._at + 1]
                parts.append(Literal("" if escaped == "\n" else escaped, quoted=True))
                self._at += 2
            else:
                parts.append(Literal(char, quoted=True))
                self._at += 1
        raise Incomplete("syntax error: unexpected end of file while looking for matching `\"'")

    def _escape(self) -> list[Part]:
        following = self._text[self._at + 1 : self._at + 2]
        self._at += 2
        if following == "\n":  # XCU §2.2.1: a line continued
            if self._at >= len(self._text):
                raise Incomplete("syntax error: unexpected end of file")
            return []
        return [Literal(following or "\\", quoted=True)]

    def _dollar(self, *, quoted: bool) -> Part:
        text, at = self._text, self._at + 1
        following = text[at : at + 1]
        if following == "(":
            raise _unsupported("arithmetic" if text.startswith("((", at) else "command substitution")
        if following == "{":
            return self._braced(at + 1, quoted=quoted)
        match = _NAME.match(text, at)
        if match is not None:
            self._at = match.end()
            return Parameter(match[0], quoted)
        if following and following in "?$#0":
            self._at = at + 1
            return Parameter(following, quoted)
        if following and following in "@*!-123456789":
            raise _unsupported(f"${following}")
        self._at = at
        return Literal("$", quoted=quoted)

    def _braced(self, at: int, *, quoted: bool) -> Parameter:
        match = re.compile(r"([A-Za-z_][A-Za-z0-9_]*|[?$#0])\}").match(self._text, at)
        if match is None:
            if "}" not in self._text[at:]:
                raise Incomplete("syntax error: unexpected end of file while looking for matching `}'")
            raise _unsupported("this kind of ${…}")
        self._at = match.end()
        return Parameter(match[1], quoted)


def joined(parts: list[Part]) -> tuple[Part, ...]:
    """Adjacent literals of equal quoting made one; empty ones dropped unless they were quoted: those make a word."""
    result: list[Part] = []
    for part in parts:
        last = result[-1] if result else None
        if isinstance(part, Literal) and isinstance(last, Literal) and last.quoted == part.quoted:
            result[-1] = Literal(last.text + part.text, part.quoted)
        elif isinstance(part, Parameter) or part.text or part.quoted:
            result.append(part)
    return tuple(result) or tuple(parts[:1])


def _unsupported(what: str) -> BadSyntax:
    return BadSyntax(f"syntax error: {what} is not supported here")


class _Parser:
    """Tokens to a script (XCU §2.10)."""

    def __init__(self, tokens: list[_Token]) -> None:
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
                    raise _unsupported(f"`{_bare(token)}'")
                words.append(token)
            elif token.text in _REDIRECTS:
                redirects.append(self._redirect(token))
            elif token.text in _UNSUPPORTED:
                raise _unsupported(_UNSUPPORTED[token.text])
            elif token.text == "(":
                raise _unsupported("`('")
            else:
                break
        if not (assignments or words or redirects):
            raise self._unexpected(self._peek())
        self._commands += 1
        if self._commands > COMMANDS:
            raise BadSyntax(f"more than {COMMANDS} commands")
        return Simple(tuple(assignments), tuple(words), tuple(redirects))

    def _redirect(self, operator: _Operator) -> Redirect:
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

    def _peek(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _take(self, *texts: str) -> _Operator | None:
        token = self._peek()
        if isinstance(token, _Operator) and token.text in texts:
            self._at += 1
            return token
        return None

    def _unexpected(self, token: _Token | None) -> BadSyntax:
        if token is None:
            return Incomplete("syntax error: unexpected end of file")
        shown = str(token) if isinstance(token, _Operator) else print_word(token)
        return BadSyntax(f"syntax error near unexpected token `{shown}'")


def _bare(token: _Token | None) -> str | None:
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
