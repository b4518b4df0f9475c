"""Who ended a session, by what the journal has of it: the client, the server, or whoever broke the connection off.

Knows the reasons that edges give and the faults of bytes that end a connection; knows no protocol.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final

from portyard.commons.journal.model import JournalEvent
from portyard.commons.wire.cut_after import CutAfter
from portyard.commons.wire.reset import Reset

_PEER_RESET: Final = "reset by peer"  # as the system says it
_PEER_LEFT: Final = frozenset(
    {
        "peer closed",
        "the connection is gone",
        "the connection is lost",
        "the connection was lost",
        "the peer went away",
        "ConnectionResetError",
        "BrokenPipeError",
        "gone",
    }
)
"""What edges say of a peer that had left when something was to be sent to it."""


class Ending(Enum):
    """How a connection ended."""

    CLIENT = "the client closed it"
    CLIENT_RESET = "the client broke it off"
    SERVER = "the server closed it"
    SERVER_RESET = "the server broke it off"


def ending_of(events: Iterable[JournalEvent]) -> Ending | None:
    """How a session ended; None while it goes on.

    Args:
        events: What the journal has of it.
    """
    struck, reason = set[object](), None
    for event in events:
        if event.kind == "closed":
            reason = str(event.fields.get("reason", ""))
        elif event.kind == "fault" and "verb" not in event.fields and event.fields.get("channel") != "data":
            struck |= _names(event.fields.get("does"))  # with a verb it was only asked for
    if reason is None:
        return None
    if Reset.name in struck:
        return Ending.SERVER_RESET
    return Ending.SERVER if CutAfter.name in struck else _by_reason(reason)


def _names(does: object) -> set[object]:
    return set(does) if isinstance(does, list) else set()


def _by_reason(reason: str) -> Ending:
    if _PEER_RESET in reason:
        return Ending.CLIENT_RESET
    if reason in _PEER_LEFT or "Broken pipe" in reason:
        return Ending.CLIENT
    return Ending.SERVER_RESET if reason == "aborted by us" or "reset" in reason else Ending.SERVER
