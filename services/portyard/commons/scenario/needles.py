"""Finds which of many words a text holds, in one pass of C: the words become one expression, branching letter by letter. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_END = ""  # the letter behind a word's last

Trie = dict[str, Any]


class Needles:
    """Words with bits.

    Args:
        words: The bits of each; no word is empty.

    Attributes:
        first: Finds the first of them in a text, or None; None where there is no word.
    """

    __slots__ = ("_each", "_expression", "_words", "first")

    def __init__(self, words: Mapping[str, int]) -> None:
        self._words = words
        self._expression = _expression(_trie(words)) if words else ""
        self.first: Callable[[str], object] | None = re.compile(self._expression).search if words else None
        self._each: tuple[Callable[[str], list[str]], Mapping[str, int]] | None = None

    def find(self, text: str) -> int:
        """The bits of all words that a text holds."""
        if self.first is None or self.first(text) is None:
            return 0
        each, bits = self._each or self._finder()
        found = 0
        for word in each(text):
            found |= bits[word]
        return found

    def _finder(self) -> tuple[Callable[[str], list[str]], Mapping[str, int]]:
        """Finds every word; made when the first is found, since a second expression takes as long to make as the first."""
        # Where several words begin the longest is found: it stands for those that it begins with.
        bits = {word: _with_beginnings(word, self._words) for word in self._words}
        self._each = re.compile(f"(?=({self._expression}))").findall, bits
        return self._each


def _with_beginnings(word: str, words: Mapping[str, int]) -> int:
    bits = 0
    for end in range(1, len(word) + 1):
        bits |= words.get(word[:end], 0)
    return bits


def _trie(words: Mapping[str, int]) -> Trie:
    root: Trie = {}
    for word in words:
        node = root
        for letter in word:
            node = node.setdefault(letter, {})
        node[_END] = {}
    return root


def _expression(node: Trie) -> str:
    """What follows at a node; letters with the same rest are one class."""
    rests: dict[str, list[str]] = {}
    for letter, inner in node.items():
        if letter != _END:
            rests.setdefault(_expression(inner), []).append(letter)
    choices = [_letters(letters) + rest for rest, letters in rests.items()]
    if not choices:
        return ""
    if len(choices) == 1 and _END not in node:
        return choices[0]
    return f"(?:{'|'.join(choices)})" + ("?" if _END in node else "")


def _letters(letters: list[str]) -> str:
    return re.escape(letters[0]) if len(letters) == 1 else f"[{''.join(map(re.escape, letters))}]"
