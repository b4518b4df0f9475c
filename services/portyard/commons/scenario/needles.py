"""Finds which of many words a text holds, in one pass of C: the words become one expression, branching letter by letter. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

_END = ""  # the letter behind a word's last

Trie = dict[str, Any]
Finds = Callable[[str], re.Match[str] | None]


class Needles:
    """Words with bits.

    Args:
        words: The bits of each; no word is empty.
    """

    __slots__ = ("_any", "_bits", "_each", "words")

    def __init__(self, words: Mapping[str, int]) -> None:
        self.words = words
        self._any: Finds | None = None
        self._each: Callable[[str, int], list[str]] | None = None
        # Where several words begin the longest is found: it stands for those that it begins with.
        self._bits = {word: _with_beginnings(word, words) for word in words}

    def find(self, text: str) -> int:
        """The bits of all words that a text holds."""
        if not self.words:
            return 0
        if self._any is None or self._each is None:  # made when they are wanted: mostly a glance tells all
            self._any = _first_of(self.words)
            self._each = re.compile(f"(?=({_expression(_trie(self.words))}))").findall
        first = self._any(text)
        if first is None:
            return 0
        found = 0
        for word in self._each(text, first.start()):
            found |= self._bits[word]
        return found


def any_of(words: Collection[str]) -> Callable[[str], object]:
    """Tells, by something that is true, whether a text holds any of some words."""
    if len(words) == 1:  # mostly, where a test sets a rule of its own: an expression takes longer to make than it saves
        (word,) = words
        return lambda text: word in text
    return _first_of(words)


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
