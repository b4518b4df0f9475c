"""What one connection was told lately that no rule means: the same event again isn't looked at again while the rules are the same.

Beside many rules a look costs as much as many such questions, and clients mostly repeat themselves. Knows the gate, and no event's fields.
"""

from __future__ import annotations

from collections.abc import Callable

from portyard.commons.scenario.engine import SessionGate, Stamp


class Quiet:
    """The last event of each kind on one connection that no rule means.

    Args:
        gate: The connection's; None where nobody asks.

    Attributes:
        stamp: The gate's at the last event.
    """

    __slots__ = ("_gate", "_last", "stamp")

    def __init__(self, gate: SessionGate | None) -> None:
        self._gate = gate
        self._last: dict[str, tuple[Stamp, object]] = {}
        self.stamp: Stamp | None = None

    def heeds(self, kind: str, event: object, look: Callable[[SessionGate], bool]) -> bool:
        """Whether an event has to be asked about.

        Args:
            kind: Under which it is remembered.
            event: All that decides about it, beside the rules, the sandbox and the account; it is kept until the next one comes.
            look: Finds it out, where this isn't the last one again.
        """
        gate = self._gate
        if gate is None:
            return False
        self.stamp = stamp = gate.stamp  # before the look: a change in between is looked at again
        last = self._last.get(kind)
        if last is not None and last[1] == event and last[0] == stamp:
            return False
        if gate.armed:
            if look(gate):
                return True
            self._last[kind] = (stamp, event)
        return False
