"""Keeps the journal within its bounds: ended sessions go first, the oldest of them before the others; then the middles of those that run.

Of a session that runs, its first page (who came, and how) and its newest stay as long as anything else can go. What a killed process left
open counts as running, and goes last of all, the longest unheard first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from portyard.commons.database.engine import Row, Transaction

OVERHEAD: Final = 64  # octets of a page beside its body
SLICE: Final = 500  # sessions of one look


@dataclass(slots=True)
class _Excess:
    """By how much the bounds are passed."""

    events: int
    octets: int

    def over(self) -> bool:
        return self.events > 0 or self.octets > 0

    def less(self, events: int, octets: int) -> None:
        self.events -= events
        self.octets -= octets


def prune(work: Transaction, most_events: int, most_octets: int) -> None:
    """Drop what is oldest until both bounds hold. A write job's part."""
    ((events, octets),) = work.execute("SELECT COALESCE(SUM(events - gone), 0), COALESCE(SUM(octets), 0) FROM sessions")
    excess = _Excess(events - most_events, octets - most_octets)
    if excess.over():
        _ended(work, excess)
    if excess.over():
        _middles(work, excess)
    if excess.over():
        _unheard(work, excess)


def _ended(work: Transaction, excess: _Excess) -> None:
    last = ""
    while excess.over():
        rows = work.execute(
            "SELECT id, events - gone, octets FROM sessions WHERE closed_at IS NOT NULL AND id > ? ORDER BY id LIMIT ?",
            (last, SLICE),
        )
        if not rows:
            break
        for session_id, events, octets in rows:
            if not excess.over():
                break
            excess.less(events, octets)
            last = session_id
    which = "SELECT id FROM sessions WHERE closed_at IS NOT NULL AND id <= ?"
    for table in ("pages", "guests"):
        work.execute(f"DELETE FROM {table} WHERE session_id IN ({which})", (last,))  # noqa: S608 - our own words
    work.execute("DELETE FROM sessions WHERE closed_at IS NOT NULL AND id <= ?", (last,))


def _middles(work: Transaction, excess: _Excess) -> None:
    last = ""
    while excess.over():
        rows = work.execute("SELECT id, events FROM sessions WHERE id > ? ORDER BY id LIMIT ?", (last, SLICE))
        if not rows:
            return
        for session_id, events in rows:
            if not excess.over():
                return
            _middle(work, session_id, events, excess)
        last = rows[-1][0]


def _middle(work: Transaction, session_id: str, events: int, excess: _Excess) -> None:
    """Drop pages of one session between its first and its newest."""
    pages: list[Row] = work.execute(
        "SELECT seq, LENGTH(body) FROM pages WHERE session_id = ? ORDER BY seq", (session_id,)
    )
    ends = [seq for seq, _ in pages[1:]] + [events + 1]
    gone, less, upto = 0, 0, 0
    for (seq, length), end in list(zip(pages, ends, strict=True))[1:-1]:
        if not excess.over():
            break
        excess.less(end - seq, length + OVERHEAD)
        gone, less, upto = gone + end - seq, less + length + OVERHEAD, seq
    if gone:
        first = pages[0][0]
        work.execute("DELETE FROM pages WHERE session_id = ? AND seq > ? AND seq <= ?", (session_id, first, upto))
        work.execute("UPDATE sessions SET gone = gone + ?, octets = octets - ? WHERE id = ?", (gone, less, session_id))


def _unheard(work: Transaction, excess: _Excess) -> None:
    rows = work.execute("SELECT id, events - gone, octets FROM sessions ORDER BY batch, id")
    for session_id, events, octets in rows:
        if not excess.over():
            return
        excess.less(events, octets)
        for table in ("pages", "guests"):
            work.execute(f"DELETE FROM {table} WHERE session_id = ?", (session_id,))  # noqa: S608 - our own words
        work.execute("DELETE FROM sessions WHERE id = ?", (session_id,))
