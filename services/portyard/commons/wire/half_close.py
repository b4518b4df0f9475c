"""Half-close: one direction ends, the other goes on. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import ClassVar

from portyard.commons.wire.ending import end_after
from portyard.commons.wire.units import Flow, How, at_least


@dataclass(frozen=True, slots=True)
class HalfClose:
    """The receiver reads to the end of file and may still send. What the sender has to say beyond it is taken and dropped.

    Attributes:
        after_octets: So many are carried; 0 ends it at once.
    """

    name: ClassVar[str] = "half_close"
    after_octets: int = 0

    def __post_init__(self) -> None:
        at_least("after_octets", self.after_octets, 0)

    def flow(self, rng: random.Random) -> Flow:
        """See Fault."""
        return end_after(self.after_octets, How.FIN, self.name)
