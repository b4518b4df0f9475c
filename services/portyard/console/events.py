"""The journal's events of one sandbox: those that are there, oldest first, and those that come, in whichever process they happen."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from portyard.commons.journal.model import JournalEvent, SessionRecord
from portyard.commons.journal.schema import COUNTER
from portyard.commons.yard import Yard
from portyard.console import forms
from portyard.console.core.matching import Criteria

OWN_ROOM = "console"  # whose connections are no sessions of the testbed
SLICE = 1_000  # sessions that are listed in one go
_KNOWN = 200_000  # sessions of which a follower keeps how far it has read
_TURN = 50  # sessions that are read in one go
_STRETCH = 500  # events of one session that are looked at in one go
_GRAIN = timedelta(milliseconds=1)  # by so much an event may be dated before its session's opening: the journal rounds
Place = tuple[datetime, str, int]  # when an event was, its session and its number there


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events are wanted.

    Attributes:
        sandbox: Whose.
        criteria: What their room, kind, session and text must fit.
        room: The room, where only one is wanted.
        session: The session, where only one is wanted.
        since: Only from this moment on.
        likeness: How near an event's text is to the one that is wanted.
    """

    sandbox: str
    criteria: Criteria
    room: str | None = None
    session: str | None = None
    since: datetime | None = None
    likeness: Callable[[Iterable[str]], int] | None = None

    def nearness(self, event: forms.Event) -> int:
        """How much of the text that is wanted the event has."""
        return self.likeness(_texts(event.fields)) if self.likeness is not None else 0

    def differences(self, event: forms.Event) -> list[str]:
        """The names of the filters that the event doesn't fit."""
        found = self.criteria.differences(values_of(event, self.criteria.checks))
        return [*found, "since"] if self.since is not None and event.at < self.since else found


def values_of(event: forms.Event, names: Container[str]) -> dict[str, list[str]]:
    """An event's values by the names that filters know, those of these names."""
    values = {"room": [event.room], "kind": [event.kind], "session": [event.session]}
    return {**values, "text": list(_texts(event.fields))} if "text" in names else values


def _texts(value: object) -> Iterator[str]:
    match value:
        case dict():
            for inner in value.values():
                yield from _texts(inner)
        case list():
            for inner in value:
                yield from _texts(inner)
        case None:
            pass
        case _:
            yield str(value)


class EventReader:
    """Reads the journal.

    Args:
        yard: The yard.
    """

    def __init__(self, yard: Yard) -> None:
        self.yard = yard

    async def paged(self, record: SessionRecord, after: int = 0) -> AsyncGenerator[list[forms.Event]]:
        """A session's events behind one of them, some at a time."""
        async with contextlib.aclosing(self.yard.journal.paged(record.id, after, record.shown)) as pages:
            async for page in pages:
                yield [event_of(record, event) for event in page]

    async def stored(self, wanted: Selection, after: Place | None = None) -> AsyncGenerator[forms.Event]:
        """The events that are there and fit, by their time.

        Args:
            wanted: Which.
            after: Leaves out what came up to that place.
        """
        sessions = [record async for some, _ in self.sessions(wanted, after) for record in some]
        async with contextlib.aclosing(self.merged(sessions, wanted, after)) as events:
            async for event in events:
                yield event

    async def merged(
        self,
        sessions: list[SessionRecord],
        wanted: Selection | None = None,
        after: Place | None = None,
        read: Mapping[str, int] | None = None,
    ) -> AsyncGenerator[forms.Event]:
        """The same of these sessions. Each is begun as its time comes, and read on as it is told: a page costs what is on it.

        Args:
            sessions: They.
            wanted: Which of their events; None for all.
            after: Leaves out what came up to that place.
            read: Leaves out of a session what came up to that number.
        """
        sessions = sorted(sessions, key=lambda record: (record.opened_at, record.id))
        heap: list[tuple[Place, forms.Event, _Reading]] = []
        begun = told = 0
        try:
            while heap or begun < len(sessions):
                while begun < len(sessions) and (not heap or sessions[begun].opened_at - _GRAIN <= heap[0][0][0]):
                    record = sessions[begun]
                    begun += 1
                    if begun % _TURN == 0:
                        await asyncio.sleep(0)  # the store answers without ever waiting: others want their turn
                    known = after[2] if after and after[1] == record.id else read.get(record.id, 0) if read else 0
                    reading = _Reading(self.paged(record, known))
                    if (first := await reading.next()) is not None:
                        heapq.heappush(heap, (place_of(first), first, reading))
                if not heap:
                    return
                place, event, reading = heap[0]
                if (following := await reading.next()) is not None:
                    heapq.heapreplace(heap, (place_of(following), following, reading))
                else:
                    heapq.heappop(heap)
                told += 1
                if told % _STRETCH == 0:
                    await asyncio.sleep(0)
                if (after is None or place > after) and not (wanted and wanted.differences(event)):
                    yield event
        finally:
            for *_, reading in heap:
                await reading.close()

    async def place(self, sandbox: str, event_id: str) -> Place | None:
        """Where an event of the sandbox stands; None when there is none of this id."""
        session, _, number = event_id.rpartition(".")
        if not (number.isdecimal() and number.isascii() and 0 < len(number) < 10):
            return None
        record = await self.yard.journal.session(session, sandbox)
        if record is None or not int(number):
            return None
        async with contextlib.aclosing(self.yard.journal.paged(session, int(number) - 1, record.shown)) as pages:
            async for page in pages:
                if page:
                    return page[0].at, session, page[0].seq
        return None

    async def sessions(
        self, wanted: Selection, after: Place | None = None, before: str | None = None
    ) -> AsyncGenerator[tuple[list[SessionRecord], str]]:
        """The sessions of which something may fit, newest first, slice by slice, each slice with the id of the last that was looked at.

        Args:
            wanted: What shall fit.
            after: Only those of which something came behind that place.
            before: Only those before the session of this id.
        """
        journal = self.yard.journal
        await journal.flush()
        start = max((moment for moment in (wanted.since, after[0] if after else None) if moment), default=None)
        while True:
            some = await journal.sessions(wanted.sandbox, room=wanted.room, limit=SLICE, before=before)
            if not some:
                return
            before = some[-1].id
            yield [record for record in some if self._may_fit(record, wanted, start)], before
            if len(some) < SLICE:
                return
            await asyncio.sleep(0)

    def _may_fit(self, record: SessionRecord, wanted: Selection, start: datetime | None) -> bool:
        if record.room == OWN_ROOM or wanted.session not in (None, record.id):
            return False
        return start is None or record.closed_at is None or record.closed_at >= start


class _Reading:
    """One session's events, one after the other.

    Args:
        pages: They.
    """

    def __init__(self, pages: AsyncGenerator[list[forms.Event]]) -> None:
        self._pages = pages
        self._events: Iterator[forms.Event] = iter(())

    async def next(self) -> forms.Event | None:
        """The next one; None behind the last."""
        while True:
            for event in self._events:
                return event
            page = await anext(self._pages, None)
            if page is None:
                return None
            self._events = iter(page)

    async def close(self) -> None:
        """Read no more."""
        await self._pages.aclose()


def place_of(event: forms.Event) -> Place:
    """Where an event stands."""
    return event.at, event.session, event.seq


def event_of(record: SessionRecord, event: JournalEvent) -> forms.Event:
    """An event of a session as it is shown."""
    return forms.Event(
        f"{record.id}.{event.seq}",
        record.id,
        record.room,
        record.service,
        record.sandbox,
        record.peer,
        event.seq,
        event.at,
        event.kind,
        event.fields,
    )


class Follower:
    """Hears what happens in a sandbox from the moment it is made by `follow` on.

    Args:
        reader: Reads the journal.
        sandbox: Whose events.
    """

    def __init__(self, reader: EventReader, sandbox: str) -> None:
        self._reader = reader
        self._sandbox = sandbox
        self._mark = 0
        self._read: dict[str, int] = {}
        self._left: list[SessionRecord] = []  # those that changed, the one whose turn is next last
        self._upto = 0  # when they were looked for
        self._watch = reader.yard.watcher.watch_counter(COUNTER)
        self.ended = False  # nothing comes any more, for the sandbox is gone
        self.behind = False  # more came than `coming` was to tell of: its next call goes on with it

    @classmethod
    @contextlib.asynccontextmanager
    async def follow(cls, reader: EventReader, sandbox: str) -> AsyncIterator[Follower]:
        """A follower until the block ends."""
        follower = cls(reader, sandbox)  # its watch begins before the look, so that nothing comes unheard
        try:
            await reader.yard.journal.flush()
            follower._mark = await reader.yard.journal.mark()
            follower._read = await reader.yard.journal.standing(sandbox)
            yield follower
        finally:
            await follower._watch.aclose()

    async def end(self) -> None:
        """Have nothing come any more."""
        self.ended = True
        await self._watch.aclose()

    def seen(self, session: str, number: int) -> None:
        """A session's events up to this one were read elsewhere: they aren't news."""
        self._read[session] = max(number, self._read.get(session, 0))

    def read(self, session: str) -> int | None:
        """The number of a session's last event that isn't news; None where that isn't known, for the session had ended."""
        return self._read.get(session)

    async def coming(self, within_s: float | None = None, most: int | None = None) -> list[forms.Event]:
        """The next events, by their time; none once the time is up.

        Args:
            within_s: How long to wait at most; None for as long as it takes.
            most: When so many are found, those that are there beyond them (and beyond a page) are left to the next call.

        Raises:
            StopAsyncIteration: The yard closes, and nothing comes any more.
        """
        loop = asyncio.get_running_loop()
        deadline = None if within_s is None else loop.time() + within_s
        while self.behind or await self.moved(deadline):
            if found := await self._look(most):  # beyond the bound: what was read must not be lost
                return found
        return []

    async def moved(self, deadline: float | None = None) -> bool:
        """Wait until anything was written; False once the time is up, or the sandbox is gone.

        Args:
            deadline: By the loop's time; None to wait for as long as it takes.

        Raises:
            StopAsyncIteration: The yard closes, and nothing comes any more.
        """
        try:
            async with asyncio.timeout_at(deadline):
                await self._watch.__anext__()
        except TimeoutError:
            return False
        except StopAsyncIteration:
            if self.ended:
                return False
            raise
        return True

    async def told(self) -> AsyncGenerator[forms.Event]:
        """The events that came since the last look, by their time, read as they are taken: a slow taker needs no more room than others."""
        journal = self._reader.yard.journal
        mark = await journal.mark()  # before the look: what is written during it is seen by the next one
        changed = [record for record in await journal.changed(self._sandbox, self._mark) if record.room != OWN_ROOM]
        async with contextlib.aclosing(self._reader.merged(changed, read=self._read)) as events:
            async for event in events:
                self._read[event.session] = event.seq
                yield event
        self._mark = mark
        self._forget()

    async def _look(self, most: int | None) -> list[forms.Event]:
        journal = self._reader.yard.journal
        found: list[forms.Event] = []
        if not self._left:
            self._upto = await journal.mark()  # before the look: what is written during it is seen by the next one
            changed = [each for each in await journal.changed(self._sandbox, self._mark) if each.room != OWN_ROOM]
            self._left = sorted(changed, key=lambda record: record.opened_at, reverse=True)
        while self._left:
            record = self._left[-1]
            async with contextlib.aclosing(
                journal.paged(record.id, self._read.get(record.id, 0), record.shown)
            ) as pages:
                async for page in pages:
                    if page:
                        self._read[record.id] = page[-1].seq
                        found += [event_of(record, event) for event in page]
                    if most is not None and len(found) >= most:
                        self.behind = True
                        return sorted(found, key=place_of)
            self._left.pop()
        self.behind = False
        self._mark = self._upto
        self._forget()
        return sorted(found, key=place_of)

    def _forget(self) -> None:
        while len(self._read) > _KNOWN:
            self._read.pop(next(iter(self._read)))
