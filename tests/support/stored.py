"""A mail store for packet captures, and a journal's events in a line each."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from portyard.commons.journal.model import JournalEvent

START = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass
class Stored:
    """What is there, by delivery, by mailbox and UID, and by UIDVALIDITY; `gone` UIDs aren't listed, though their octets are there."""

    deliveries: dict[str, bytes] = field(default_factory=dict)
    messages: dict[tuple[int, int], bytes] = field(default_factory=dict)
    validities: dict[int, int] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)

    async def delivered(self, delivery_id: str) -> bytes | None:
        return self.deliveries.get(delivery_id)

    async def message(self, mailbox_id: int, uid: int) -> bytes | None:
        return self.messages.get((mailbox_id, uid))

    async def mailbox(self, uid_validity: int) -> int | None:
        return self.validities.get(uid_validity)

    async def uids(self, mailbox_id: int) -> list[int]:
        return sorted(uid for mailbox, uid in self.messages if mailbox == mailbox_id and uid not in self.gone)


def told(*events: str | tuple[str, dict[str, object]]) -> list[JournalEvent]:
    """Events, a millisecond apart: "C: …" and "S: …", or a kind with its fields."""
    found = []
    for seq, event in enumerate(events, 1):
        if isinstance(event, str):
            kind = "command" if event.startswith("C") else "reply"
            fields: dict[str, object] = {"text": event[3:]}
        else:
            kind, fields = event
        found.append(JournalEvent(seq, START + timedelta(milliseconds=seq), kind, fields))
    return found
