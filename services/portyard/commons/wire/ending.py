"""What faults that end a flow share: count octets, then end. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from portyard.commons.wire.units import End, Flow, How, Unit


def end_after(octets: int, how: How, fault: str) -> Flow:
    """A flow that ends right behind its nth octet, without waiting for another; with 0 at once.

    Args:
        octets: So many are carried, exactly.
        how: The end.
        fault: Who asks for it.
    """
    left = octets

    def carry(unit: Unit) -> Iterator[Unit]:
        nonlocal left
        if isinstance(unit, End) or len(unit.data) < left:
            left -= 0 if isinstance(unit, End) else len(unit.data)
            yield unit
            return
        if left:
            yield replace(unit, data=unit.data[:left])
        yield End(unit.at, how, fault)

    return carry
