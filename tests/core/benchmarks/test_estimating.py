"""What slices of a benchmark say."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest

from benchmarks.estimating import OTHERS, STOLEN, Slice, compare, cpu, per_unit, time, undisturbed


def blocks(count: int, dearer: float, noise: float = 0.2, seed: int = 1) -> list[Slice]:
    """Slices of two sides; a block's luck hits both, and each slice has its own."""
    chance = random.Random(seed)
    found = []
    for block in range(count):
        drift = 1 + chance.random()
        for side in ("on", "off", "off", "on"):
            cost = 1000 * drift * (1 + noise * (chance.random() - 0.5)) * (dearer if side == "on" else 1.0)
            found.append(Slice(side, block, 100, cost / 1e6, int(cost * 100)))
    return found


def test_the_share_is_that_of_the_means() -> None:
    slices = [Slice("on", 0, 10, 2.0, 1300), Slice("off", 0, 20, 2.0, 2000)]
    assert compare(slices, "on", "off").share == pytest.approx(0.3)
    assert compare(slices, "on", "off", time).share == pytest.approx(1.0)
    assert per_unit(slices, "off", cpu) == 100


@pytest.mark.parametrize("dearer", [1.0, 1.1, 1.3])
def test_the_interval_holds_what_is_true_and_is_narrower_than_the_noise(dearer: float) -> None:
    found = compare(blocks(150, dearer), "on", "off")
    assert found.low <= dearer - 1 <= found.high
    assert found.high - found.low < 0.03
    assert found.blocks == 150


def test_nineteen_of_twenty_intervals_hold_what_is_true() -> None:
    held = 0
    for seed in range(200):
        found = compare(blocks(40, 1.1, seed=seed), "on", "off", resamples=200)
        held += found.low <= 0.1 <= found.high
    assert 0.88 <= held / 200 <= 0.99


def test_drift_that_hits_both_sides_alike_is_no_difference() -> None:
    slices = [Slice(side, block, 1, 1.0, 100 * (block + 1)) for block in range(20) for side in ("a", "b")]
    found = compare(slices, "a", "b")
    assert (found.share, found.low, found.high) == (0.0, 0.0, 0.0)


def test_what_is_written_at_the_end_of_a_block_is_charged() -> None:
    slices = [Slice(side, block, 50, 0.1, 5000) for block in range(4) for side in ("on", "off")]
    written = [Slice("on", block, 0, 0.0, 500) for block in range(4)]
    assert compare([*slices, *written], "on", "off").share == pytest.approx(0.1)
    assert compare([*slices, *written], "on", "off", time).share == 0


def test_what_happens_seldom_is_in_the_mean() -> None:
    """Old events are dropped in one block of ten; a median would never know."""
    slices = [Slice(side, block, 10, 0.1, 1000) for block in range(100) for side in ("on", "off")]
    slices += [Slice("on", block, 0, 0.0, 2000) for block in range(0, 100, 10)]
    assert compare(slices, "on", "off").share == pytest.approx(0.2)


def test_nothing_to_compare_is_no_estimate() -> None:
    one_side: Sequence[Slice] = [Slice("on", 0, 10, 0.1, 100)]
    assert math.isnan(compare(one_side, "on", "off").share)
    assert math.isnan(compare((), "on", "off").low)
    assert math.isnan(per_unit(one_side, "off", cpu))


def test_disturbed_blocks_do_not_count_whatever_they_found() -> None:
    quiet = [Slice("on", block, 10, 0.1, 100) for block in range(3)]
    stolen = Slice("on", 3, 10, 0.1, 100, stolen=STOLEN * 2)
    shared = Slice("on", 4, 10, 0.1, 100, others=OTHERS * 2)
    dear = Slice("on", 5, 10, 0.1, 100_000)
    assert undisturbed([*quiet, stolen, shared, dear]) == [*quiet, dear]


def test_where_most_are_disturbed_all_count() -> None:
    slices = [Slice("on", block, 10, 0.1, 100, others=1.0 if block else 0.0) for block in range(4)]
    assert undisturbed(slices) == slices
