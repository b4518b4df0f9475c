"""The journal over a database: pens that note in memory, and one task that writes behind them.

A session's events become readable within FLUSH_S, LOADED_S while they come fast; `flush` waits for it. What was noted when a process is
killed and not yet written is lost: the journal tells what happened, it is not what must not be lost.

How an event is noted stands in `pen`, what it is as octets in `pages`, when they are written in `writing`, and how they are found again in
`reading`.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

from portyard.commons.clock import Clock
from portyard.commons.database.engine import Database
from portyard.commons.journal.model import SessionRecord
from portyard.commons.journal.pen import ALWAYS_MOVES, Pen
from portyard.commons.journal.reading import Readings
from portyard.commons.journal.writing import WriteBehind
from portyard.commons.sandbox.model import DEFAULT


class StoredJournal(Readings):
    """The Journal over a database.

    Args:
        database: journal.db.
        clock: The testbed's time.
        most_events: Events kept; the oldest sessions that have ended go first.
        most_octets: Octets of events kept.
        generation_of: A sandbox's generation at this moment.
        moved: A number that is another whenever `generation_of` may answer otherwise than before; read in no time.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        most_events: int,
        most_octets: int,
        generation_of: Callable[[str], int] = lambda _: 1,
        moved: Callable[[], int] = ALWAYS_MOVES,
    ) -> None:
        super().__init__(database, generation_of)
        self._moved = moved
        self._clock = clock
        self._behind = WriteBehind(database, clock, (most_events, most_octets), generation_of)
        self._serial = itertools.count()
        self._nonce = time.time_ns()

    def open_session(
        self, *, room: str, service: str, peer: str, local: str, port: str, closed: Callable[[], None] | None = None
    ) -> Pen:
        """See Journal."""
        session_id = f"{time.time_ns():016x}{self._nonce & 0xFFFF:04x}{next(self._serial) & 0xFFFF:04x}"
        record = SessionRecord(session_id, room, service, DEFAULT, peer, self._clock.now(), None, None)
        pen = Pen(self._behind, record, local, port, closed, self._moved)
        pen.event("opened", service=service, port=port, peer=peer, local=local)
        return pen

    @property
    def waiting(self) -> int:
        """See Journal."""
        return self._behind.waiting

    async def flush(self) -> None:
        """See Journal."""
        await self._behind.flush()

    async def close(self) -> None:
        """Write what was noted."""
        await self._behind.close()
