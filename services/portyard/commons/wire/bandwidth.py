"""Bandwidth: a narrow line. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from portyard.commons.wire.units import End, Flow, Unit

GRAIN_S = 0.02  # a line that takes seconds for a piece hands it over in grains, as a modem does
LARGEST_GRAIN = 64 * 1024


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """So much and no more. A grain arrives when its last octet has gone through; an idle line saves nothing up.

    Attributes:
        octets_per_s: How narrow, in octets a second.
    """

    name: ClassVar[str] = "bandwidth"
    octets_per_s: float

    def __post_init__(self) -> None:
        if not self.octets_per_s > 0:
            raise ValueError(f"octets_per_s = {self.octets_per_s!r}: expected a number above 0; stall carries nothing")

    def flow(self, rng: random.Random) -> Flow:
        """See Fault."""
        grain = min(LARGEST_GRAIN, max(1, int(self.octets_per_s * GRAIN_S)))
        free = 0.0

        def carry(unit: Unit) -> Iterator[Unit]:
            nonlocal free
            if isinstance(unit, End):
                yield replace(unit, at=max(unit.at, free))
                return
            for start in range(0, len(unit.data), grain):
                data = unit.data[start : start + grain]
                free = max(free, unit.at) + len(data) / self.octets_per_s
                yield replace(unit, at=free, data=data, gap_s=0.0 if start else unit.gap_s)

        return carry
