"""Hands over what a hop has spooled, recipient by recipient, until each is delivered or has failed for good.

One process of a hop relays at a time: it holds a lock that dies with it, so that what it had under way is taken up at once by the next.
It is woken by its own process' commits, by another's through the spool's counter, and by the testbed's clock passing a due time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from portyard.commons.locks import Lock, Locks
from portyard.commons.sandbox.model import Sandboxes
from portyard.smtp.core.client import Outgoing
from portyard.smtp.core.hop import print_hop
from portyard.smtp.core.model import Hop, Reply
from portyard.smtp.courier import NEXT_DOWN, Courier, Route
from portyard.smtp.outlet import Destination, Outlets, UnreachableError
from portyard.smtp.spool import Letter, Queued, SqlSpool, State, Verdict

TICK_S: Final = 0.05
"""Seconds after which another process' commit and the clock are looked at: two memory reads."""
HOLD_S: Final = 0.5
"""Seconds of real time after which a service of our own that didn't answer is tried again; it costs the message no attempt."""
TIDY_S: Final = 60.0
"""Seconds between two rounds of forgetting what can't come again."""
UNDER_WAY: Final = 64
"""Messages handed over at the same time."""
TOGETHER: Final = 100
"""Recipients of one transaction, which every server takes (RFC 5321 §4.5.3.1.8)."""
SCHEDULE_S: Final = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, *(3600.0,) * 96)
"""Seconds between tries, on the testbed's clock; four days in all (RFC 5321 §4.5.4.1)."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a hop relays.

    Attributes:
        hop: "msa" or "mta".
        secret: By which the next hop knows us.
        now: The testbed's time in seconds since 1970.
        schedule_s: Seconds between tries.
    """

    hop: str
    secret: bytes = field(repr=False)
    now: Callable[[], float]
    schedule_s: Sequence[float] = SCHEDULE_S


class Relay:
    """One hop's relaying.

    Args:
        plan: How.
        courier: Where to.
        outlets: The connections.
        sandboxes: Whether a sandbox was reset since.
        locks: For the one that relays.
    """

    def __init__(self, plan: Plan, courier: Courier, outlets: Outlets, sandboxes: Sandboxes, locks: Locks) -> None:
        self._plan = plan
        self._courier = courier
        self._outlets = outlets
        self._sandboxes = sandboxes
        self._locks = locks
        self._wakened = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._sizes: dict[str, int] = {}
        self._held: dict[str, float] = {}

    def wake(self) -> None:
        """There is new work."""
        self._wakened.set()

    async def run(self, spool: SqlSpool) -> None:
        """Relay until cancelled."""
        lock = await self._lead()
        try:
            await self._relay(spool)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            await self._outlets.close()
            lock.release()

    async def _lead(self) -> Lock:
        while True:
            lock = self._locks.take(f"relay-{self._plan.hop}")
            if lock is not None:
                return lock
            await self._rest()

    async def _relay(self, spool: SqlSpool) -> None:
        loop = asyncio.get_running_loop()
        tidy_at = loop.time()
        while True:
            seen, now = spool.generation, self._plan.now()
            self._wakened.clear()
            more = await self._start_due(spool, now)
            if loop.time() >= tidy_at:
                tidy_at = loop.time() + TIDY_S
                await spool.forget()
            while not more and not self._wakened.is_set() and spool.generation == seen:
                await self._rest()
                more = self._something_came_due(now)

    async def _rest(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TICK_S):
                await self._wakened.wait()

    def _something_came_due(self, since: float) -> bool:
        """Whether the clock, testbed's or real, moved on to somebody's turn; asked every tick, so cheaply."""
        time = asyncio.get_running_loop().time()
        ripe = [key for key, until in self._held.items() if until <= time]
        for key in ripe:
            del self._held[key]
        return bool(ripe) or abs(self._plan.now() - since) >= self._grain

    @property
    def _grain(self) -> float:
        """Seconds that the testbed's clock may move before the spool is read again."""
        return min(0.25, *self._plan.schedule_s) if self._plan.schedule_s else 0.25

    async def _start_due(self, spool: SqlSpool, now: float) -> bool:
        """Start as many messages as may be under way; True when more could start at once."""
        if len(self._tasks) >= UNDER_WAY:
            return False  # a task's end wakes us
        passed_over = sum(self._sizes.values())
        latest = now + max(self._plan.schedule_s, default=0.0)
        limit = 4 * UNDER_WAY + passed_over
        entries = await spool.due(now, latest, limit)
        letters: dict[str, list[Queued]] = defaultdict(list)
        for entry in entries:
            if entry.id not in self._tasks and entry.id not in self._held:
                letters[entry.id].append(entry)
        for delivery_id, recipients in letters.items():
            if len(self._tasks) >= UNDER_WAY:
                return False
            self._start(spool, delivery_id, recipients)
        return len(entries) == limit and bool(letters)

    def _start(self, spool: SqlSpool, delivery_id: str, recipients: list[Queued]) -> None:
        task = asyncio.get_running_loop().create_task(self._deliver(spool, delivery_id, recipients))
        self._tasks[delivery_id] = task
        self._sizes[delivery_id] = len(recipients)
        task.add_done_callback(lambda done: self._ended(delivery_id, done))

    def _ended(self, delivery_id: str, task: asyncio.Task[None]) -> None:
        del self._tasks[delivery_id], self._sizes[delivery_id]
        self._wakened.set()
        if not task.cancelled() and task.exception() is not None:
            _logger.error("%s: handing over %s failed", self._plan.hop, delivery_id, exc_info=task.exception())
            self._hold(delivery_id)

    def _hold(self, delivery_id: str) -> None:
        self._held[delivery_id] = asyncio.get_running_loop().time() + HOLD_S

    async def _deliver(self, spool: SqlSpool, delivery_id: str, recipients: list[Queued]) -> None:
        verdicts, groups = await self._sort(recipients)
        if groups:
            letter = await spool.letter(delivery_id)
            if letter is None:
                lost = [
                    Verdict(entry.mailbox, State.FAILED, entry.attempts, reason="its octets are gone")
                    for entry in recipients
                ]
                await spool.settle(delivery_id, lost)
                return
            for (route, sandbox, generation), group in groups.items():
                hop = Hop(delivery_id, sandbox, generation)
                for start in range(0, len(group), TOGETHER):
                    verdicts += await self._hand_over(letter, route, hop, group[start : start + TOGETHER])
        if verdicts:
            await spool.settle(delivery_id, verdicts)

    async def _sort(self, recipients: list[Queued]) -> tuple[list[Verdict], dict[tuple[Route, str, int], list[Queued]]]:
        """Those whose sandbox was reset are dropped; the others go together where they go the same way."""
        verdicts: list[Verdict] = []
        groups: dict[tuple[Route, str, int], list[Queued]] = defaultdict(list)
        routes: dict[tuple[str, str], Route] = {}
        for entry in recipients:
            sandbox = await self._sandboxes.get(entry.sandbox)
            if sandbox is None or sandbox.generation != entry.generation:
                verdicts.append(Verdict(entry.mailbox, State.DROPPED, entry.attempts, reason="its sandbox was reset"))
                continue
            key = (entry.mailbox.domain.lower(), entry.sandbox)
            if key not in routes:
                routes[key] = await self._courier.route(entry)
            groups[routes[key], entry.sandbox, entry.generation].append(entry)
        return verdicts, groups

    async def _hand_over(self, letter: Letter, route: Route, hop: Hop, recipients: list[Queued]) -> list[Verdict]:
        """One transaction. No verdict at all where a service of our own doesn't answer: it is tried again soon."""
        if isinstance(route, Reply):
            replies: Sequence[Reply] = (route,) * len(recipients)
            if route is NEXT_DOWN:
                self._hold(hop.id)
                return []
        else:
            try:
                replies = await self._outlets.send(route, self._outgoing(letter, route, hop, recipients))
            except UnreachableError as error:
                if route.addresses and route.addresses[0].ours and not error.greeted:
                    self._hold(hop.id)
                    return []
                replies = (error.reply,) * len(recipients)
        return [self._judge(entry, answer) for entry, answer in zip(recipients, replies, strict=True)]

    def _outgoing(self, letter: Letter, route: Destination, hop: Hop, recipients: list[Queued]) -> Outgoing:
        ours = all(address.ours for address in route.addresses)
        return Outgoing(
            reverse_path=letter.reverse_path,
            recipients=tuple(entry.mailbox for entry in recipients),
            octets=letter.octets,
            eight_bit=letter.eight_bit,
            smtputf8=letter.smtputf8,
            hop=print_hop(hop, self._plan.secret) if ours else "",
        )

    def _judge(self, entry: Queued, answer: Reply) -> Verdict:
        attempts = entry.attempts + 1
        if answer.positive:
            return Verdict(entry.mailbox, State.DELIVERED, attempts, reason=answer.text)
        if answer.transient and attempts <= len(self._plan.schedule_s):
            due = self._plan.now() + self._plan.schedule_s[attempts - 1]
            return Verdict(entry.mailbox, State.QUEUED, attempts, due, answer.text)
        _logger.info("%s: %s failed: %s", self._plan.hop, entry.id, answer.text)
        return Verdict(entry.mailbox, State.FAILED, attempts, reason=answer.text)
