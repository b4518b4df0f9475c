"""Slice: segments cut small. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from portyard.commons.wire.units import End, Flow, Piece, Unit, at_least


@dataclass(frozen=True, slots=True)
class Slice:
    """Each piece is written to the socket by itself; only with a gap between them is it sure that the reader sees them one by one.

    Attributes:
        octets: The size of a piece.
        variation: A piece has up to so many octets more or less, drawn for each; at least one octet stays.
        gap_s: Seconds from one piece to the next.
    """

    name: ClassVar[str] = "slice"
    octets: int
    variation: int = 0
    gap_s: float = 0.0

    def __post_init__(self) -> None:
        at_least("octets", self.octets, 1)
        at_least("variation", self.variation, 0)
        at_least("gap_s", self.gap_s, 0)

    def flow(self, rng: random.Random) -> Flow:
        """See Fault."""
        next_at = 0.0

        def carry(unit: Unit) -> Iterator[Unit]:
            nonlocal next_at
            if isinstance(unit, End):
                yield replace(unit, at=max(unit.at, next_at))
                return
            start = 0
            while start < len(unit.data):
                size = self.octets
                if self.variation:
                    size = max(1, size + rng.randint(-self.variation, self.variation))
                at = max(unit.at, next_at)
                next_at = at + self.gap_s
                yield Piece(at, unit.data[start : start + size], self.gap_s)
                start += size

        return carry
