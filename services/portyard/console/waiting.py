"""Waiting for messages is the server's job: until so many fit, or until nothing has come for long enough."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from portyard.console import shapes
from portyard.console.core.matching import Criteria, because
from portyard.console.queries import MailQueries

LOOK_S = 0.02  # between two looks at whether any mailbox moved; what comes is heard of within 50 ms
NEAR_MISSES = 10  # shown, those with the fewest differences first
MESSAGES_LIMIT = 10_000  # the newest messages of a sandbox that are looked at


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
    _known: dict[int, tuple[shapes.Message, list[str]]] = field(default_factory=dict)

    async def outcome(self) -> shapes.Waited:
        """What came of it."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.timeout_s
        while True:
            token = await self.queries.token()  # before the look: what comes during it is seen by the next one
            present = await self._look()
            fitting = [message for message, differences in present if not differences]
            if fitting and len(fitting) >= self.count:
                return self._waited(present, satisfied=self.count > 0)
            if not await self._moved(token, deadline):
                return self._waited(present, satisfied=self.count == 0)

    async def _moved(self, token: object, deadline: float) -> bool:
        """True once something moved, False when the time is up."""
        loop = asyncio.get_running_loop()
        while (left := deadline - loop.time()) > 0:
            await asyncio.sleep(min(LOOK_S, left))
            if await self.queries.token() != token:
                return True
        return False

    async def _look(self) -> list[tuple[shapes.Message, list[str]]]:
        """Every message that is there now, newest first, with its differences; each is read only once."""
        mailboxes = await self.queries.mailboxes(self.sandbox)
        keys = [key for _, key in await self.queries.newest(mailboxes, MESSAGES_LIMIT)]
        fresh = [key for key in keys if key not in self._known]
        async for message in self.queries.listed(self.sandbox, mailboxes, fresh):
            self._known[int(message.id)] = (message, self.criteria.differences(fields_of(message)))
        return [self._known[key] for key in keys if key in self._known]

    def _waited(self, present: list[tuple[shapes.Message, list[str]]], *, satisfied: bool) -> shapes.Waited:
        missed = sorted(
            ((m, d) for m, d in present if d), key=lambda miss: len(miss[1])
        )  # stable: newest first among equals
        return shapes.Waited(
            satisfied=satisfied,
            messages=[message for message, differences in present if not differences],
            near_misses=[
                shapes.NearMiss(**msgspec.structs.asdict(message), because=because(differences))
                for message, differences in missed[:NEAR_MISSES]
            ],
        )


def fields_of(message: shapes.Message) -> Mapping[str, list[str]]:
    """The message's values by the names that filters know."""
    to = [*message.to, *message.cc, *([message.recipient] if message.recipient else [])]
    return {"to": to, "from": [message.from_], "subject": [message.subject]}
