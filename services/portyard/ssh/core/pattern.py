"""Regular expressions, basic and extended (XBD §9), matched in one pass over the text.

A set of positions moves through the pattern, one character at a time (Thompson's construction), so the work is bounded by pattern times
text whatever they are. Steps that were taken before are remembered. How a pattern is written, `expression.py` knows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from portyard.ssh.core.expression import (
    Accepts,
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

PATTERN = 4096  # characters of a pattern
STATES = 2_000  # of a pattern, after its counts are written out
KEPT = 10_000  # steps that are remembered


@dataclass(slots=True)
class _State:
    """One position: passes a character on (`accepts`), or stands between (`holds` says where it may be passed)."""

    accepts: Accepts | None = None
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
            tree = literal(text) if fixed else read_expression(text, extended=extended)
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

    def _build(self, tree: Tree, after: int) -> int:
        match tree:
            case Char(accepts):
                if self._fold is str.lower:
                    accepts = _either_case(accepts)
                return self._add(_State(accepts, after=[after]))
            case Edge(holds):
                return self._edge(holds, after)
            case Sequence(parts):
                for part in reversed(parts):
                    after = self._build(part, after)
                return after
            case Either(branches):
                return self._add(_State(after=[self._build(branch, after) for branch in branches]))
            case Repeat(part, least, most):
                return self._repeat(part, least, most, after)

    def _repeat(self, part: Tree, least: int, most: int | None, after: int) -> int:
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


def _either_case(accepts: Accepts) -> Accepts:
    return lambda char: accepts(char) or accepts(char.upper())


def _situation(before: str, char: str) -> str:
    return ("b" if not before else "w" if is_word(before) else "-") + (
        "e" if not char else "w" if is_word(char) else "-"
    )


def _may_pass(holds: str, before: str, char: str) -> bool:
    match holds:
        case "^":
            return not before
        case "$":
            return not char
        case "<":
            return not is_word(before)
        case ">":
            return not is_word(char)
        case "b":
            return is_word(before) != is_word(char)
    return True
