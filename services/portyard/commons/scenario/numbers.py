"""Which of many bounds a number keeps to, found by halving. Pure; bounds come with the bit of their owner."""

from __future__ import annotations

import bisect
import itertools
import math

from portyard.commons.scenario.patterns import Range

_EXACT = 2.0**52  # below it a float has room between two whole numbers
_STRIDE = 32  # bounds between two that know the sum of all before them
_GAPS = 256  # pairs of places among such bounds, of which it is known who takes the numbers there


class Bounds:
    """Ranges of many owners.

    Args:
        ranges: The owner's bit, and its range.
    """

    __slots__ = ("_between", "_highs", "_lows")

    def __init__(self, ranges: list[tuple[int, Range]]) -> None:
        self._lows = _Sums([(one.low if one.low_in else _beyond(one.low), bit) for bit, one in ranges])
        self._highs = _Sums([(-one.high if one.high_in else _beyond(-one.high), bit) for bit, one in ranges])
        self._between: dict[tuple[int, int], int] = {}

    def find(self, number: float) -> int:
        """Who takes a number; it is the same for all between two bounds."""
        place = self._lows.place(number), self._highs.place(-number)
        found = self._between.get(place)
        if found is None:
            found = self._lows.up_to(place[0]) & self._highs.up_to(place[1])
            if len(self._between) >= _GAPS:
                self._between.clear()
            self._between[place] = found
        return found

    def around(self, number: float) -> tuple[float, float]:
        """Two bounds with the number between them, or on one of them; the same owners take every number between."""
        low, high = self._lows.around(number)
        least, most = self._highs.around(-number)
        return max(low, -most), min(high, -least)


class _Sums:
    """Numbers with bits: the bits of all up to a number, without adding them all.

    Args:
        bounds: They.
    """

    __slots__ = ("_bits", "_bounds", "_sums")

    def __init__(self, bounds: list[tuple[float, int]]) -> None:
        self._bounds = [bound for bound, _ in sorted(bounds)]
        self._bits = [bit for _, bit in sorted(bounds)]
        sums = itertools.accumulate(self._bits, int.__or__, initial=0)
        self._sums = list(itertools.islice(sums, 0, None, _STRIDE))

    def place(self, number: float) -> int:
        """How many bounds aren't greater than a number."""
        return bisect.bisect_right(self._bounds, number)

    def around(self, number: float) -> tuple[float, float]:
        """The last bound that isn't greater than a number, and the next."""
        place = self.place(number)
        last = self._bounds[place - 1] if place else -math.inf
        return last, self._bounds[place] if place < len(self._bounds) else math.inf

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
