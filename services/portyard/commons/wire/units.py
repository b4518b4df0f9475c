"""What travels through a fault: timed pieces and ends, as values. Pure.

Time is the loop's, in seconds; a unit's `at` is the earliest moment at which it may be sent on. A fault never sends: it says what is to be
sent when, and the relay obeys.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Literal, Protocol, runtime_checkable

Direction = Literal["up", "down"]
"""`up` is from the client to the room, `down` the way back."""

FOREVER = float("inf")


class How(Enum):
    """How a direction ends."""

    FIN = "fin"
    """This direction only; the other goes on."""
    CLOSE = "close"
    """Both directions, by FIN."""
    RESET = "reset"
    """Both directions, by RST."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Octets that are sent together.

    Attributes:
        at: Not before.
        data: The octets; none at all in the piece that begins a flow.
        gap_s: And not before so many seconds after the piece before it was sent indeed, however late that was.
    """

    at: float
    data: bytes
    gap_s: float = 0.0


@dataclass(frozen=True, slots=True)
class End:
    """The last unit of a flow.

    Attributes:
        at: Not before.
        how: How it ends.
        fault: The fault that ended it, by its name; empty where a peer did.
    """

    at: float
    how: How
    fault: str = ""


Unit = Piece | End
Flow = Callable[[Unit], Iterator[Unit]]
"""One fault at work on one direction of one connection.

It is called with each unit in turn, the first being an empty piece at the moment at which the fault is armed, and gives what is sent on in
its place, in order and with times that never go back. It is not called again once it gave an `End`.
"""


@runtime_checkable
class Passing(Protocol):
    """A flow that does its work once."""

    def over(self, at: float) -> bool:
        """Whether it is done: units that come from that moment on pass as they are."""


class Fault(Protocol):
    """A fault as data; two that are equal do the same."""

    @property
    def name(self) -> str:
        """The word by which rules ask for it."""

    def flow(self, rng: random.Random) -> Flow:
        """The fault at work.

        Args:
            rng: Its chance; the same seed gives the same misbehaviour.
        """


def at_least(name: str, value: float, least: float) -> None:
    """Refuse a number that makes no sense.

    Raises:
        ValueError: It is less, or not a number.
    """
    if not value >= least:
        raise ValueError(f"{name} = {value!r}: expected a number from {least:g} on")
