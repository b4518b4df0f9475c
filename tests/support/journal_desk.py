"""A desk for the journal's pens, at which nothing is written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from portyard.commons.journal.model import SessionRecord
from portyard.commons.journal.pen import Desk, Pen

AT = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


class IdleDesk:
    """One at which everything waits, and time stands still."""

    def generation_of(self, sandbox: str) -> int:
        return 1

    def moment(self) -> int | str:
        return AT.isoformat()

    def now(self) -> datetime:
        return AT

    def stir(self, pen: Pen) -> None:
        pass

    def hurry(self) -> None:
        pass

    def takes(self, events: int) -> bool:
        return True


def pen_at(desk: Desk, **more: Any) -> Pen:
    """A session's pen."""
    return Pen(desk, SessionRecord("s1", "web", "web", "default", "p", AT, None, None), "l", "in", None, **more)
