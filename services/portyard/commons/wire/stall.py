"""Stall: nothing more is carried, and the connection stays open. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from portyard.commons.wire.units import FOREVER, End, Flow, Unit, at_least


@dataclass(frozen=True, slots=True)
class Stall:
    """A line that goes quiet behind its nth octet. Ends wait like octets; what waits is bounded, then the sender waits in TCP.

    An end may be half a close, behind which its peer waits for an answer: nobody hears of it, and nothing is let go of. A peer that is gone
    altogether is another matter: its RST overtakes what never comes.

    Attributes:
        after_octets: So many are carried first, exactly.
        for_s: It goes on after so many seconds; None for never.
    """

    name: ClassVar[str] = "stall"
    after_octets: int = 0
    for_s: float | None = None

    def __post_init__(self) -> None:
        at_least("after_octets", self.after_octets, 0)
        if self.for_s is not None:
            at_least("for_s", self.for_s, 0)

    def flow(self, rng: random.Random) -> Flow:
        """See Fault."""
        return _Stalling(self.after_octets, self.for_s)


class _Stalling:
    def __init__(self, left: int, for_s: float | None) -> None:
        self._left = left
        self._for_s = for_s
        self._until: float | None = None

    def over(self, at: float) -> bool:
        """See Passing."""
        return self._until is not None and self._until <= at

    def __call__(self, unit: Unit) -> Iterator[Unit]:
        if self._until is None:
            left = self._left
            if isinstance(unit, End) or len(unit.data) < left:
                self._left -= 0 if isinstance(unit, End) else len(unit.data)
                yield unit
                return
            if left:
                yield replace(unit, data=unit.data[:left])
            self._until = FOREVER if self._for_s is None else unit.at + self._for_s
            unit = replace(unit, data=unit.data[left:])
        if isinstance(unit, End) or unit.data:
            yield replace(unit, at=max(unit.at, self._until))
