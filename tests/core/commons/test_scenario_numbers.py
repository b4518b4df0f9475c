"""Bounds: who takes a number, and how far around it the same take every other."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from portyard.commons.scenario.numbers import Bounds
from portyard.commons.scenario.patterns import Range

NUMBERS = st.one_of(st.integers(-6, 6), st.sampled_from([-1.5, 0.5, math.inf, -math.inf, 2.0**60, 2**60 + 1]))
RANGES = st.builds(Range, NUMBERS, NUMBERS, st.booleans(), st.booleans())


@given(st.lists(RANGES, max_size=80), st.lists(NUMBERS, min_size=1, max_size=12))
def test_the_same_take_every_number_between_two_bounds(ranges: list[Range], numbers: list[float]) -> None:
    bounds = Bounds([(1 << place, one) for place, one in enumerate(ranges)])
    for number in numbers:
        found = bounds.find(number)
        for place, one in enumerate(ranges):
            assert found >> place & 1 or not one.matches(number)
        low, high = bounds.around(number)
        assert low <= number <= high
        for other in numbers:
            if low < other < high:
                assert bounds.find(other) == found


def test_without_a_bound_all_numbers_are_alike() -> None:
    assert Bounds([]).find(7) == 0
    assert Bounds([]).around(7) == (-math.inf, math.inf)
    assert Bounds([(1, Range(low=10)), (2, Range(high=-3, high_in=True))]).around(0)[1] == math.nextafter(10, math.inf)
