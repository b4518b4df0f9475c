"""What a regular expression says: text to tree, basic (XBD §9.3) and extended (§9.4).

Back-references are refused: no bound holds for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

REPEAT = 255  # RE_DUP_MAX (XBD §9.3.6)
NESTED = 100  # groups within groups

Accepts = Callable[[str], bool]
_CLASSES: dict[str, Accepts] = {
    "alnum": str.isalnum,
    "alpha": str.isalpha,
    "blank": lambda char: char in " \t",
    "cntrl": lambda char: ord(char) < 32 or ord(char) == 127,
    "digit": lambda char: char in "0123456789",
    "graph": lambda char: char.isprintable() and char != " ",
    "lower": str.islower,
    "print": str.isprintable,
    "punct": lambda char: char.isprintable() and not char.isalnum() and char != " ",
    "space": str.isspace,
    "upper": str.isupper,
    "xdigit": lambda char: char in "0123456789abcdefABCDEF",
}


class BadPattern(ValueError):
    """The pattern can't be read, or asks for too much."""


@dataclass(frozen=True, slots=True)
class Char:
    """A character that a test accepts."""

    accepts: Accepts


@dataclass(frozen=True, slots=True)
class Edge:
    """A place: "^", "$", "<", ">" or "b" (between a word and what is none)."""

    holds: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of them."""

    branches: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """So many times; `most` is None for ever."""

    part: Tree
    least: int
    most: int | None


Tree = Char | Edge | Sequence | Either | Repeat


def read_expression(text: str, *, extended: bool) -> Tree:
    """A pattern's tree.

    Args:
        text: The pattern.
        extended: By XBD §9.4, else §9.3.

    Raises:
        BadPattern: It can't be read.
    """
    return _Reader(text, extended=extended).read()


def literal(text: str) -> Tree:
    """A text that stands for itself."""
    return Sequence(tuple(_exactly(char) for char in text))


def _exactly(char: str) -> Char:
    return Char(lambda other: other == char)


def _anything(char: str) -> bool:
    return True


def is_word(char: str) -> bool:
    """Whether a character is one of a word: a letter, a digit or `_`."""
    return char.isalnum() or char == "_"


class _Reader:
    """Pattern to tree."""

    def __init__(self, text: str, *, extended: bool) -> None:
        self._text = text
        self._at = 0
        self._extended = extended
        self._depth = 0

    def read(self) -> Tree:
        tree = self._either()
        if self._at < len(self._text):
            raise BadPattern("Unmatched ) or \\)")
        return tree

    def _next(self) -> str:
        """An operator in either dialect by its extended name, "" for a plain character ahead."""
        text, at = self._text, self._at
        if at >= len(text):
            return "end"
        char = text[at]
        if self._extended:
            return char if char in "(){|+?*^$.[" else ""
        if char == "\\" and text[at + 1 : at + 2] in ("(", ")", "{", "|", "+", "?"):
            return text[at + 1]
        return char if char in "*^$.[" else ""

    def _skip(self, operator: str) -> None:
        self._at += 1 if self._extended or operator in "*^$.[" else 2

    def _either(self) -> Tree:
        self._depth += 1
        if self._depth > NESTED:
            raise BadPattern("the pattern is nested too deeply")
        branches = [self._sequence()]
        while self._next() == "|":
            self._skip("|")
            branches.append(self._sequence())
        self._depth -= 1
        return branches[0] if len(branches) == 1 else Either(tuple(branches))

    def _sequence(self) -> Tree:
        parts: list[Tree] = []
        while (operator := self._next()) not in ("end", "|") and not (operator == ")" and self._depth > 1):
            if operator == ")":
                if not self._extended:
                    raise BadPattern("Unmatched ) or \\)")
                self._at += 1
                parts.append(_exactly(")"))
                continue
            part = self._atom(operator, first=not parts)
            parts.append(self._repeated(part))
        return Sequence(tuple(parts))

    def _repeated(self, part: Tree) -> Tree:
        while (operator := self._next()) in ("*", "+", "?", "{"):
            if isinstance(part, Edge) and not self._extended:
                break  # XBD §9.3.3: "*" after "^" is itself
            if operator == "{":
                bounds = self._bounds()
                if bounds is None:
                    break
                part = Repeat(part, *bounds)
                continue
            self._skip(operator)
            part = Repeat(part, int(operator == "+"), 1 if operator == "?" else None)
        return part

    def _bounds(self) -> tuple[int, int | None] | None:
        close = "}" if self._extended else "\\}"
        start = self._at + (1 if self._extended else 2)
        end = self._text.find(close, start)
        low, comma, high = self._text[start : max(end, start)].partition(",")
        if end < 0 or not (low.isdecimal() or (comma and not low)) or not (high.isdecimal() or not high):
            if self._extended:
                return None  # GNU takes such a brace for itself
            raise BadPattern("Invalid content of \\{\\}")
        least = int(low or 0)
        most = least if not comma else int(high) if high else None
        if max(least, most or 0) > REPEAT or (most is not None and most < least):
            raise BadPattern("Invalid repetition count")
        self._at = end + len(close)
        return least, most

    def _atom(self, operator: str, *, first: bool) -> Tree:
        match operator:
            case "(":
                self._skip("(")
                tree = self._either()
                if self._next() != ")":
                    raise BadPattern("Unmatched ( or \\(")
                self._skip(")")
                return tree
            case "^" if self._extended or first:
                self._at += 1
                return Edge("^")
            case "$" if self._extended or self._at_end():
                self._at += 1
                return Edge("$")
            case ".":
                self._at += 1
                return Char(_anything)
            case "[":
                return Char(self._bracket())
        return self._character()

    def _at_end(self) -> bool:
        """XBD §9.3.8: "$" is an anchor at the end of a pattern, or of a group."""
        rest = self._text[self._at + 1 :]
        return not rest or rest.startswith(("\\)", "\\|"))

    def _character(self) -> Tree:
        char = self._text[self._at]
        self._at += 1
        if char != "\\":
            return _exactly(char)
        if self._at >= len(self._text):
            raise BadPattern("Trailing backslash")
        char = self._text[self._at]
        self._at += 1
        if char in "123456789":
            raise BadPattern("back-references are not supported")
        escapes: dict[str, Tree] = {
            "w": Char(is_word),
            "W": Char(lambda other: not is_word(other)),
            "s": Char(str.isspace),
            "S": Char(lambda other: not other.isspace()),
            "b": Edge("b"),
            "<": Edge("<"),
            ">": Edge(">"),
        }
        return escapes.get(char) or _exactly(char)

    def _bracket(self) -> Accepts:
        """XBD §9.3.5."""
        text = self._text
        at = self._at + 1
        negated = text.startswith("^", at)
        at += negated
        chars: set[str] = set()
        ranges: list[tuple[str, str]] = []
        classes: list[Accepts] = []
        first = True
        while at < len(text) and (text[at] != "]" or first):
            first = False
            if text.startswith("[:", at):
                end = text.find(":]", at + 2)
                name = text[at + 2 : end] if end > 0 else ""
                if name not in _CLASSES:
                    raise BadPattern("Invalid character class name")
                classes.append(_CLASSES[name])
                at = end + 2
            elif text[at + 1 : at + 2] == "-" and text[at + 2 : at + 3] not in ("", "]"):
                if text[at + 2] < text[at]:
                    raise BadPattern("Invalid range end")
                ranges.append((text[at], text[at + 2]))
                at += 3
            else:
                chars.add(text[at])
                at += 1
        if at >= len(text):
            raise BadPattern("Unmatched [, [^, [:, [., or [=")
        self._at = at + 1

        def accepts(char: str) -> bool:
            found = (
                char in chars or any(low <= char <= high for low, high in ranges) or any(test(char) for test in classes)
            )
            return found != negated

        return accepts
