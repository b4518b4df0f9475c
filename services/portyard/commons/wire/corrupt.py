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
        return _Corrupting(self._offsets(rng), self.mask)

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


class _Corrupting:
    def __init__(self, offsets: Iterator[int], mask: int) -> None:
        self._offsets = offsets
        self._mask = mask
        self._position = 0
        self._target = next(offsets, None)

    def over(self, at: float) -> bool:
        """See Passing."""
        return self._target is None

    def __call__(self, unit: Unit) -> Iterator[Unit]:
        if isinstance(unit, End):
            yield unit
            return
        end = self._position + len(unit.data)
        if self._target is not None and self._target < end:
            changed = bytearray(unit.data)
            while self._target is not None and self._target < end:
                changed[self._target - self._position] ^= self._mask
                self._target = next(self._offsets, None)
            unit = replace(unit, data=bytes(changed))
        self._position = end
        yield unit
