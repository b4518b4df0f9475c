"""Finds which of many words a text holds, in one pass of C: the words become one expression, branching letter by letter. Pure.

Such a pass takes some nanoseconds for each of the text's characters, a tenth of which is enough to look for one word. So few keys are
looked for before, where few are enough: many rules mostly differ in a number or a name, and have what is around it in common.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

_END = ""  # the letter behind a word's last
_MOST_KEYS = 4  # as many are looked for in a short text while an expression would be in it
_PIECE = 3  # characters of a word, by which the others are found that have them in common

Trie = dict[str, Any]
Finds = Callable[[str], re.Match[str] | None]


class Needles:
    """Words with bits.

    Args:
        words: The bits of each; no word is empty.
    """

    __slots__ = ("_any", "_bits", "_each", "_keys", "words")

    def __init__(self, words: Mapping[str, int]) -> None:
        self.words = words
        self._keys: tuple[str, ...] | None = None
        self._any: Finds | None = None
        self._each: Callable[[str, int], list[str]] | None = None
        # Where several words begin the longest is found: it stands for those that it begins with.
        self._bits = {word: _with_beginnings(word, words) for word in words}

    def find(self, text: str) -> int:
        """The bits of all words that a text holds."""
        if self._keys is None:  # made when they are wanted: mostly a glance tells all
            self._keys = keys_of(self.words)
        for key in self._keys:
            if key in text:
                return self._find(text)
        return 0

    def _find(self, text: str) -> int:
        if self._any is None or self._each is None:
            self._any = _first_of(self.words)
            self._each = re.compile(f"(?=({_expression(_trie(self.words))}))").findall
        first = self._any(text)
        if first is None:
            return 0
        found = 0
        for word in self._each(text, first.start()):
            found |= self._bits[word]
        return found


def keys_of(words: Collection[str]) -> tuple[str, ...]:
    """Few texts, of which every word holds one: what holds none of them holds no word.

    Args:
        words: None of them empty.

    Returns:
        The texts, some of them words; the empty one alone, which is in every text, where few others aren't enough.
    """
    if len(words) <= _MOST_KEYS:
        return tuple(words)
    left, keys = set(words), list[str]()
    while left:
        shared = Counter(piece for word in left for piece in set(_pieces(word)))
        piece = max(shared, key=lambda piece: (shared[piece], piece))
        if shared[piece] * (_MOST_KEYS - len(keys)) < len(left):
            return ("",)
        holding = {word for word in left if piece in word}
        keys.append(_widened(piece, holding))
        left -= holding
    return tuple(keys)


def _pieces(word: str) -> Iterator[str]:
    return (word[at : at + _PIECE] for at in range(max(1, len(word) - _PIECE + 1)))


def _widened(piece: str, words: Collection[str]) -> str:
    """The longest text around a piece that words have in common: one that is longer is found faster, and more seldom."""
    parted = [word.partition(piece) for word in words]
    before = _beginning([before[::-1] for before, _, _ in parted])[::-1]
    return before + piece + _beginning([behind for _, _, behind in parted])


def _beginning(texts: Collection[str]) -> str:
    """What texts begin with, all of them: the first and the last by the alphabet have no more in common."""
    first, last = min(texts), max(texts)
    return next((first[:at] for at, letter in enumerate(first) if letter != last[at]), first)


def any_of(words: Collection[str]) -> Callable[[str], object]:
    """Tells, by something that is true, whether a text holds any of some words."""
    if len(words) == 1:  # mostly, where a test sets a rule of its own: an expression takes longer to make than it saves
        (word,) = words
        return lambda text: word in text
    made: list[Finds] = []

    def first(text: str) -> object:
        if not made:  # mostly the words' keys tell all
            made.append(_first_of(words))
        return made[0](text)

    return first


def _first_of(words: Iterable[str]) -> Finds:
    return re.compile(_expression(_trie(words), shortest=True) or r"(?!)").search


def _with_beginnings(word: str, words: Mapping[str, int]) -> int:
    bits = 0
    for end in range(1, len(word) + 1):
        bits |= words.get(word[:end], 0)
    return bits


def _trie(words: Iterable[str]) -> Trie:
    root: Trie = {}
    for word in words:
        node = root
        for letter in word:
            node = node.setdefault(letter, {})
        node[_END] = {}
    return root


def _expression(node: Trie, *, shortest: bool = False) -> str:
    """What follows at a node; letters with the same rest are one class. Of words that begin alike the shortest or the longest is found."""
    if shortest and _END in node:
        return ""
    rests: dict[str, list[str]] = {}
    for letter, inner in node.items():
        if letter != _END:
            rests.setdefault(_expression(inner, shortest=shortest), []).append(letter)
    choices = [_letters(letters) + rest for rest, letters in rests.items()]
    if not choices:
        return ""
    if len(choices) == 1 and _END not in node:
        return choices[0]
    return f"(?:{'|'.join(choices)})" + ("?" if _END in node else "")


def _letters(letters: list[str]) -> str:
    return re.escape(letters[0]) if len(letters) == 1 else f"[{''.join(map(re.escape, letters))}]"
