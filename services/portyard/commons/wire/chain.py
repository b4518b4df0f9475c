"""The faults of one direction, one behind the other. Pure.

Lazy: a unit is worked on when its turn to be sent comes, so that slicing a megabyte into single octets never makes a million objects.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from portyard.commons.wire.units import End, Fault, Passing, Piece, Unit


class _Stage:
    """A fault at work, that says nothing after its end."""

    __slots__ = ("_ended", "_flow", "fault")

    def __init__(self, fault: Fault, rng: random.Random) -> None:
        self.fault = fault
        self._flow = fault.flow(rng)
        self._ended = False

    def over(self, at: float) -> bool:
        """Whether units pass as they are from then on."""
        return isinstance(self._flow, Passing) and self._flow.over(at)

    def carry(self, units: Iterator[Unit]) -> Iterator[Unit]:
        for unit in units:
            for given in self._flow(unit):
                self._ended = self._ended or isinstance(given, End)
                yield given
                if self._ended:
                    return

    @property
    def ended(self) -> bool:
        return self._ended


class Chain:
    """Faults in the order in which they are met; with none, units pass as they are.

    Args:
        stages: Those at work already.
    """

    __slots__ = ("_stages",)

    def __init__(self, stages: Iterable[_Stage] = ()) -> None:
        self._stages = tuple(stages)

    def __bool__(self) -> bool:
        return bool(self._stages)

    def has(self, fault: Fault, at: float) -> bool:
        """Whether such a fault is at work, or still to strike. A second one would strike later than it, or not at all."""
        return any(stage.fault == fault and not stage.over(at) for stage in self._stages)

    def and_then(self, fault: Fault, rng: random.Random, at: float = 0.0) -> Chain:
        """This chain with one more fault at its end; those before it keep what they have counted, but those that are over by then go."""
        return Chain((*(stage for stage in self._stages if not stage.over(at)), _Stage(fault, rng)))

    def begin(self, at: float) -> Iterator[Unit]:
        """What the last fault has to say at once, being armed."""
        return self._through(self._stages[-1:], Piece(at, b""))

    def carry(self, unit: Unit) -> Iterator[Unit]:
        """What is sent on in place of a unit; to be used up before the next unit's."""
        return self._through(self._stages, unit)

    @staticmethod
    def _through(stages: tuple[_Stage, ...], unit: Unit) -> Iterator[Unit]:
        units: Iterator[Unit] = iter((unit,))
        for stage in stages:
            units = _unless_ended(stage, units)
        return units


def _unless_ended(stage: _Stage, units: Iterator[Unit]) -> Iterator[Unit]:
    if not stage.ended:
        yield from stage.carry(units)


def chain_of(faults: Iterable[Fault], rng: random.Random) -> Chain:
    """Faults at work, the first one nearest to where octets come from."""
    return Chain(_Stage(fault, rng) for fault in faults)
