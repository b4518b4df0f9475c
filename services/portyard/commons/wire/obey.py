"""From the words of a rule to faults at work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import UNSET, UnsetType

from portyard.commons.scenario import actions
from portyard.commons.wire.bandwidth import Bandwidth
from portyard.commons.wire.corrupt import Corrupt
from portyard.commons.wire.cut_after import CutAfter
from portyard.commons.wire.half_close import HalfClose
from portyard.commons.wire.latency import Latency
from portyard.commons.wire.reset import Reset
from portyard.commons.wire.slice import Slice
from portyard.commons.wire.stall import Stall
from portyard.commons.wire.units import Direction, Fault


def faults_of(asked: Iterable[object]) -> list[tuple[Direction, Fault]]:
    """What the actions of the bytes gate ask for, in their order; other actions ask nothing of the wire."""
    return [
        (direction, fault)
        for action in asked
        for fault in _fault_of(action)
        for direction in _directions(getattr(action, "direction", UNSET))
    ]


def _fault_of(action: object) -> Iterator[Fault]:
    match action:
        case actions.Latency():
            yield Latency(action.delay_s, action.jitter_s)
        case actions.Bandwidth():
            yield Bandwidth(action.octets_per_s)
        case actions.Slice():
            yield Slice(action.octets, action.variation, action.gap_s)
        case actions.Stall():
            yield Stall(action.after_octets, action.for_s)
        case actions.CutAfter():
            yield CutAfter(action.octets)
        case actions.Reset():
            yield Reset(action.after_octets)
        case actions.HalfClose():
            yield HalfClose(action.after_octets)
        case actions.Corrupt():
            yield Corrupt(action.after_octets, action.octets, action.chance, action.mask)


def _directions(direction: actions.Direction | UnsetType) -> tuple[Direction, ...]:
    if direction == "both":
        return ("up", "down")
    return ("down" if direction is UNSET else direction,)
