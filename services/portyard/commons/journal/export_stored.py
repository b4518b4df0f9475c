"""What a packet capture takes from the mail store: octets that the journal only counted, where they are still there.

A room that can tell which stored octets stood in one of its gaps does so in `known` of its module `portyard.<room>.octets`. What it tells
has to follow from the journal: the same message, the same part of it, as many octets. What may have been something else stays a gap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from portyard.commons.journal.export_piece import Piece

Known = Mapping[int, Sequence[Piece]]
"""What went over the wire for some of a session's events, by their `seq`, where that is more than they say."""


class Stored(Protocol):
    """The mail store as it is now. What is gone, or too much for one export, is None."""

    async def delivered(self, delivery_id: str) -> bytes | None:
        """A message as one of those has it to whom it was delivered: what came before is at its end, below the fields that were added."""

    async def message(self, mailbox_id: int, uid: int) -> bytes | None:
        """A message; also one that was expunged just now."""

    async def mailbox(self, uid_validity: int) -> int | None:
        """The mailbox of this UIDVALIDITY, which no two ever have."""

    async def uids(self, mailbox_id: int) -> list[int]:
        """The UIDs that are there, ascending."""
