"""Corrupt: octets that arrive changed, none lost and none added. Pure.

No checksum of TCP's notices: it is as if a middlebox had done it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from portyard.commons.wire.units import End, Flow, Unit, at_least

_NEVER = 1e18  # octets: no connection lives so long


@dataclass(frozen=True, slots=True)
class Corrupt:
    """Which octets are changed depends on the seed alone, never on how they were cut into segments.

    Attributes:
        after_octets: So many arrive well first.
        octets: So many in a row are changed then; 0 to let chance alone decide.
        chance: The share of the octets behind those that are changed, each one by itself.
        mask: What an octet is changed by, exclusive or: 1 to 255.
    """

    name: ClassVar[str] = "corrupt"
    after_octets: int = 1
    octets: int = 1
    chance: float = 0.0
    mask: int = 0xFF

    def __post_init__(self) -> None:
        at_least("after_octets", self.after_octets, 0)
        at_least("octets", self.octets, 0)
        if not 0 <= self.chance <= 1:
            raise ValueError(f"chance = {self.chance!r}: expected a share from 0 to 1")
        if not 1 <= self.mask <= 255:
            raise ValueError(f"mask = {self.mask!r}: expected 1 to 255; 0 would change nothing")

    def flow(self, rng: random.Random) -> Flow:
        """See Fault."""
        offsets = self._offsets(rng)
        position = 0
        target = next(offsets, None)

        def carry(unit: Unit) -> Iterator[Unit]:
            nonlocal position, target
            if isinstance(unit, End):
                yield unit
                return
            end = position + len(unit.data)
            if target is not None and target < end:
                changed = bytearray(unit.data)
                while target is not None and target < end:
                    changed[target - position] ^= self.mask
                    target = next(offsets, None)
                unit = replace(unit, data=bytes(changed))
            position = end
            yield unit

        return carry

    def _offsets(self, rng: random.Random) -> Iterator[int]:
        """Where octets are changed, ascending."""
        first = self.after_octets + self.octets
        yield from range(self.after_octets, first)
        if self.chance <= 0:
            return
        at = first - 1
        while True:
            # One draw for each octet that is changed, not for each that isn't: the gaps are distributed geometrically.
            skipped = 0.0 if self.chance >= 1 else math.log(1 - rng.random()) / math.log1p(-self.chance)
            at += 1 + int(min(skipped, _NEVER))
            yield at
