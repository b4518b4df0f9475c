"""What a pattern can't match without: texts of which a value must hold one. By them many patterns are looked through at once. Pure.

Knows Python's parsed regular expressions. Only ASCII counts: folding the case of other characters may change how many there are.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from typing import Any

Needs = tuple[frozenset[str], ...]
"""Of each set a value, its case folded, holds one text at least."""

MOST_CHOICES = 16  # of texts in one set: more would find too much to be worth it

# The standard library's own reader of expressions; private by name, the same since Python 3.11.
_parser: Any = importlib.import_module("re._parser")
_REPEATS = frozenset({"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"})


def needs_of_glob(text: str) -> Needs:
    """What a glob needs: its stretches without `*` and `?`."""
    return _needs(re.split(r"[*?]", text))


def needs_of_regex(text: str) -> Needs:
    """What a regular expression needs; nothing where that can't be told.

    Args:
        text: An expression that compiles.
    """
    walk = _Walk()
    try:
        walk.sequence(_parser.parse(text))
    except RecursionError:
        return ()
    walk.end()
    return tuple(walk.found)


class _Walk:
    """Gathers what the parts of an expression need, in one pass."""

    def __init__(self) -> None:
        self.found: list[frozenset[str]] = []
        self._run: list[str] = []

    def sequence(self, parts: Iterable[Any]) -> None:
        """Parts that follow each other; texts go on over groups and anchors."""
        for code, value in parts:
            self._part(str(code), value)

    def end(self) -> None:
        """The text so far ends here: what comes next may be anything."""
        self.found += _needs(["".join(self._run)])
        self._run.clear()

    def _part(self, code: str, value: Any) -> None:  # noqa: ANN401 - the reader's own
        match code:
            case "LITERAL":
                self._run.append(chr(value))
            case "AT":
                pass  # has no length
            case "SUBPATTERN":
                self.sequence(value[3])
            case "ATOMIC_GROUP":
                self.sequence(value)
            case "BRANCH":
                self.end()
                self._choice(value[1])
            case _ if code in _REPEATS and value[0] > 0:
                self.end()
                self.sequence(value[2])
                self.end()
            case _:
                self.end()

    def _choice(self, branches: Iterable[Iterable[Any]]) -> None:
        """One text of one of the branches: of each its longest."""
        choices: set[str] = set()
        for branch in branches:
            walk = _Walk()
            walk.sequence(branch)
            walk.end()
            if not walk.found:
                return
            choices |= max(walk.found, key=lambda texts: min(map(len, texts)))
        if len(choices) <= MOST_CHOICES:
            self.found.append(frozenset(choices))


def _needs(texts: Iterable[str]) -> Needs:
    runs = (run for text in texts for run in re.findall(r"[\x00-\x7f]+", text))
    return tuple(frozenset({run.lower()}) for run in runs)
