"""Noting: what a session's pen keeps until it is written.

An event is three values at the end of a list: nothing that the garbage collector has to look at, and nothing that has to be counted. Every
so often they become octets of a page, while they are still at hand.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Protocol

from portyard.commons.journal.model import SessionRecord
from portyard.commons.journal.packing import PAGE_OCTETS, packed
from portyard.commons.journal.pages import (
    FIELDS,
    LONG,
    OTHER,
    PLACES,
    SECRETS,
    TEXTS,
    as_json,
    blank,
    fold,
    kind_of,
    page,
)
from portyard.commons.journal.visits import Visits

LEAF_EVENTS: Final = 64  # that become octets at once: fewer pay more for each, and more wait where no bound counts them
_LEAF_PLACES = LEAF_EVENTS * PLACES
PAGE_EVENTS: Final = 1000  # of one page: with so many, no more are added to it
ALWAYS_MOVES: Final = itertools.count(1).__next__
"""A number that is another at every look: whatever it stands for has to be asked for again."""
_COMMAND: Final = TEXTS["command"]
_REPLY: Final = TEXTS["reply"]


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


class Pen:
    """One session's SessionLog, and its Sheet.

    Args:
        desk: Where it lies.
        record: The session's.
        local: Our address.
        port: The listener's name.
        closed: Called once, when it is closed.
        moved: A number that is another whenever a sandbox may have another generation.

    Attributes:
        record: What is known of the session since it was opened.
        noted: Events that aren't on a page, as `pages` has them.
        due: With so many places in `noted` the pen is to be attended.
        moment: When something is noted.
        hows: How the events of the page at hand are told.
        values: When and what they are.
        pages: Full ones that aren't written, each with the number of its events.
        counted: How many events there are of each kind that aren't written.
        visits: The sandboxes that it shows in.
        written: Events that are.
        stirred: It waits to be written.
    """

    __slots__ = (
        "_behind",
        "_desk",
        "_first",
        "_moved",
        "_on_close",
        "_secrets",
        "_settled",
        "_settled_at",
        "account",
        "closed_at",
        "counted",
        "due",
        "hows",
        "local",
        "moment",
        "noted",
        "pages",
        "port",
        "record",
        "stirred",
        "values",
        "visits",
        "written",
    )

    def __init__(
        self,
        desk: Desk,
        record: SessionRecord,
        local: str,
        port: str,
        closed: Callable[[], None] | None,
        moved: Callable[[], int] = ALWAYS_MOVES,
    ) -> None:
        self._desk = desk
        self.moment = desk.moment
        self._moved = moved
        self._settled = ""  # the sandbox in which alone it is
        self._settled_at = 0
        self._on_close = closed
        self._secrets = False  # whether there may be some in what is noted
        self._behind = 0  # events that are on pages, or were
        self._first: dict[bytes, int] = {}  # where on the page long fields stand
        self.record = record
        self.local = local
        self.port = port
        self.noted: list[Any] = []
        self.due = 0
        self.hows = bytearray()
        self.values = bytearray()
        self.pages: list[tuple[int, bytes]] = []
        self.counted: Counter[str] = Counter()
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
        return len(self.noted) // PLACES + len(self.hows) + sum(count for count, _ in self.pages)

    # The five ways to note are one, written out: a call more would cost as much as the noting, and so would a tuple.

    def event(self, kind: str, **fields: object) -> None:
        """See SessionLog."""
        how, what = FIELDS.get(kind, OTHER), as_json(fields)
        noted = self.noted
        noted.append(self.moment())
        noted.append(how)
        noted.append(what if how != OTHER else b"%b\0%b" % (kind.encode(), what))
        if len(noted) >= self.due:
            self.attend()

    def told(self, kind: str, fields: bytes) -> None:
        """See SessionLog."""
        noted = self.noted
        what: bytes | int = fields
        if len(fields) >= LONG:  # it stands on a page once: a kept connection says mostly the same
            number = len(self.hows) + len(noted) // PLACES
            first = self._first.setdefault(fields, number)
            if first != number:
                what = first
        noted.append(self.moment())
        noted.append(FIELDS[kind])
        noted.append(what)
        if len(noted) >= self.due:
            self.attend()

    def noter(self, form: int) -> Callable[[bytes], None]:
        """See SessionLog."""
        noted, moment = self.noted, self.moment
        if form in SECRETS:
            self._secrets = True

        def note(octets: bytes) -> None:
            noted.append(moment())
            noted.append(form)
            noted.append(octets)
            if len(noted) >= self.due:
                self.attend()

        return note

    def sheet(self) -> Pen:
        """See SessionLog."""
        return self

    def command(self, text: str | bytes) -> None:
        """See SessionLog."""
        noted = self.noted
        noted.append(self.moment())
        noted.append(_COMMAND)
        noted.append(text)
        if len(noted) >= self.due:
            self.attend()

    def reply(self, text: str | bytes) -> None:
        """See SessionLog."""
        noted = self.noted
        noted.append(self.moment())
        noted.append(_REPLY)
        noted.append(text)
        if len(noted) >= self.due:
            self.attend()

    def part(self) -> None:
        """See SessionLog."""
        self.visits.part(self._behind + len(self.noted) // PLACES)

    def join(self, sandbox: str, *, also: bool = False) -> None:
        """See SessionLog."""
        moved = self._moved()
        if sandbox == self._settled and moved == self._settled_at:  # to look at more would cost as much as a note
            self.visits.parted = False
            return
        generation = self._desk.generation_of(sandbox)  # who claims a name again after a reset is seen again
        if self.visits.stays(sandbox, generation):
            self._settled, self._settled_at = sandbox, moved
        else:
            self._settled = ""
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
        """The pages that aren't written, with the last events in one; the pen has none then."""
        self._fold()
        if self.hows:
            self._bind()
        pages, self.pages = self.pages, []
        self.stirred = False
        self.due = 0
        return pages

    def attend(self) -> None:
        """See Sheet: see that what was noted is written, and put on the page when it has come to be enough."""
        if len(self.noted) >= _LEAF_PLACES:
            if self._desk.takes(len(self.noted) // PLACES):
                self._fold()
                if len(self.hows) >= PAGE_EVENTS or len(self.values) >= PAGE_OCTETS:
                    self._bind()
            else:
                self.noted.clear()
                events = len(self.hows)
                self._first = {fields: number for fields, number in self._first.items() if number < events}
        self.due = _LEAF_PLACES
        if not self.stirred:
            self._desk.stir(self)

    def _fold(self) -> None:
        self._behind += len(self.noted) // PLACES
        if self._secrets:
            blank(self.noted)
        fold(self.noted, self.hows, self.values)

    def _bind(self) -> None:
        hows = self.hows
        for how in set(hows):
            self.counted[kind_of(how)] += hows.count(how)
        self.pages.append((len(hows), packed(page(hows, self.values))))
        self._first.clear()
        hows.clear()
        self.values.clear()
