"""Regular expressions, basic and extended (XBD §9), matched in one pass over the text.

A set of positions moves through the pattern, one character at a time (Thompson's construction), so the work is bounded by pattern times
text whatever they are. Steps that were taken before are remembered. Back-references are refused: no bound holds for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

PATTERN = 4096  # characters of a pattern
STATES = 2_000  # of a pattern, after its counts are written out
REPEAT = 255  # RE_DUP_MAX (XBD §9.3.6)
KEPT = 10_000  # steps that are remembered

_Accepts = Callable[[str], bool]
_CLASSES: dict[str, _Accepts] = {
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


@dataclass(slots=True)
class _State:
    """One position: passes a character on (`accepts`), or stands between (`holds` says where it may be passed)."""

    accepts: _Accepts | None = None
    holds: str = ""  # "^", "$", "<", ">" or "b"
    after: list[int] = field(default_factory=list)


class Pattern:
    """A pattern that tells of lines whether it is in them.

    Args:
        text: The pattern.
        extended: By XBD §9.4, else §9.3.
        fixed: It is no pattern but the text itself.
        ignore_case: Letters match in either case.
        words: A match has no word character before or after it.
        lines: A match is a whole line.

    Raises:
        BadPattern: It can't be read.
    """

    def __init__(
        self,
        text: str,
        *,
        extended: bool = False,
        fixed: bool = False,
        ignore_case: bool = False,
        words: bool = False,
        lines: bool = False,
    ) -> None:
        if len(text) > PATTERN:
            raise BadPattern("the pattern is too long")
        self._fold = str.lower if ignore_case else str
        self._literal = self._fold(text) if fixed and not words and not lines else None
        self._states: list[_State] = []
        self._known: dict[tuple[frozenset[int], str, str], frozenset[int]] = {}
        if self._literal is None:
            tree = _literal(text) if fixed else _Reader(text, extended=extended).read()
            first, last = ("^", "$") if lines else ("<", ">") if words else ("", "")
            self._end = self._add(_State())
            start = self._build(tree, self._edge(last, self._end))
            self._start = self._edge(first, start)

    def matches(self, line: str) -> bool:
        """Whether the pattern is somewhere in the line."""
        line = self._fold(line)
        if self._literal is not None:
            return self._literal in line
        before = ""
        current: frozenset[int] = frozenset()
        for char in (*line, ""):
            current = self._closed(current | {self._start}, before, char)
            if self._end in current:
                return True
            if char:
                current = self._moved(current, char)
            before = char
        return False

    def _moved(self, states: frozenset[int], char: str) -> frozenset[int]:
        key = (states, char, "step")
        if (known := self._known.get(key)) is None:
            known = frozenset(
                state.after[0]
                for state in map(self._states.__getitem__, states)
                if state.accepts is not None and state.accepts(char)
            )
            self._remember(key, known)
        return known

    def _closed(self, states: frozenset[int], before: str, char: str) -> frozenset[int]:
        """The states with all that can be reached without a character."""
        key = (states, "closed", _situation(before, char))
        if (known := self._known.get(key)) is not None:
            return known
        reached = set(states)
        waiting = list(states)
        while waiting:
            state = self._states[waiting.pop()]
            if state.accepts is not None or not _may_pass(state.holds, before, char):
                continue
            for index in state.after:
                if index not in reached:
                    reached.add(index)
                    waiting.append(index)
        known = frozenset(reached)
        self._remember(key, known)
        return known

    def _remember(self, key: tuple[frozenset[int], str, str], states: frozenset[int]) -> None:
        if len(self._known) >= KEPT:
            self._known.clear()
        self._known[key] = states

    # Construction, from the end to the beginning

    def _add(self, state: _State) -> int:
        if len(self._states) >= STATES:
            raise BadPattern("the pattern is too big")
        self._states.append(state)
        return len(self._states) - 1

    def _edge(self, holds: str, after: int) -> int:
        return self._add(_State(holds=holds, after=[after])) if holds else after

    def _build(self, tree: _Tree, after: int) -> int:
        match tree:
            case _Char(accepts):
                if self._fold is str.lower:
                    accepts = _either_case(accepts)
                return self._add(_State(accepts, after=[after]))
            case _Edge(holds):
                return self._edge(holds, after)
            case _Sequence(parts):
                for part in reversed(parts):
                    after = self._build(part, after)
                return after
            case _Either(branches):
                return self._add(_State(after=[self._build(branch, after) for branch in branches]))
            case _Repeat(part, least, most):
                return self._repeat(part, least, most, after)

    def _repeat(self, part: _Tree, least: int, most: int | None, after: int) -> int:
        if most is None:
            loop = self._add(_State())
            self._states[loop].after = [self._build(part, loop), after]
            after = loop
        else:
            out = after
            for _ in range(most - least):
                after = self._add(_State(after=[self._build(part, after), out]))
        for _ in range(least):
            after = self._build(part, after)
        return after


def _either_case(accepts: _Accepts) -> _Accepts:
    return lambda char: accepts(char) or accepts(char.upper())


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def _situation(before: str, char: str) -> str:
    return ("b" if not before else "w" if _is_word(before) else "-") + (
        "e" if not char else "w" if _is_word(char) else "-"
    )


def _may_pass(holds: str, before: str, char: str) -> bool:
    match holds:
        case "^":
            return not before
        case "$":
            return not char
        case "<":
            return not _is_word(before)
        case ">":
            return not _is_word(char)
        case "b":
            return _is_word(before) != _is_word(char)
    return True


@dataclass(frozen=True, slots=True)
class _Char:
    accepts: _Accepts


@dataclass(frozen=True, slots=True)
class _Edge:
    holds: str


@dataclass(frozen=True, slots=True)
class _Sequence:
    parts: tuple[_Tree, ...]


@dataclass(frozen=True, slots=True)
class _Either:
    branches: tuple[_Tree, ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    part: _Tree
    least: int
    most: int | None


_Tree = _Char | _Edge | _Sequence | _Either | _Repeat


def _literal(text: str) -> _Tree:
    return _Sequence(tuple(_exactly(char) for char in text))


def _exactly(char: str) -> _Char:
    return _Char(lambda other: other == char)


def _anything(char: str) -> bool:
    return True


class _Reader:
    """Pattern to tree."""

    def __init__(self, text: str, *, extended: bool) -> None:
        self._text = text
        self._at = 0
        self._extended = extended
        self._depth = 0

    def read(self) -> _Tree:
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

    def _either(self) -> _Tree:
        self._depth += 1
        if self._depth > 100:
            raise BadPattern("the pattern is nested too deeply")
        branches = [self._sequence()]
        while self._next() == "|":
            self._skip("|")
            branches.append(self._sequence())
        self._depth -= 1
        return branches[0] if len(branches) == 1 else _Either(tuple(branches))

    def _sequence(self) -> _Tree:
        parts: list[_Tree] = []
        while (operator := self._next()) not in ("end", "|") and not (operator == ")" and self._depth > 1):
            if operator == ")":
                if not self._extended:
                    raise BadPattern("Unmatched ) or \\)")
                self._at += 1
                parts.append(_exactly(")"))
                continue
            part = self._atom(operator, first=not parts)
            parts.append(self._repeated(part))
        return _Sequence(tuple(parts))

    def _repeated(self, part: _Tree) -> _Tree:
        while (operator := self._next()) in ("*", "+", "?", "{"):
            if isinstance(part, _Edge) and not self._extended:
                break  # XBD §9.3.3: "*" after "^" is itself
            if operator == "{":
                bounds = self._bounds()
                if bounds is None:
                    break
                part = _Repeat(part, *bounds)
                continue
            self._skip(operator)
            part = _Repeat(part, int(operator == "+"), 1 if operator == "?" else None)
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

    def _atom(self, operator: str, *, first: bool) -> _Tree:
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
                return _Edge("^")
            case "$" if self._extended or self._at_end():
                self._at += 1
                return _Edge("$")
            case ".":
                self._at += 1
                return _Char(_anything)
            case "[":
                return _Char(self._bracket())
        return self._character()

    def _at_end(self) -> bool:
        """XBD §9.3.8: "$" is an anchor at the end of a pattern, or of a group."""
        rest = self._text[self._at + 1 :]
        return not rest or rest.startswith(("\\)", "\\|"))

    def _character(self) -> _Tree:
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
        escapes: dict[str, _Tree] = {
            "w": _Char(_is_word),
            "W": _Char(lambda other: not _is_word(other)),
            "s": _Char(str.isspace),
            "S": _Char(lambda other: not other.isspace()),
            "b": _Edge("b"),
            "<": _Edge("<"),
            ">": _Edge(">"),
        }
        return escapes.get(char) or _exactly(char)

    def _bracket(self) -> _Accepts:
        """XBD §9.3.5."""
        text = self._text
        at = self._at + 1
        negated = text.startswith("^", at)
        at += negated
        chars: set[str] = set()
        ranges: list[tuple[str, str]] = []
        classes: list[_Accepts] = []
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
