"""Hands over what a hop has spooled, recipient by recipient, until each is delivered or has failed for good.

One process of a hop relays at a time: it holds a lock that dies with it, so that what it had under way is taken up at once by the next.
It is woken by its own process' commits, by another's through the spool's counter, and by a sandbox's clock passing a due time, whichever
process moved it. A clock that stands lets nothing be tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from portyard.commons.locks import Lock, Locks
from portyard.commons.sandbox.model import Sandboxes
from portyard.smtp.backlog import Backlog, Job
from portyard.smtp.core.client import Outgoing
from portyard.smtp.core.hop import print_hop
from portyard.smtp.core.model import Hop, Reply
from portyard.smtp.courier import NEXT_DOWN, Courier, Route
from portyard.smtp.outlet import Destination, Outlets, UnreachableError
from portyard.smtp.spool import SqlSpool
from portyard.smtp.spooled import Letter, Queued, State, Turn, Verdict

TICK_S: Final = 0.05
"""Seconds after which another process' commit and the clocks are looked at: memory reads."""
TIDY_S: Final = 60.0
"""Seconds between two rounds of forgetting what can't come again."""
AGAIN_S: Final = 1.0
"""Seconds after which a spool that failed, on a full disk say, is asked again."""
PAGE: Final = 256
"""Recipients read from the spool at once."""
GONE: Final = "its octets are gone"
UNDER_WAY: Final = 64
"""Messages handed over at the same time."""
TOGETHER: Final = 100
"""Recipients of one transaction, which every server takes (RFC 5321 §4.5.3.1.8)."""
SCHEDULE_S: Final = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, *(3600.0,) * 96)
"""Seconds between tries, on the sandbox's clock; four days in all (RFC 5321 §4.5.4.1)."""
GIVE_UP_S: Final = 4 * 86400.0
"""Seconds after which nothing is tried again even where a clock that was moved on left tries of the schedule over."""

_logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    """How a hop relays.

    Attributes:
        hop: "msa" or "mta".
        secret: By which the next hop knows us.
        now: A sandbox's time in seconds since 1970.
        schedule_s: Seconds between tries.
    """

    hop: str
    secret: bytes = field(repr=False)
    now: Callable[[str], float]
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
        self._turns: dict[tuple[str, int], Turn] = {}

    def wake(self) -> None:
        """There is new work."""
        self._wakened.set()

    async def run(self, spool: SqlSpool) -> None:
        """Relay until cancelled."""
        lock = await self._lead()
        try:
            while not await self._tried(_done(spool.recover()), otherwise=False):
                pass
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
        seen, more, read_at, tidy_at = -1, True, -TICK_S, loop.time()
        while True:
            self._wakened.clear()
            self.backlog.ripen(loop.time())
            self._start_ready(spool)
            if loop.time() - read_at >= TICK_S and (more or spool.generation != seen or self._turn_came()):
                read_at, seen = loop.time(), spool.generation
                more = await self._tried(self._read(spool), otherwise=True)
                self._start_ready(spool)
            if loop.time() >= tidy_at:
                tidy_at = loop.time() + TIDY_S
                await self._tried(self._tidy(spool), otherwise=None)
            await self._rest()

    async def _tried(self, work: Awaitable[T], *, otherwise: T) -> T:
        """What comes of asking the spool. Where it fails the relay lives on: else mail that was acknowledged would wait for a restart."""
        try:
            return await work
        except Exception:
            _logger.exception("%s: the spool failed; it is asked again", self._plan.hop)
            await asyncio.sleep(AGAIN_S)
            return otherwise

    async def _tidy(self, spool: SqlSpool) -> None:
        await spool.forget()
        await spool.forget_deliveries()
        for sandbox, generation in await spool.failures():
            if self._sandboxes.generation_now(sandbox) != generation:
                await spool.discard(sandbox, generation)

    async def _rest(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TICK_S):
                await self._wakened.wait()

    def _turn_came(self) -> bool:
        """Whether the clock of any sandbox of which something waits says that its time has come."""
        return any(self._is_due(turn) for turn in self._turns.values())

    def _is_due(self, turn: Turn) -> bool:
        now, latest = self._bounds(turn)
        return turn.first <= now or turn.last > latest

    def _bounds(self, turn: Turn) -> tuple[float, float]:
        """The sandbox's time, and how late an entry of its may be due: one beyond was dated by a clock that was set back.

        What is of an older generation is due at once: to be dropped.
        """
        if self._sandboxes.generation_now(turn.sandbox) != turn.generation:
            return math.inf, math.inf
        now = self._plan.now(turn.sandbox)
        return now, now + max(self._plan.schedule_s, default=0.0)

    async def _read(self, spool: SqlSpool) -> bool:
        """Take what is due into hand; True when there is more than fits."""
        if self.backlog.room < PAGE:
            return True
        limit = PAGE + self.backlog.in_hand
        entries: list[Queued] = []
        self._turns = {}  # before the reading: what is settled meanwhile adds to them
        for turn in await spool.turns():
            self._expect(turn)
            if self._is_due(turn) and len(entries) < limit:
                entries += await spool.due(turn, *self._bounds(turn), limit - len(entries))
        self.backlog.read(entries)
        # A message in hand hides recipients of its own that are due beside: whatever was passed over is looked at again.
        return bool(entries)

    def _expect(self, turn: Turn) -> None:
        """Know when a sandbox's next turn is."""
        key = turn.sandbox, turn.generation
        known = self._turns.get(key, turn)
        self._turns[key] = Turn(*key, min(turn.first, known.first), max(turn.last, known.last))

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
            settled = {verdict.mailbox: verdict for verdict in verdicts}
            for entry in job.recipients:
                if (verdict := settled.get(entry.mailbox)) is not None and verdict.state is State.QUEUED:
                    self._expect(Turn(entry.sandbox, entry.generation, verdict.due, verdict.due))
            job.recipients = [entry for entry in job.recipients if entry.mailbox not in settled]
        return not waiting

    async def _sort(
        self, recipients: Sequence[Queued]
    ) -> tuple[list[Verdict], dict[tuple[Route, str, int], list[Queued]]]:
        """Those whose sandbox, or their taker's, was reset are dropped; the others go together where they go the same way."""
        verdicts: list[Verdict] = []
        groups: dict[tuple[Route, str, int], list[Queued]] = defaultdict(list)
        routes: dict[tuple[str, str], Route] = {}
        for entry in recipients:
            if not await self._stands(entry.sandbox, entry.generation) or not (
                entry.taker is None or await self._stands(entry.taker.sandbox, entry.taker.generation)
            ):
                verdicts.append(Verdict(entry.mailbox, State.DROPPED, entry.attempts, reason="its sandbox was reset"))
                continue
            key = (entry.mailbox.domain.lower(), entry.sandbox)
            if key not in routes:
                routes[key] = await self._courier.route(entry)
            groups[routes[key], entry.sandbox, entry.generation].append(entry)
        return verdicts, groups

    async def _stands(self, name: str, generation: int) -> bool:
        """Whether a sandbox wasn't reset since."""
        sandbox = await self._sandboxes.get(name)
        return sandbox is not None and sandbox.generation == generation

    async def _hand_over(self, letter: Letter, route: Route, hop: Hop, recipients: list[Queued]) -> list[Verdict]:
        """One transaction. No verdict at all where a service of our own doesn't answer: it is tried again soon."""
        if isinstance(route, Reply):
            replies: Sequence[Reply] = (route,) * len(recipients)
            if route is NEXT_DOWN:
                return []
        else:
            try:
                replies = await self._outlets.send(route, self._outgoing(letter, route, hop, recipients), hop.sandbox)
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
            takers=tuple(self._taker(hop.id, entry) for entry in recipients) if ours else (),
        )

    def _taker(self, delivery_id: str, entry: Queued) -> str:
        if entry.taker is None:
            return ""
        return print_hop(Hop(delivery_id, entry.taker.sandbox, entry.taker.generation), self._plan.secret)

    def _judge(self, entry: Queued, answer: Reply) -> Verdict:
        attempts = entry.attempts + 1
        if answer.positive:
            return Verdict(entry.mailbox, State.DELIVERED, attempts, reason=answer.text)
        if answer.transient and attempts <= len(self._plan.schedule_s):
            now = self._plan.now(entry.sandbox)
            if not entry.since or now - entry.since < max(GIVE_UP_S, sum(self._plan.schedule_s)):
                due = now + self._plan.schedule_s[attempts - 1]
                return Verdict(entry.mailbox, State.QUEUED, attempts, due, answer.text)
        _logger.info("%s: %s failed: %s", self._plan.hop, entry.id, answer.text)
        return Verdict(entry.mailbox, State.FAILED, attempts, reason=answer.text)


async def _done(work: Awaitable[None]) -> bool:
    await work
    return True
