"""Latency: every octet arrives later, none of them earlier than one before it. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from portyard.commons.wire.units import Flow, Unit, at_least


@dataclass(frozen=True, slots=True)
class Latency:
    """A long line. The first octet, the last one and the end are late alike; how much goes through isn't limited.

    Attributes:
        delay_s: By so many seconds.
        jitter_s: And by up to so many more, drawn for each piece.
    """

    name: ClassVar[str] = "latency"
    delay_s: float
    jitter_s: float = 0.0

    def __post_init__(self) -> None:
        at_least("delay_s", self.delay_s, 0)
        at_least("jitter_s", self.jitter_s, 0)

    def flow(self, rng: random.Random) -> Flow:
        """See Fault."""
        last = 0.0

        def carry(unit: Unit) -> Iterator[Unit]:
            nonlocal last
            jitter_s = rng.uniform(0, self.jitter_s) if self.jitter_s else 0.0
            last = max(last, unit.at + self.delay_s + jitter_s)  # TCP delivers in order: who is early waits
            yield replace(unit, at=last)

        return carry
