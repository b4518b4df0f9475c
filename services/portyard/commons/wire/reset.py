"""Reset: a RST behind the nth octet. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import ClassVar

from portyard.commons.wire.ending import end_after
from portyard.commons.wire.units import Flow, How, at_least


@dataclass(frozen=True, slots=True)
class Reset:
    """A real RST, to both peers.

    What was carried before it has been acknowledged by the receiver's kernel when it is sent (unless that takes longer than the relay
    waits), so that it can be read: a reader on Linux gets all of it and then ECONNRESET; other systems may throw it away.

    Attributes:
        after_octets: So many are carried; 0 resets at once.
    """

    name: ClassVar[str] = "reset"
    after_octets: int = 0

    def __post_init__(self) -> None:
        at_least("after_octets", self.after_octets, 0)

    def flow(self, rng: random.Random) -> Flow:
        """See Fault."""
        return end_after(self.after_octets, How.RESET, self.name)
