"""Cut: the connection is closed behind its nth octet. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import ClassVar

from portyard.commons.wire.ending import end_after
from portyard.commons.wire.units import Flow, How, at_least


@dataclass(frozen=True, slots=True)
class CutAfter:
    """Both peers read to the end of file.

    The receiver got so many octets exactly; what was on its way back arrives, what comes later is dropped.

    Attributes:
        octets: So many are carried; 0 closes at once.
    """

    name: ClassVar[str] = "cut_after"
    octets: int

    def __post_init__(self) -> None:
        at_least("octets", self.octets, 0)

    def flow(self, rng: random.Random) -> Flow:
        """See Fault."""
        return end_after(self.octets, How.CLOSE, self.name)
