"""Waiting for messages is the server's job: until so many fit, or until nothing has come for long enough."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from portyard.console import shapes
from portyard.console.core.matching import Criteria, because
from portyard.console.queries import Boxes, MailQueries, Place

LOOK_S = 0.02  # between two looks at whether any mailbox moved; what comes is heard of within 50 ms
NEAR_MISSES = 10  # shown, those with the fewest differences first
MESSAGES_LIMIT = 10_000  # messages that were there before the wait, the newest, that are looked at
LOOK_BACK_S = 1.0  # for looking at them, where the time is shorter: who asks what is there waits for nothing to come
SLICE = 200  # messages that are read before it is asked whether enough fit


@dataclass(slots=True)
class Wait:
    """One wait.

    Attributes:
        queries: Where messages come from.
        sandbox: Whose.
        criteria: What they must fit.
        count: How many are wanted; 0 for none at all.
        timeout_s: Until when, in seconds from now.
    """

    queries: MailQueries
    sandbox: str
    criteria: Criteria
    count: int
    timeout_s: float
    _known: dict[Place, tuple[shapes.Message, list[str]]] = field(default_factory=dict)
    _fit: set[Place] = field(default_factory=set)  # those of them that fitted when they were read
    _uid_next: dict[int, int] | None = None
    _complete: bool = True

    async def outcome(self) -> shapes.Waited:
        """What came of it."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        deadline = start + self.timeout_s
        while True:
            token = await self.queries.token()  # before the look: what comes during it is seen by the next one
            if await self._look(max(deadline, start + LOOK_BACK_S)):
                return await self._waited(satisfied=self.count > 0)
            if not await self._moved(token, deadline):
                return await self._waited(satisfied=self.count == 0 and self._complete)

    async def _moved(self, token: object, deadline: float) -> bool:
        """True once something moved, False when the time is up."""
        loop = asyncio.get_running_loop()
        while (left := deadline - loop.time()) > 0:
            await asyncio.sleep(min(LOOK_S, left))
            if await self.queries.token() != token:
                return True
        return False

    async def _look(self, until: float) -> bool:
        """Read what hasn't been read yet, newest first and in slices; True as soon as enough fit and are still there."""
        loop = asyncio.get_running_loop()
        mailboxes = await self.queries.mailboxes(self.sandbox)
        fresh, wanted = await self._fresh(mailboxes), max(self.count, 1)
        for start in range(0, max(len(fresh), 1), SLICE):
            dates = {key: date for date, key in fresh[start : start + SLICE]}
            async for message in self.queries.listed(mailboxes, dates):
                key = int(message.id)
                self._read((dates[key], key), message)
            if len(self._candidates()) >= wanted and len(await self._fitting()) >= wanted:
                return True
            if loop.time() >= until and start + SLICE < len(fresh):
                self._complete = False
                return False
        return False

    async def _fresh(self, mailboxes: Boxes) -> list[Place]:
        """The messages that came since the last look, at first the newest ones."""
        before = self._uid_next
        self._uid_next = {key: box.uid_next for key, box in mailboxes.items()}
        if before is None:
            return await self.queries.newest(mailboxes, MESSAGES_LIMIT)
        grown = {key: before.get(key, 1) for key, box in mailboxes.items() if box.uid_next != before.get(key, 1)}
        return sorted([p for key, uid in grown.items() for p in await self.queries.since(key, uid)], reverse=True)

    def _candidates(self) -> list[int]:
        """The keys of those that fitted when they were read, newest first."""
        return [key for _, key in sorted(self._fit, reverse=True)]

    def _read(self, place: Place, message: shapes.Message) -> None:
        differences = self.criteria.differences(fields_of(message))
        self._known[place] = (message, differences)
        if not differences:
            self._fit.add(place)

    async def _fitting(self) -> list[shapes.Message]:
        """Those of them that weren't removed meanwhile, as they are now."""
        mailboxes = await self.queries.mailboxes(self.sandbox)
        return [message async for message in self.queries.listed(mailboxes, self._candidates())]

    async def _waited(self, *, satisfied: bool) -> shapes.Waited:
        missed = [self._known[place] for place in sorted(self._known, reverse=True) if self._known[place][1]]
        missed.sort(key=lambda miss: len(miss[1]))  # stable: newest first among equals
        return shapes.Waited(
            satisfied=satisfied,
            messages=[await self.queries.arrived(message) for message in await self._fitting()],
            near_misses=[
                shapes.NearMiss(**msgspec.structs.asdict(message), because=because(differences))
                for message, differences in missed[:NEAR_MISSES]
            ],
            complete=self._complete,
        )


def fields_of(message: shapes.Message) -> Mapping[str, list[str]]:
    """The message's values by the names that filters know."""
    to = [*message.to, *message.cc, *([message.recipient] if message.recipient else [])]
    return {"to": to, "from": [message.from_], "subject": [message.subject]}
