"""Which of many patterns a field's value may match, found without trying each: one table for each field of a bucket of rules. Pure.

A pattern's owner is a bit; the answer is the bits of all owners that may be meant, never one too few. Text is compared with its case
folded.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence

from portyard.commons.scenario.model import Scalar
from portyard.commons.scenario.needles import Needles
from portyard.commons.scenario.patterns import Flag, Glob, Pattern, Range, Regex, Shape, fold, text_of

_REMEMBERED = 2048  # values whose answer is known
_LONGEST_REMEMBERED = 512  # characters
_WORD = 16  # characters at most, by which a pattern is filed
_LENGTHS = 6  # different lengths of beginnings, and of ends, that are looked up one by one
_EXACT = 2.0**52  # below it a float has room between two whole numbers
_STRIDE = 32  # bounds between two that know the sum of all before them
_GAPS = 256  # pairs of places among such bounds, of which it is known who takes the numbers there


class Table:
    """The patterns that many rules have for one field.

    Args:
        patterns: The owner's bit, and the patterns of which it needs one.
    """

    def __init__(self, patterns: Iterable[tuple[int, Sequence[Pattern]]]) -> None:
        asked = list(patterns)
        self._owners = _union(bit for bit, _ in asked)
        self._any = 0
        self._flags = {False: 0, True: 0}
        self._texts = _Texts()
        lows: list[tuple[float, int]] = []
        highs: list[tuple[float, int]] = []
        for bit, pattern in ((bit, pattern) for bit, several in asked for pattern in several):
            match pattern:
                case Flag(value):
                    self._flags[value] |= bit
                case Range(low, high, low_in, high_in):
                    lows.append((low if low_in else _beyond(low), bit))
                    highs.append((-high if high_in else _beyond(-high), bit))
                case Glob() if pattern.shape is Shape.ANY:
                    self._any |= bit
                case _:
                    self._texts.add(bit, pattern)
        self._texts.file()
        self._lows, self._highs = _Sums(lows), _Sums(highs)
        self._between: dict[tuple[int, int], int] = {}
        self._known: dict[str, int] = {}

    def indifferent(self, everybody: int) -> int:
        """Who of all has no pattern here."""
        return everybody & ~self._owners

    def find(self, value: Scalar) -> int:
        """The bits of all who may be meant by a value."""
        if not isinstance(value, str):
            return self._any | self._find_other(value)
        known = self._known.get(value)
        if known is None:
            known = self._any | self._texts.search(value)
            if len(value) <= _LONGEST_REMEMBERED:
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()
                self._known[value] = known
        return known

    def _find_other(self, value: bool | float) -> int:
        found = 0 if self._texts.empty else self._texts.search(text_of(value))
        return found | (self._flags[value] if isinstance(value, bool) else self._take(value))

    def _take(self, number: float) -> int:
        """Who takes a number; it is the same for all between two bounds."""
        place = self._lows.place(number), self._highs.place(-number)
        found = self._between.get(place)
        if found is None:
            found = self._lows.up_to(place[0]) & self._highs.up_to(place[1])
            if len(self._between) >= _GAPS:
                self._between.clear()
            self._between[place] = found
        return found


class _Texts:
    """Patterns of text, each filed where few others are."""

    def __init__(self) -> None:
        self._exact: dict[str, int] = {}
        self._ends: tuple[list[tuple[int, Glob]], list[tuple[int, Glob]]] = ([], [])
        self._held: list[tuple[int, Glob | Regex]] = []
        self._prefixes = _Beginnings({})
        self._suffixes = _Beginnings({})
        self._words = Needles({})
        self._folding = 0
        self._alone: list[tuple[int, Pattern]] = []
        self.empty = True

    def add(self, bit: int, pattern: Glob | Regex) -> None:
        """Take a pattern; it is found once `file` was called."""
        self.empty = False
        match pattern:
            case Glob() if pattern.shape is Shape.EXACT:
                self._exact[pattern.anchor] = self._exact.get(pattern.anchor, 0) | bit
            case Glob() if pattern.shape in (Shape.PREFIX, Shape.SUFFIX):
                self._ends[pattern.shape is Shape.SUFFIX].append((bit, pattern))
            case _:
                self._held.append((bit, pattern))

    def file(self) -> None:
        """Put every pattern where it will be found."""
        beginnings, ends = self._ends
        self._prefixes = self._by_length(beginnings)
        self._suffixes = self._by_length(ends, turned=True)
        needs = [(bit, pattern, pattern.needs) for bit, pattern in self._held]
        common = Counter(
            word for _, _, several in needs for texts in several for text in texts for word in _words(text)
        )
        words: dict[str, int] = {}
        for bit, pattern, several in needs:
            chosen = min((_choice(texts, common) for texts in several), default=None)
            if chosen is None:
                self._alone.append((bit, pattern))
                continue
            for word in chosen[2]:
                words[word] = words.get(word, 0) | bit
            if isinstance(pattern, Regex) and pattern.folds:
                self._folding |= bit
        self._words = Needles(words)

    def _by_length(self, globs: list[tuple[int, Glob]], *, turned: bool = False) -> _Beginnings:
        lengths = Counter(len(glob.anchor) for _, glob in globs)
        kept = {length for length, _ in lengths.most_common(_LENGTHS)}
        words: dict[str, int] = {}
        for bit, glob in globs:
            if len(glob.anchor) in kept:
                word = glob.anchor[::-1] if turned else glob.anchor
                words[word] = words.get(word, 0) | bit
            else:
                self._held.append((bit, glob))
        return _Beginnings(words)

    def search(self, text: str) -> int:
        """The bits of all whose pattern may match."""
        folded = fold(text)
        found = self._exact.get(folded, 0) | self._words.find(folded)
        found |= self._prefixes.find(folded) | self._suffixes.find(folded[::-1])
        for bit, pattern in self._alone:
            if not found & bit and pattern.matches(text):
                found |= bit
        if not text.isascii():  # an expression that folds case may take such a character for one of ASCII's
            found |= self._folding
        return found


class _Beginnings:
    """Words of a few lengths, found where a text begins with them.

    Args:
        words: The bits of each; no word is empty.
    """

    def __init__(self, words: dict[str, int]) -> None:
        self._words = words
        self._lengths = sorted({len(word) for word in words})
        self._least = self._lengths[0] if words else 0
        self._heads = frozenset(word[: self._least] for word in words)

    def find(self, text: str) -> int:
        """The bits of the words that a text begins with."""
        found = 0
        if text[: self._least] in self._heads:  # mostly it isn't, and no other length has to be looked at
            for length in self._lengths:
                found |= self._words.get(text[:length], 0)
        return found


class _Sums:
    """Numbers with bits: the bits of all up to a number, without adding them all.

    Args:
        bounds: They.
    """

    def __init__(self, bounds: list[tuple[float, int]]) -> None:
        self._bounds = [bound for bound, _ in sorted(bounds)]
        self._bits = [bit for _, bit in sorted(bounds)]
        sums = itertools.accumulate(self._bits, int.__or__, initial=0)
        self._sums = list(itertools.islice(sums, 0, None, _STRIDE))

    def place(self, number: float) -> int:
        """How many bounds aren't greater than a number."""
        return bisect.bisect_right(self._bounds, number)

    def up_to(self, place: int) -> int:
        """The bits of so many of the least."""
        whole = place // _STRIDE
        found = self._sums[whole]
        for bit in self._bits[whole * _STRIDE : place]:
            found |= bit
        return found


def _beyond(bound: float) -> float:
    """The least number above a bound; the bound itself where whole numbers lie closer together than such numbers do."""
    return math.nextafter(bound, math.inf) if abs(bound) < _EXACT else bound


def _choice(texts: frozenset[str], common: Counter[str]) -> tuple[int, int, list[str]]:
    """The words of some texts that fewest patterns share, the longest of those; before them by what they are compared."""
    chosen = [min(_words(text), key=lambda word: (common[word], -len(word))) for text in sorted(texts)]
    return sum(common[word] for word in chosen), -min(map(len, chosen)), chosen


def _words(text: str) -> set[str]:
    """By what a text may be filed: all of it, or its beginning and its end."""
    return {text[:_WORD], text[-_WORD:]}


def _union(bits: Iterable[int]) -> int:
    found = 0
    for bit in bits:
        found |= bit
    return found
