"""Writing behind: when what pens noted is written, and how.

While events come fast, writes come seldom: each takes the interpreter away from the sessions as often as it has statements, so that one
statement takes many rows, too.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from portyard.commons.clock import Clock, SystemClock
from portyard.commons.database.engine import Database, Transaction
from portyard.commons.journal.pen import Pen
from portyard.commons.journal.pruning import OVERHEAD, prune
from portyard.commons.journal.schema import COUNTER

FLUSH_S: Final = 0.03  # how long a note may wait for company
LOADED_S: Final = 0.2  # the same while events come fast: a write costs as much as hundreds of them
LOADED_RATE: Final = 2000  # events a second from which on they do
HURRY_S: Final = 0.002  # how long the end of a session may
PRUNE_EVENTS: Final = 20_000  # written between two looks at the bounds
PRUNE_OCTETS: Final = 16 << 20  # and no more octets than these
PRUNE_SHARE: Final = 4  # nor more than a fourth of a bound, so that small bounds hold, too
QUEUE_LIMIT: Final = 200_000  # events that may wait for a slow disk; what would be more is dropped and counted
MOST_OWED: Final = 10_000  # sessions of failed writes of which is still to be told that they were, and ended
_GROUPS: Final = (64, 16, 4, 1)  # rows of one statement: few numbers, so that each is prepared once

_logger = logging.getLogger(__name__)


class WriteBehind:
    """The desk at which a process's pens lie. Implements `pen.Desk`.

    Args:
        database: journal.db.
        clock: The testbed's time.
        bounds: Events and octets that are kept; the oldest sessions that have ended go first.
        generation_of: A sandbox's generation at this moment.
    """

    def __init__(
        self, database: Database, clock: Clock, bounds: tuple[int, int], generation_of: Callable[[str], int]
    ) -> None:
        self._database = database
        self._bounds = bounds
        self.generation_of = generation_of
        self.now = clock.now
        # The machine's own time is asked for without a detour: every event has it.
        self.moment: Callable[[], int | str] = (
            time.time_ns if type(clock) is SystemClock else lambda: clock.now().isoformat()
        )
        self._loop = asyncio.get_running_loop()
        self._pens: list[Pen] = []  # those that are stirred
        self._owed: list[Pen] = []  # those whose last write failed
        self._bound = 0  # events that they were let keep
        self._dropped = 0
        self._events_since = 0
        self._octets_since = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._wrote_at = 0.0
        self._pause_s = FLUSH_S

    # What a pen asks.

    def takes(self, events: int) -> bool:
        """See Desk."""
        if self._bound + events > QUEUE_LIMIT:
            self._dropped += events
            return False
        self._bound += events
        return True

    def stir(self, pen: Pen) -> None:
        """See Desk."""
        if pen.stirred:
            return
        pen.stirred = True
        self._pens.append(pen)
        if self._timer is None and self._writing is None:
            self._timer = self._loop.call_later(self._pause_s, self._start_writing)

    def hurry(self) -> None:
        """Write soon: whoever ended a session asks for its transcript next. Many that end at once wait for each other."""
        if self._writing is not None:
            return
        due = max(self._loop.time() + HURRY_S, self._wrote_at + self._pause_s)
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._start_writing)

    # What the journal asks.

    @property
    def waiting(self) -> int:
        """Events that aren't written."""
        return sum(pen.waiting for pen in self._pens)

    async def flush(self) -> None:
        """Return once everything noted so far is readable everywhere."""
        await asyncio.sleep(0)  # who asks again and again for what is to come lets it come
        while self._pens or self._writing is not None:
            if self._writing is None:
                self._start_writing()
            assert self._writing is not None
            await asyncio.shield(self._writing)

    async def close(self) -> None:
        """Write what was noted."""
        if not self._pens:
            self._pens, self._owed = self._owed, []
        await self.flush()
        if self._timer is not None:
            self._timer.cancel()

    def _start_writing(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is None and self._pens:
            self._writing = self._loop.create_task(self._write())

    async def _write(self) -> None:
        pens: list[Pen] = []
        try:
            if self._dropped:
                _logger.warning("the journal dropped %s events: the disk is too slow", self._dropped)
                self._dropped = 0
            pens = self._take()
            await self._database.write(self._job(pens))
            pens = []
            most_events, most_octets = self._bounds
            if self._events_since >= min(PRUNE_EVENTS, most_events // PRUNE_SHARE) or (
                self._octets_since >= min(PRUNE_OCTETS, most_octets // PRUNE_SHARE)
            ):
                self._events_since = self._octets_since = 0
                await self._database.write(self._prune)
        except Exception:
            _logger.exception("the journal could not be written")
            self._owed = pens[-MOST_OWED:]  # events are lost, but no session stays open for ever
        finally:
            self._writing = None
            self._wrote_at = self._loop.time()
            if (
                self._pens and self._timer is None
            ):  # a write costs as much as many events: it waits for company each time
                self._timer = self._loop.call_later(self._pause_s, self._start_writing)

    def _take(self) -> list[Pen]:
        """All that wait, and those that are owed a write."""
        pens = list(dict.fromkeys((*self._owed, *self._pens)))
        self._owed, self._pens, self._bound = [], [], 0
        return pens

    def _job(self, pens: Sequence[Pen]) -> Callable[[Transaction], None]:
        """A write job for them."""
        pages: list[tuple[object, ...]] = []
        guests: list[tuple[object, ...]] = []
        sessions: list[tuple[object, ...]] = []
        counted: Counter[tuple[str, str, str]] = Counter()
        written = 0
        for pen in pens:
            first, octets = pen.written, 0
            for events, body in pen.take():
                pages.append((pen.id, pen.written + 1, body))
                pen.written += events
                octets += len(body) + OVERHEAD
            written += pen.written - first
            for kind, events in pen.counted.items():
                counted[pen.record.room, pen.record.service, kind] += events
            pen.counted.clear()
            sessions.append(_row(pen, pen.written - first, octets))
            guests += [(name, pen.id, *rest) for name, *rest in pen.visits.take()]
            self._octets_since += octets
        self._events_since += written
        fast = written > LOADED_RATE * (self._loop.time() - self._wrote_at)
        self._pause_s = LOADED_S if fast else FLUSH_S
        tallies = [(*what, events) for what, events in counted.items()]

        def job(transaction: Transaction) -> None:
            ((batch,),) = transaction.execute("UPDATE batches SET last = last + 1 WHERE one = 1 RETURNING last")
            _put(transaction, _SESSIONS, [(*row, batch) for row in sessions])
            _put(transaction, _TALLIES, tallies)
            _put(transaction, _PAGES, pages)
            _put(transaction, _GUESTS, guests)
            transaction.bump(COUNTER)

        return job

    def _prune(self, transaction: Transaction) -> None:
        prune(transaction, *self._bounds)


_SESSIONS: Final = (
    "INSERT INTO sessions (id, room, service, peer, local, port, opened_at, sandbox, generation, since, preamble, account, "
    "closed_at, events, gone, octets, batch)",
    "ON CONFLICT (id) DO UPDATE SET sandbox = excluded.sandbox, batch = excluded.batch, generation = excluded.generation, "
    "since = excluded.since, preamble = excluded.preamble, account = excluded.account, closed_at = excluded.closed_at, "
    "events = excluded.events, octets = sessions.octets + excluded.octets",
)
_TALLIES: Final = (
    "INSERT INTO tallies (room, service, kind, events)",
    "ON CONFLICT (room, service, kind) DO UPDATE SET events = tallies.events + excluded.events",
)
_PAGES: Final = ("INSERT INTO pages (session_id, seq, body)", "")
_GUESTS: Final = (
    "INSERT INTO guests (sandbox, session_id, generation, since, spans)",
    "ON CONFLICT (sandbox, session_id) DO UPDATE SET generation = excluded.generation, since = excluded.since, spans = "
    "CASE WHEN guests.generation = excluded.generation THEN guests.spans || excluded.spans ELSE excluded.spans END",
)


def _put(transaction: Transaction, into: tuple[str, str], rows: Sequence[tuple[object, ...]]) -> None:
    """Insert rows, many by a statement."""
    start = 0
    for size in _GROUPS:
        while len(rows) - start >= size:
            group = rows[start : start + size]
            transaction.execute(_insert(into, len(group[0]), size), [value for row in group for value in row])
            start += size


@functools.cache
def _insert(into: tuple[str, str], columns: int, rows: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"{into[0]} VALUES {', '.join([row] * rows)} {into[1]}"


def _row(pen: Pen, events: int, octets: int) -> tuple[object, ...]:
    """The session's row: what is known of it, and by how much it grows. One that was pruned begins anew, its events' numbers go on."""
    record = pen.record
    fixed = (pen.id, record.room, record.service, record.peer, pen.local, pen.port, record.opened_at.isoformat())
    closed_at = pen.closed_at.isoformat() if pen.closed_at else None
    visits = pen.visits
    place = (visits.sandbox, visits.generation, visits.since, visits.preamble)
    return (*fixed, *place, pen.account, closed_at, pen.written, pen.written - events, octets)
