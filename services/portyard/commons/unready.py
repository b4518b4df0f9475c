"""Tells the journal of faults of bytes that were asked for on a connection that has no relay to do them: it was accepted too early."""

from __future__ import annotations

from collections.abc import Iterable

from portyard.commons.journal.model import SessionLog
from portyard.commons.scenario.actions import Action, action_name

UNREADY = (
    "not done: when this connection was accepted, no rule asked for faults of bytes here; a new one would meet them"
)


def tell_unready(log: SessionLog, asked: Iterable[object]) -> None:
    """Say that nothing came of these.

    Args:
        log: The session's pen.
        asked: The actions of the bytes gate that a rule, or magic, asked for.
    """
    names = [action_name(action) for action in asked if isinstance(action, Action)]
    if names:
        log.event("error", text=f"{', '.join(names)}: {UNREADY}", undone=names)
