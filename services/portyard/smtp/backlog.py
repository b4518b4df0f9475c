"""What the relay has in hand: new messages straight from their commit, entries read from the spool, and those that wait a moment.

It saves the spool from being read again for what this process itself has just written. It knows no task and no SQL.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from portyard.smtp.spooled import Letter, Queued

IN_HAND: Final = 2000
"""Messages in hand at once; those beyond wait in the spool alone."""
HOLD_S: Final = 0.5
"""Seconds of real time between tries at a service of our own that doesn't answer; they cost the message no attempt."""
OCTETS: Final = 16 << 20
"""Octets of new messages that are kept in memory; beyond, they are read from the spool again when their turn comes."""


@dataclass(slots=True)
class Job:
    """A message to hand over.

    Attributes:
        id: Its delivery id.
        recipients: Those whose turn it is.
        letter: The message, or None to read it from the spool.
    """

    id: str
    recipients: Sequence[Queued]
    letter: Letter | None = None


class Backlog:
    """The jobs of the one relay of a hop. Implements the spool's `Desk`."""

    def __init__(self) -> None:
        self.leading = False
        self._known: set[str] = set()
        self._ready: deque[Job] = deque()
        self._held: deque[Job] = deque()
        self._ripe_at = 0.0
        self._flowing = False
        self._octets = 0

    @property
    def room(self) -> int:
        """How many more messages may come into hand."""
        return IN_HAND - len(self._known)

    @property
    def in_hand(self) -> int:
        """Messages in hand: ready, held, under way or about to be committed."""
        return len(self._known)

    def reserve(self, delivery_id: str) -> bool:
        """See Desk."""
        if not self.leading or self.room <= 0 or delivery_id in self._known:
            return False
        self._known.add(delivery_id)
        return True

    def take(self, delivery_id: str, recipients: Sequence[Queued], letter: Letter | None) -> None:
        """See Desk."""
        if letter is not None:
            if self._octets + len(letter.octets) > OCTETS:
                letter = None
            else:
                self._octets += len(letter.octets)
        self._ready.append(Job(delivery_id, recipients, letter))

    def release(self, delivery_id: str) -> None:
        """See Desk."""
        self._known.discard(delivery_id)

    def read(self, entries: Iterable[Queued]) -> int:
        """Take entries of the spool into hand, message by message; those that are in hand are passed over. How many messages came."""
        found: dict[str, list[Queued]] = defaultdict(list)
        for entry in entries:
            if entry.id not in self._known:
                found[entry.id].append(entry)
        for delivery_id, recipients in found.items():
            self._known.add(delivery_id)
            self._ready.append(Job(delivery_id, recipients))
        return len(found)

    def next(self) -> Job | None:
        """The job whose turn it is; it stays in hand until `done` or `hold`."""
        return self._ready.popleft() if self._ready else None

    def done(self, job: Job) -> None:
        """The spool says what became of it."""
        self._flowing = True
        self._drop_letter(job)
        self._known.discard(job.id)

    def hold(self, job: Job) -> None:
        """The next service doesn't answer: try again later."""
        self._drop_letter(job)
        self._held.append(job)

    def ripen(self, time: float) -> None:
        """Every `HOLD_S` one of those held tries its luck; all of them where others get through."""
        if not self._held or time < self._ripe_at:
            return
        self._ripe_at = time + HOLD_S
        count, self._flowing = len(self._held) if self._flowing else 1, False
        for _ in range(count):
            self._ready.append(self._held.popleft())

    def _drop_letter(self, job: Job) -> None:
        if job.letter is not None:
            self._octets -= len(job.letter.octets)
            job.letter = None
