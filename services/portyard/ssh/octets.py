"""What went over the wire, for captures: what was said in channels stood in no octets of its own, and what was encrypted isn't kept."""

from __future__ import annotations

from portyard.commons.journal.export_octets import Recode, note
from portyard.commons.journal.model import JournalEvent

UNSHOWN = (
    "of SSH only the version lines are shown (RFC 4253 §4.2): key exchange, logins and channels went in binary packets that weren't kept; "
    "what was asked and answered in them stands in the comments of packets without octets, which were not sent"
)


def recode(transport: str) -> Recode:
    """Commands and replies become comments, each at its time; only the version lines stood there as they are."""
    return _comment


def _comment(event: JournalEvent) -> tuple[bytes, str]:
    return b"", note(event)
