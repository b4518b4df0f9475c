"""Text cut into words and operators, quotes and parameters understood (XCU §2.2-2.3, §2.6). What isn't served is refused by its name."""

from __future__ import annotations

import re
from dataclasses import dataclass

from portyard.ssh.core.model import BadSyntax, Incomplete, Literal, Parameter, Part, Word

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # XBD §3.235
_BLANKS = " \t"
# XCU §2.3: the longest operator wins.
_OPERATORS = (
    *("<<-", "<<", "<&", "<>", "<", ">>", ">|", ">&", ">"),
    *("&&", "&", "||", "|", ";;", ";", "\n", "(", ")"),
)


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator; before "<" and ">" perhaps the descriptor that it is about."""

    text: str
    descriptor: int | None = None

    def __str__(self) -> str:
        return "newline" if self.text == "\n" else self.text


Token = Word | Operator


def cut(text: str) -> list[Token]:
    """A text's tokens.

    Raises:
        Incomplete: It ends in the middle of one.
        BadSyntax: There is one that isn't served.
    """
    return _Lexer(text).tokens()


class _Lexer:
    """Cuts text into words and operators (XCU §2.3)."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def tokens(self) -> list[Token]:
        tokens: list[Token] = []
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

    def _operator(self) -> Operator | None:
        descriptor = None
        at = self._at
        # XCU §2.7: a digit right before "<" or ">" is a descriptor
        if self._text[at].isdecimal() and self._text[at + 1 : at + 2] in ("<", ">"):
            descriptor = self._text[at]
            at += 1
        for operator in _OPERATORS:
            if self._text.startswith(operator, at):
                self._at = at + len(operator)
                return Operator(operator, None if descriptor is None else int(descriptor))
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
                raise unsupported("command substitution")
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
                raise unsupported("command substitution")
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
            raise unsupported("arithmetic" if text.startswith("((", at) else "command substitution")
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
            raise unsupported(f"${following}")
        self._at = at
        return Literal("$", quoted=quoted)

    def _braced(self, at: int, *, quoted: bool) -> Parameter:
        match = re.compile(r"([A-Za-z_][A-Za-z0-9_]*|[?$#0])\}").match(self._text, at)
        if match is None:
            if "}" not in self._text[at:]:
                raise Incomplete("syntax error: unexpected end of file while looking for matching `}'")
            raise unsupported("this kind of ${…}")
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


def unsupported(what: str) -> BadSyntax:
    """The refusal of what is left out."""
    return BadSyntax(f"syntax error: {what} is not supported here")
