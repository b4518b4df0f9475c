"""Removes what a reset or a deletion left behind: mail and files of retired account numbers.

Nobody sees them any more, so there is no hurry. Each is swept twice: soon, and once more when even the slowest session that knew the old
number has ended. The octets of messages are kept some minutes for those who read them, and go then, whether or not anybody resets again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

from portyard.commons.accounts.model import Account
from portyard.commons.database.engine import Database, Row, Transaction

LATE_S = 3600  # a session that logged in before the reset may write as long as it lives; what it wrote goes after this
KEPT_S = (
    330.0  # after which the octets that a reset left have had their time (see the mailstore's `KEEP_UNREFERENCED_S`)
)
_SLICE = 50  # accounts of one look

_logger = logging.getLogger(__name__)


class Mail(Protocol):
    """What is swept of the mailstore."""

    async def forget(self, account_id: int) -> None:
        """Remove all of an account's mail."""

    async def sweep(self) -> bool:
        """Remove the octets of messages that went a while ago."""


class Files(Protocol):
    """What is swept of the filestore."""

    def forget(self, account: Account) -> None:
        """Remove an account's root."""


class Sweeper:
    """The sweeper of one process; several may sweep at once.

    Args:
        database: control.db.
        mail: The mailstore.
        files: The filestore.
        now_s: The machine's time in seconds.
        kept_s: So long after the last `start` it sweeps once more.
    """

    def __init__(
        self,
        database: Database,
        mail: Mail,
        files: Files,
        now_s: Callable[[], float] = time.time,
        kept_s: float = KEPT_S,
    ) -> None:
        self._database = database
        self._mail = mail
        self._files = files
        self._now_s = now_s
        self._kept_s = kept_s
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._again = False
        self._sweeping = asyncio.Lock()

    def start(self) -> None:
        """Sweep in the background, and again when the octets of messages have been kept long enough; a call meanwhile has it look again."""
        self._start_now()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._kept_s, self._start_now)

    async def sweep(self) -> int:
        """Sweep what is due; how many accounts were swept."""
        async with self._sweeping:  # so that on return nothing is still being removed
            count = 0
            while rows := await self._due():
                for row in rows:
                    await self._sweep_one(row)
                count += len(rows)
            await self._mail.sweep()  # of the resets before: what went now is kept some minutes for its readers
            return count

    async def close(self) -> None:
        """End; what is left is swept by the next process."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _start_now(self) -> None:
        self._again = True
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while self._again:
            self._again = False
            try:
                await self.sweep()
            except Exception:  # a full disk, say: nobody sees what is left, and the next look tries again
                _logger.exception("what a reset left behind could not be removed")

    async def _due(self) -> list[Row]:
        columns = "SELECT account_id, sandbox, address, generation, since FROM retired"
        fresh = await self._database.read(f"{columns} WHERE purged = 0 ORDER BY account_id LIMIT ?", (_SLICE,))
        # Two questions, for each has an index: one with OR looks through all that were retired within the hour.
        return fresh or await self._database.read(
            f"{columns} WHERE since <= ? ORDER BY since LIMIT ?", (int(self._now_s()) - LATE_S, _SLICE)
        )

    async def _sweep_one(self, row: Row) -> None:
        number, sandbox, address, generation, since = row
        local_part, _, domain = address.rpartition("@")
        account = Account(number, sandbox, local_part, domain, "", (), generation)
        last = since <= int(self._now_s()) - LATE_S
        await self._mail.forget(number)
        await asyncio.to_thread(self._files.forget, account)
        done = (
            "DELETE FROM retired WHERE account_id = ?" if last else "UPDATE retired SET purged = 1 WHERE account_id = ?"
        )

        def job(work: Transaction) -> None:
            work.execute(done, (number,))

        await self._database.write(job)
