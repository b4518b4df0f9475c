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
from portyard.smtp.backlog import Backlog, Job
from portyard.smtp.core.client import Outgoing
from portyard.smtp.core.hop import print_hop
from portyard.smtp.core.model import Hop, Reply
from portyard.smtp.courier import NEXT_DOWN, Courier, Route
from portyard.smtp.outlet import Destination, Outlets, UnreachableError
from portyard.smtp.spool import Letter, Queued, SqlSpool, State, Verdict

TICK_S: Final = 0.05
"""Seconds after which another process' commit and the clock are looked at: two memory reads."""
TIDY_S: Final = 60.0
"""Seconds between two rounds of forgetting what can't come again."""
GRAIN_S: Final = 0.25
"""Seconds that the testbed's clock may move before the spool is read for what came due."""
PAGE: Final = 256
"""Recipients read from the spool at once."""
GONE: Final = "its octets are gone"
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
        self.backlog = Backlog()
        self._plan = plan
        self._courier = courier
        self._outlets = outlets
        self._sandboxes = sandboxes
        self._locks = locks
        self._wakened = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """There is new work."""
        self._wakened.set()

    async def run(self, spool: SqlSpool) -> None:
        """Relay until cancelled."""
        lock = await self._lead()
        try:
            await spool.recover()
            self.backlog.leading = True
            await self._relay(spool)
        finally:
            self.backlog.leading = False
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._outlets.close()
            lock.release()

    async def _lead(self) -> Lock:
        while True:
            lock = self._locks.take(f"relay-{self._plan.hop}")
            if lock is not None:
                return lock
            self._wakened.clear()  # or the wait would end at once, for ever
            await self._rest()

    async def _relay(self, spool: SqlSpool) -> None:
        loop = asyncio.get_running_loop()
        seen, now, more, read_at, tidy_at = -1, 0.0, True, -TICK_S, loop.time()
        while True:
            self._wakened.clear()
            self.backlog.ripen(loop.time())
            self._start_ready(spool)
            if loop.time() - read_at >= TICK_S and (more or spool.generation != seen or self._clock_moved(now)):
                read_at, seen, now = loop.time(), spool.generation, self._plan.now()
                more = await self._read(spool, now)
                self._start_ready(spool)
            if loop.time() >= tidy_at:
                tidy_at = loop.time() + TIDY_S
                await spool.forget()
            await self._rest()

    async def _rest(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TICK_S):
                await self._wakened.wait()

    def _clock_moved(self, since: float) -> bool:
        """Whether the testbed's clock moved far enough that somebody's turn may have come."""
        return abs(self._plan.now() - since) >= min(GRAIN_S, *self._plan.schedule_s)

    async def _read(self, spool: SqlSpool, now: float) -> bool:
        """Take what is due into hand; True when there is more than fits."""
        if self.backlog.room < PAGE:
            return True
        limit = PAGE + self.backlog.in_hand
        entries = await spool.due(now, now + max(self._plan.schedule_s, default=0.0), limit)
        self.backlog.read(entries)
        # A message in hand hides recipients of its own that are due beside: whatever was passed over is looked at again.
        return bool(entries)

    def _start_ready(self, spool: SqlSpool) -> None:
        while len(self._tasks) < UNDER_WAY and (job := self.backlog.next()) is not None:
            task = asyncio.get_running_loop().create_task(self._run(spool, job))
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wakened.set()

    async def _run(self, spool: SqlSpool, job: Job) -> None:
        """One message; what could not be settled is tried again soon."""
        try:
            settled = await self._deliver(spool, job)
        except Exception:
            _logger.exception("%s: handing over %s failed", self._plan.hop, job.id)
            settled = False
        if settled:
            self.backlog.done(job)
        else:
            self.backlog.hold(job)

    async def _deliver(self, spool: SqlSpool, job: Job) -> bool:
        """Hand over; False where a service of our own didn't answer, and the rest must wait a moment."""
        verdicts, groups = await self._sort(job.recipients)
        waiting = False
        letter = job.letter or (await spool.letter(job.id) if groups else None)
        for (route, sandbox, generation), group in groups.items():
            if letter is None:
                verdicts += [Verdict(entry.mailbox, State.FAILED, entry.attempts, reason=GONE) for entry in group]
                continue
            hop = Hop(job.id, sandbox, generation)
            for start in range(0, len(group), TOGETHER):
                part = group[start : start + TOGETHER]
                found = await self._hand_over(letter, route, hop, part)
                verdicts += found
                waiting |= not found
        if verdicts:
            await spool.settle(job.id, verdicts)
            settled = {verdict.mailbox for verdict in verdicts}
            job.recipients = [entry for entry in job.recipients if entry.mailbox not in settled]
        return not waiting

    async def _sort(
        self, recipients: Sequence[Queued]
    ) -> tuple[list[Verdict], dict[tuple[Route, str, int], list[Queued]]]:
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
                return []
        else:
            try:
                replies = await self._outlets.send(route, self._outgoing(letter, route, hop, recipients))
            except UnreachableError as error:
                if route.addresses[0].ours and not error.greeted:
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
