"""Noting: what a session's pen keeps until it is written.

An event is three values at the end of a list: nothing that the garbage collector has to look at, and nothing that has to be counted. Every
so often they become a leaf of octets, while they are still at hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

from portyard.commons.journal.model import SessionRecord
from portyard.commons.journal.pages import FIELDS, LONG, PLACES, as_json, leaf, once
from portyard.commons.journal.visits import Visits

LEAF_EVENTS: Final = 32  # of which a leaf is made: more would have gone from the processor's caches by then
_LEAF_PLACES = LEAF_EVENTS * PLACES


class Desk(Protocol):
    """What a pen needs of its journal."""

    def generation_of(self, sandbox: str) -> int:
        """A sandbox's generation at this moment."""

    def moment(self) -> int | str:
        """The testbed's time, as `pages` has it."""

    def now(self) -> datetime:
        """The same as it is shown."""

    def stir(self, pen: Pen) -> None:
        """Have the session written soon: something of it changed."""

    def hurry(self) -> None:
        """Have it written sooner."""

    def takes(self, events: int) -> bool:
        """Whether so many more may wait to be written; they do then, or count as dropped."""

    def tally(self, room: str, service: str) -> Counter[object]:
        """Where a service's events are counted by their kinds."""


class Pen:
    """One session's SessionLog.

    Attributes:
        record: What is known of the session since it was opened.
        noted: Events that aren't in a leaf, as `pages` has them.
        leaves: Leaves that aren't written, each with the number of its events.
        visits: The sandboxes that it shows in.
        written: Events that are.
        stirred: It waits to be written.
    """

    __slots__ = (
        "_behind",
        "_desk",
        "_heavy",
        "_moment",
        "_on_close",
        "account",
        "closed_at",
        "leaves",
        "local",
        "noted",
        "port",
        "record",
        "stirred",
        "visits",
        "written",
    )

    def __init__(
        self, desk: Desk, record: SessionRecord, local: str, port: str, closed: Callable[[], None] | None
    ) -> None:
        self._desk = desk
        self._moment = desk.moment
        self._on_close = closed
        self._behind = 0  # events that are in leaves, or were
        self._heavy = False  # something long was noted since the last leaf
        self.record = record
        self.local = local
        self.port = port
        self.noted: list[int | str | bytes] = []
        self.leaves: list[tuple[int, bytes]] = []
        self.visits = Visits(record.sandbox, desk.generation_of(record.sandbox))
        self.account: str | None = None
        self.closed_at: datetime | None = None
        self.written = 0
        self.stirred = False

    @property
    def id(self) -> str:
        """See SessionLog."""
        return self.record.id

    @property
    def waiting(self) -> int:
        """Events that aren't written."""
        return len(self.noted) // PLACES + sum(count for count, _ in self.leaves)

    # The four ways to note are one, written out: a call more would cost as much as the noting.

    def event(self, kind: str, **fields: object) -> None:
        """See SessionLog."""
        noted = self.noted
        noted += (self._moment(), FIELDS.get(kind) or kind.encode(), as_json(fields))
        if not self.stirred or len(noted) >= _LEAF_PLACES:
            self._attend()

    def told(self, kind: str, fields: bytes) -> None:
        """See SessionLog."""
        noted = self.noted
        noted += (self._moment(), FIELDS.get(kind) or kind.encode(), fields)
        if len(fields) >= LONG:
            self._heavy = True
        if not self.stirred or len(noted) >= _LEAF_PLACES:
            self._attend()

    def command(self, text: str | bytes) -> None:
        """See SessionLog."""
        noted = self.noted
        noted += (self._moment(), "command", text)
        if not self.stirred or len(noted) >= _LEAF_PLACES:
            self._attend()

    def reply(self, text: str | bytes) -> None:
        """See SessionLog."""
        noted = self.noted
        noted += (self._moment(), "reply", text)
        if not self.stirred or len(noted) >= _LEAF_PLACES:
            self._attend()

    def part(self) -> None:
        """See SessionLog."""
        self.visits.part(self._behind + len(self.noted) // PLACES)

    def join(self, sandbox: str, *, also: bool = False) -> None:
        """See SessionLog."""
        generation = self._desk.generation_of(sandbox)  # who claims a name again after a reset is seen again
        if not self.visits.stays(sandbox, generation):
            self.visits.join(sandbox, generation, self._behind + len(self.noted) // PLACES, also=also)
            self._desk.stir(self)

    def authenticated(self, account: str, mechanism: str) -> None:
        """See SessionLog."""
        self.account = account
        self.event("auth", account=account, mechanism=mechanism)

    def close(self, reason: str = "") -> None:
        """See SessionLog."""
        if self.closed_at is None:
            self.closed_at = self._desk.now()
            self.event("closed", reason=reason)
            self._desk.stir(self)  # the end is written, also where the disk is too slow for its event
            self._desk.hurry()
            if self._on_close is not None:
                self._on_close()

    def take(self) -> list[tuple[int, bytes]]:
        """The leaves that aren't written, with the last events in one; the pen has none then."""
        if self.noted:
            self._bind()
        leaves, self.leaves = self.leaves, []
        self.stirred = False
        return leaves

    def _attend(self) -> None:
        """See that what was noted is written, and bound when it has come to be enough."""
        if len(self.noted) >= _LEAF_PLACES:
            if self._desk.takes(len(self.noted) // PLACES):
                self._bind()
            else:
                self.noted.clear()
        if not self.stirred:
            self._desk.stir(self)

    def _bind(self) -> None:
        noted = self.noted
        if self._heavy:
            once(noted)
            self._heavy = False
        self._desk.tally(self.record.room, self.record.service).update(noted[1::PLACES])
        self._behind += len(noted) // PLACES
        self.leaves.append((len(noted) // PLACES, leaf(noted)))
        noted.clear()
