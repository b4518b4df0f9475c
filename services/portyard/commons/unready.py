"""A connection that has no relay to do faults of bytes, for it was accepted before any rule asked for them: what is asked for all the same.

A RST at once needs no relay. Nothing comes of all else, and the journal is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from portyard.commons.journal.model import SessionLog
from portyard.commons.scenario.actions import Action, Reset, action_name

UNREADY = (
    "not done: when this connection was accepted, no rule asked for faults of bytes here; a new one would meet them"
)


class Unready:
    """What such a connection can have done to it.

    Args:
        log: The session's pen.

    Attributes:
        reset: Ends the connection by a RST; whoever has its socket puts it here.
    """

    __slots__ = ("_log", "reset")

    def __init__(self, log: SessionLog) -> None:
        self._log = log
        self.reset: Callable[[], None] | None = None

    def arm(self, asked: Iterable[object]) -> None:
        """Do what can be done, and say of what.

        Args:
            asked: The actions of the bytes gate that a rule, or magic, asked for.
        """
        undone = list(asked)
        if self.reset is not None and undone and all(_is_reset(action) for action in undone):
            self._log.event("fault", does=[action_name(Reset())], octets=0)
            self.reset()
        else:
            tell_unready(self._log, undone)


def tell_unready(log: SessionLog, asked: Iterable[object]) -> None:
    """Say that nothing came of these.

    Args:
        log: The session's pen.
        asked: See `Unready.arm`.
    """
    names = [action_name(action) for action in asked if isinstance(action, Action)]
    if names:
        log.event("error", text=f"{', '.join(names)}: {UNREADY}", undone=names)


def _is_reset(action: object) -> bool:
    return isinstance(action, Reset) and not action.after_octets
