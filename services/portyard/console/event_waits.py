"""Waiting for events is the server's job: until so many fit, or until none has come for long enough.

What was there before counts. It is looked through from the newest on, and no longer than the time allows: a journal of a million events
takes seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace

import msgspec

from portyard.commons.journal.model import END, SessionRecord
from portyard.console import forms
from portyard.console.core.matching import Criteria, because
from portyard.console.events import EventReader, Follower, Place, Selection, event_of, place_of

NEAR_MISSES = 10  # shown, those with the fewest differences first, and of these the most like what is wanted
MOST_FITTING = 1000  # events that one wait answers with
NEWEST = 10_000  # events that are looked at whatever they are and however short the time: the near misses are of them
LOOK_BACK_S = 1.0  # for the others, where the time is shorter: who asks what is there doesn't wait for anything to come
_COMING = 1_000  # events that come are taken so many at a time
_Miss = tuple[int, int, Place, int, forms.Event, list[str]]


@dataclass(slots=True)
class EventWait:
    """Waiting for events: until so many fit, or until none has come for long enough.

    Attributes:
        reader: Reads the journal.
        wanted: What they must fit.
        count: How many; 0 for none at all.
        kind: Of which kind they must be; None for any. `wanted` says so too.
        timeout_s: Until when, in seconds from now.
    """

    reader: EventReader
    wanted: Selection
    count: int
    kind: str | None
    timeout_s: float
    _fitting: dict[str, forms.Event] = field(default_factory=dict)
    _misses: list[_Miss] = field(default_factory=list)
    _taken: int = 0
    _looked: int = 0
    _complete: bool = True

    async def outcome(self) -> forms.EventsWaited:
        """What came of it."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        deadline = start + self.timeout_s
        async with Follower.follow(self.reader, self.wanted.sandbox) as follower:
            await self._look_back(follower, max(deadline, start + LOOK_BACK_S))
            while not self._enough and (left := deadline - loop.time()) > 0:
                await self._take_coming(follower, left)
            if not self._enough:
                await self._look_last(follower)
        satisfied = self._enough if self.count else self._complete and not self._fitting
        return self._waited(satisfied=satisfied)

    @property
    def _enough(self) -> bool:
        return len(self._fitting) >= max(self.count, 1)

    async def _take_coming(self, follower: Follower, within_s: float) -> None:
        for event in await follower.coming(within_s, _COMING):
            self._take(event)

    async def _look_last(self, follower: Follower) -> None:
        """Take what was noted in time, and is written only now."""
        await self.reader.yard.settle()
        looked = 0
        while looked == 0 or (follower.behind and looked < NEWEST and not self._enough):
            await self._take_coming(follower, 0)
            looked += _COMING
        self._complete = self._complete and not follower.behind

    async def _look_back(self, follower: Follower, until: float) -> None:
        """Take what was there before: of the newest sessions all, for its near misses, and of older ones until enough fits."""
        async with contextlib.aclosing(self._sessions()) as slices:
            async for sessions in slices:
                if not await self._take_all(follower, sessions, until) or self._enough:
                    return

    async def _sessions(self) -> AsyncGenerator[list[SessionRecord]]:
        """The newest sessions, then of the older ones those of which something may fit."""
        scope, last = Selection(self.wanted.sandbox, Criteria({}), since=self.wanted.since), ""
        async with contextlib.aclosing(self.reader.sessions(scope)) as slices:
            async for newest, before in slices:
                yield newest
                last = before
                break
        if self.wanted.session is not None:
            record = await self.reader.yard.journal.session(self.wanted.session, self.wanted.sandbox)
            if record is not None and record.id < last:
                yield [record]
        elif last:
            scope = replace(scope, room=self.wanted.room)
            async with contextlib.aclosing(self.reader.sessions(scope, before=last)) as slices:
                async for older, _ in slices:
                    yield older

    async def _take_all(self, follower: Follower, sessions: list[SessionRecord], until: float) -> bool:
        """Take what these sessions have, of each its end, then what is before that; False where enough was found, or the time is up."""
        loop = asyncio.get_running_loop()
        left = deque((record, END) for record in sessions)
        looked = self._looked
        while left:
            record, number = left.popleft()
            if (number := await self._take_some(follower, record, number)) > 1:
                left.append((record, number))
            if self._looked - looked >= _COMING:  # whoever waits for what comes now needn't wait for the past
                await self._take_coming(follower, 0)
                looked = self._looked
            if self._looked < NEWEST or not left:
                continue
            if self._enough:
                return False
            if loop.time() >= until:
                self._complete = False
                return False
        await self._take_coming(follower, 0)
        return True

    async def _take_some(self, follower: Follower, record: SessionRecord, number: int) -> int:
        """Take the last events before that number, and answer where the next ones end."""
        if self._looked >= NEWEST and not self._may_fit(record):
            return 0
        if number == END and (read := follower.read(record.id)) is not None:
            number = read + 1  # the others are news
        only = self.kind if self._looked >= NEWEST else None
        some = await self.reader.yard.journal.before(record.id, number, record.shown, only)
        if some is None:
            return 0
        if number == END:
            follower.seen(record.id, some.end - 1)
        self._looked += some.end - some.first
        for event in some.events:
            self._take(event_of(record, event))
        return some.first

    def _may_fit(self, record: SessionRecord) -> bool:
        return self.wanted.room in (None, record.room) and self.wanted.session in (None, record.id)

    def _take(self, event: forms.Event) -> None:
        differences = self.wanted.differences(event)
        if not differences:
            if len(self._fitting) < MOST_FITTING:
                self._fitting.setdefault(event.id, event)
            return
        self._taken += 1
        # The worst, farthest and oldest is the heap's first.
        miss = (-len(differences), self.wanted.nearness(event), place_of(event), self._taken, event, differences)
        if any(event.id == known.id for *_, known, _ in self._misses):
            return
        if len(self._misses) < NEAR_MISSES:
            heapq.heappush(self._misses, miss)
        elif miss[:3] > self._misses[0][:3]:
            heapq.heapreplace(self._misses, miss)

    def _waited(self, *, satisfied: bool) -> forms.EventsWaited:
        misses = sorted(self._misses, key=lambda miss: miss[:3], reverse=True)
        return forms.EventsWaited(
            satisfied=satisfied,
            events=sorted(self._fitting.values(), key=place_of),
            near_misses=[
                forms.EventMiss(**msgspec.structs.asdict(event), because=because(differences))
                for *_, event, differences in misses
            ],
            complete=self._complete,
        )
