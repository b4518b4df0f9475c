"""Answers that are remembered only while somebody asks again: what never comes twice isn't worth the memory it would touch. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

_WORTH = 4  # of so many kept answers one must have been asked for again, or remembering didn't pay
_RESTS = 8  # times as many questions as are kept pass before it is tried again

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memory(Generic[K, V]):
    """So many answers at most.

    Args:
        most: How many.
    """

    __slots__ = ("_hits", "_known", "_most", "_rest")

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[K, V] = {}
        self._hits = 0
        self._rest = 0  # questions for which nothing is kept, and nothing sought

    def get(self, question: K) -> V | None:
        """The answer; None where it isn't known."""
        if self._rest:
            return None
        answer = self._known.get(question)
        if answer is not None:
            self._hits += 1
        return answer

    def put(self, question: K, answer: V) -> None:
        """Keep an answer, unless it doesn't pay."""
        if self._rest:
            self._rest -= 1
            return
        if len(self._known) >= self._most:
            if self._hits * _WORTH < self._most:
                self._rest = self._most * _RESTS
            self._known.clear()
            self._hits = 0
            if self._rest:
                return
        self._known[question] = answer
