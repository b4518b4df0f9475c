"""What slices say: a ratio of two sides, and how sure it is. Pure.

The sides have their slices in blocks, each side in each block as often as the other, so that drift of the machine hits both. A side's
cost is its mean over all its slices, not a median: what happens now and then (old events are dropped) belongs to it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

STOLEN: Final = 0.02
"""The share of the machine that its host may have taken in a block that counts."""
OTHERS: Final = 0.15
"""The same of other programs."""
RESAMPLES: Final = 2000
CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice of work.

    Attributes:
        side: Whose.
        block: In which round.
        units: What was done; 0 where only what was noted is written.
        seconds: From the first command to the last answer.
        cpu_ns: Processor time of the server, until all that the slice caused was written.
        stolen: The share of the machine that its host took during the block.
        others: The share that other programs had.
    """

    side: str
    block: int
    units: int
    seconds: float
    cpu_ns: int
    stolen: float = 0.0
    others: float = 0.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share by which one side is dearer than the other.

    Attributes:
        share: The estimate; 0.1 is a tenth more.
        low: Where the interval begins.
        high: Where it ends.
        blocks: How many it stands on.
    """

    share: float
    low: float
    high: float
    blocks: int = 0


Measure = Callable[[Slice], float]


def cpu(one: Slice) -> float:
    """What is estimated where the processor's time counts."""
    return one.cpu_ns


def time(one: Slice) -> float:
    """What is estimated where throughput counts."""
    return one.seconds


def undisturbed(slices: Sequence[Slice]) -> list[Slice]:
    """Those of blocks in which the machine was ours; where most weren't, all of them. What they found isn't looked at."""
    kept = [one for one in slices if one.stolen <= STOLEN and one.others <= OTHERS]
    return kept if len(kept) * 2 > len(slices) else list(slices)


def per_unit(slices: Sequence[Slice], side: str, measure: Measure) -> float:
    """A side's mean of one unit; NaN where it has none."""
    whole = sum(measure(one) for one in slices if one.side == side)
    units = sum(one.units for one in slices if one.side == side)
    return whole / units if units else math.nan


def compare(
    slices: Sequence[Slice], side: str, against: str, measure: Measure = cpu, resamples: int = RESAMPLES
) -> Estimate:
    """By what share a unit is dearer on a side than on the other.

    The interval is the bootstrap's over blocks, drawn with replacement: slices of a block saw the same minute of the machine.
    """
    sums = _sums(slices, side, against, measure)
    count = len(sums)
    share = _share(sums)
    if math.isnan(share):
        return Estimate(math.nan, math.nan, math.nan, count)
    chance = random.Random(20_000)
    found = [_share(chance.choices(sums, k=len(sums))) for _ in range(resamples)]
    found = sorted(each for each in found if not math.isnan(each))
    edge = (1 - CONFIDENCE) / 2
    return Estimate(share, found[int(edge * len(found))], found[int((1 - edge) * (len(found) - 1))], count)


Sums = tuple[float, int, float, int]
"""One block's: a side's measure and units, and the other's."""


def _sums(slices: Sequence[Slice], side: str, against: str, measure: Measure) -> list[Sums]:
    found: dict[int, list[float]] = {}
    for one in slices:
        if one.side in (side, against):
            place = found.setdefault(one.block, [0.0, 0, 0.0, 0])
            offset = 0 if one.side == side else 2
            place[offset] += measure(one)
            place[offset + 1] += one.units
    return [(first, int(units), other, int(others)) for first, units, other, others in found.values()]


def _share(sums: Sequence[Sums]) -> float:
    """By what share the first side's mean is more than the other's."""
    ours, units = sum(each[0] for each in sums), sum(each[1] for each in sums)
    theirs, others = sum(each[2] for each in sums), sum(each[3] for each in sums)
    return (ours / units) / (theirs / others) - 1 if units and others and theirs else math.nan
