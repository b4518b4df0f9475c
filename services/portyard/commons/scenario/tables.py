"""Which of many patterns a field's value may match, found without trying each: one table for each field of a bucket of rules. Pure.

A pattern's owner is a bit; the answer is the bits of all owners that may be meant, never one too few. Text is compared with its case
folded.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from portyard.commons.scenario.memory import Memory
from portyard.commons.scenario.model import Scalar
from portyard.commons.scenario.needles import Needles, any_of, keys_of
from portyard.commons.scenario.numbers import Bounds
from portyard.commons.scenario.patterns import Flag, Glob, Pattern, Range, Regex, Shape, fold, text_of

_REMEMBERED = 1024  # values whose answer is known
_LONGEST_REMEMBERED = 512  # characters
_LONGEST_KEPT = 4096  # characters of one that is known to be the last: a header may hold a megabyte
_WORD = 16  # characters at most, by which a pattern is filed
_GLANCED = 256  # texts, and beginnings, and ends, that are sought together with what may stand anywhere: to prepare it takes time
_TELLING = 3  # characters of such a one, without which it would be found everywhere
_LENGTHS = 6  # different lengths of beginnings, and of ends, that are looked up one by one


class Table:
    """The patterns that many rules have for one field.

    Args:
        patterns: The owner's bit, and the patterns of which it needs one.

    Attributes:
        silent: The last value that was found to be meant by nobody, nor is any that equals it: clients mostly repeat themselves, field
            by field.
    """

    __slots__ = (
        "_any",
        "_apart",
        "_bare",
        "_closer",
        "_first",
        "_flags",
        "_gap",
        "_keys",
        "_known",
        "_numbers",
        "_texts",
        "silent",
    )

    def __init__(self, patterns: Iterable[tuple[int, Sequence[Pattern]]]) -> None:
        self._any = 0
        self._flags = {False: 0, True: 0}
        self._texts = _Texts()
        ranges: list[tuple[int, Range]] = []
        for bit, pattern in ((bit, pattern) for bit, several in patterns for pattern in several):
            match pattern:
                case Flag(value):
                    self._flags[value] |= bit
                case Range():
                    ranges.append((bit, pattern))
                case Glob() if pattern.shape is Shape.ANY:
                    self._any |= bit
                case _:
                    self._texts.add(bit, pattern)
        self._texts.file()
        self._apart: tuple[Mapping[str, int], int, frozenset[str], int, frozenset[str]] | None = None
        self._glance()
        self._closer = bool(self._any or self._texts.alone)
        self._numbers = Bounds(ranges)
        self._gap = (math.inf, -math.inf)  # numbers between these are meant by nobody
        self._known: Memory[str, int] = Memory(_REMEMBERED)
        self._bare = self._texts.empty and not any(self._flags.values())  # nobody asks but for numbers
        self.silent: Scalar | None = None

    def _glance(self) -> None:
        """Make ready what `is_silent` looks at."""
        texts = self._texts
        told, families = set(texts.words.words), [texts.exact, texts.prefixes.words, texts.suffixes.words]
        seldom = [
            family if len(family) > _GLANCED or any(len(word) < _TELLING for word in family) else {}
            for family in families
        ]
        for family, turned, rest in zip(families, (False, False, True), seldom, strict=True):
            if not rest:
                told.update(word[:_WORD][::-1] if turned else word[:_WORD] for word in family)
        self._keys, self._first = keys_of(told), any_of(told)
        if any(seldom):
            exact, beginnings, ends = seldom
            least, last = min(map(len, beginnings), default=0), min(map(len, ends), default=1)
            heads, tails = {word[:least] for word in beginnings}, {word[:last][::-1] for word in ends}
            self._apart = exact, least, frozenset(heads), last, frozenset(tails)

    def is_silent(self, value: Scalar) -> bool:
        """Whether nobody is meant by a value; False, too, where that would have to be looked for more closely.

        All in one function and one pass over the text: in the midst of other work what costs is the memory that is touched.
        """
        if not isinstance(value, str):
            return self._is_gap(value)
        if len(value) > _LONGEST_REMEMBERED:
            return self._is_long_silent(value)
        if value.isascii():
            folded = value.lower()
        elif self._texts.folding:
            return False
        else:
            folded = fold(value)
        for key in self._keys:
            if key in folded:
                if self._first(folded):
                    return False
                break
        if self._apart is not None:
            exact, least, heads, last, tails = self._apart
            if folded in exact or folded[:least] in heads or folded[-last:] in tails:
                return False
        if self._closer and self.find(value):
            return False
        self.silent = value
        return True

    def _is_long_silent(self, value: str) -> bool:
        """As `is_silent`: what stands at a long text's beginning or end isn't sought in all of it."""
        if self.find(value):
            return False
        if len(value) <= _LONGEST_KEPT:
            self.silent = value
        return True

    def _is_gap(self, value: bool | float) -> bool:
        if isinstance(value, bool):
            return not self.find(value)
        low, high = self._gap
        if not low < value < high:
            if self.find(value):
                return False
            if not self._bare:  # somebody asks for a flag or text, and True equals 1
                return True
            self._gap = self._numbers.around(value)
        self.silent = value
        return True

    def find(self, value: Scalar) -> int:
        """The bits of all who may be meant by a value."""
        if not isinstance(value, str):
            return self._any | self._find_other(value)
        if not self._texts.alone or len(value) > _LONGEST_REMEMBERED:
            return self._any | self._texts.search(value)
        known = self._known.get(value)  # patterns that have to be tried one by one take long
        if known is None:
            known = self._any | self._texts.search(value)
            self._known.put(value, known)
        return known

    def _find_other(self, value: bool | float) -> int:
        found = 0 if self._texts.empty else self._texts.search(text_of(value))
        return found | (self._flags[value] if isinstance(value, bool) else self._numbers.find(value))


class _Texts:
    """Patterns of text, each filed where few others are.

    Attributes:
        exact: Who asks for a text itself.
        prefixes: … for its beginning.
        suffixes: … for its end, turned round.
        words: … for something in it, and so for a piece of text without which there is no match.
        folding: Who of the last doesn't mind case.
        alone: Who needs no text, and has to be tried.
        empty: Whether there is nobody.
    """

    __slots__ = ("_ends", "_held", "_longest", "alone", "empty", "exact", "folding", "prefixes", "suffixes", "words")

    def __init__(self) -> None:
        self.exact: dict[str, int] = {}
        self._ends: tuple[list[tuple[int, Glob]], list[tuple[int, Glob]]] = ([], [])
        self._held: list[tuple[int, Glob | Regex]] = []
        self._longest = 0
        self.prefixes = _Beginnings({})
        self.suffixes = _Beginnings({})
        self.words = Needles({})
        self.folding = 0
        self.alone: list[tuple[int, Pattern]] = []
        self.empty = True

    def add(self, bit: int, pattern: Glob | Regex) -> None:
        """Take a pattern; it is found once `file` was called."""
        self.empty = False
        match pattern:
            case Glob() if pattern.shape is Shape.EXACT:
                self.exact[pattern.anchor] = self.exact.get(pattern.anchor, 0) | bit
            case Glob() if pattern.shape in (Shape.PREFIX, Shape.SUFFIX):
                self._ends[pattern.shape is Shape.SUFFIX].append((bit, pattern))
            case _:
                self._held.append((bit, pattern))

    def file(self) -> None:
        """Put every pattern where it will be found."""
        beginnings, ends = self._ends
        self.prefixes = self._by_length(beginnings)
        self.suffixes = self._by_length(ends, turned=True)
        needs = [(bit, pattern, pattern.needs) for bit, pattern in self._held]
        common = Counter(
            word for _, _, several in needs for texts in several for text in texts for word in _words(text)
        )
        words: dict[str, int] = {}
        for bit, pattern, several in needs:
            chosen = min((_choice(texts, common) for texts in several), default=None)
            if chosen is None:
                self.alone.append((bit, pattern))
                continue
            for word in chosen[2]:
                words[word] = words.get(word, 0) | bit
            if isinstance(pattern, Regex) and pattern.folds:
                self.folding |= bit
        self.words = Needles(words)
        self._longest = max(map(len, self.exact), default=0)

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
        found = self.words.find(folded) | self.prefixes.find(folded)
        found |= self.suffixes.find(folded[-self.suffixes.longest :][::-1])
        if len(folded) <= self._longest:  # so that a longer one isn't hashed
            found |= self.exact.get(folded, 0)
        for bit, pattern in self.alone:
            if not found & bit and pattern.matches(text):
                found |= bit
        if not text.isascii():  # an expression that folds case may take such a character for one of ASCII's
            found |= self.folding
        return found


class _Beginnings:
    """Words of a few lengths, found where a text begins with them.

    Args:
        words: The bits of each; no word is empty.

    Attributes:
        words: See above.
        longest: Characters of a text's beginning that are looked at; 1 where it would be none.
    """

    __slots__ = ("_lengths", "longest", "words")

    def __init__(self, words: dict[str, int]) -> None:
        self.words = words
        self._lengths = sorted({len(word) for word in words})
        self.longest = max(self._lengths, default=1)

    def find(self, text: str) -> int:
        """The bits of the words that a text begins with."""
        found = 0
        for length in self._lengths:
            found |= self.words.get(text[:length], 0)
        return found


def _choice(texts: frozenset[str], common: Counter[str]) -> tuple[int, int, list[str]]:
    """The words of some texts that fewest patterns share, the longest of those; before them by what they are compared."""
    chosen = [min(_words(text), key=lambda word: (common[word], -len(word))) for text in sorted(texts)]
    return sum(common[word] for word in chosen), -min(map(len, chosen)), chosen


def _words(text: str) -> set[str]:
    """By what a text may be filed: all of it, or its beginning and its end."""
    return {text[:_WORD], text[-_WORD:]}
