"""Every sandbox's clock, in control.db: frozen, ahead, or the machine's own; the same for every process at the next look."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from portyard.commons.clock import Clock, Setting
from portyard.commons.database.engine import Database, Row, Transaction
from portyard.commons.sandbox.model import DEFAULT, NoSuchSandboxError

COUNTER = "clocks"
_REAL = Setting()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LOOK_AGAIN_S = 60.0  # the machine's own time may be set, too
_SQL = "SELECT sandbox, frozen_us, ahead_us FROM clocks"


class CounterWatcher(Protocol):
    """Hears of counters that any process moves."""

    def watch_counter(self, counter: str) -> AsyncCloseable:
        """Yields once for each move or run of moves."""


class AsyncCloseable(Protocol):
    """What `watch_counter` returns."""

    async def __anext__(self) -> None:
        """The next move."""

    async def aclose(self) -> None:
        """Yield no more."""


class SandboxClock:
    """One sandbox's time. Implements `clock.Clock`; made by `SqlClocks.of`."""

    __slots__ = ("_clocks", "sandbox")

    def __init__(self, clocks: SqlClocks, sandbox: str) -> None:
        self._clocks = clocks
        self.sandbox = sandbox

    def now(self) -> datetime:
        """The sandbox's time, aware, in UTC."""
        return self._clocks.now(self.sandbox)

    def timestamp(self) -> float:
        """The same in seconds since the epoch."""
        return self.now().timestamp()

    async def wait_until(self, instant: datetime) -> None:
        """Return once the sandbox's time has come to a moment, by itself or by being moved there."""
        await self._clocks.wait_until(self.sandbox, instant)

    async def sleep(self, delay_s: float) -> None:
        """Return once so much of the sandbox's time has gone by."""
        await self.wait_until(self.now() + timedelta(seconds=delay_s))


class SqlClocks:
    """The clocks of every sandbox.

    Args:
        database: control.db, with CONTROL_SCHEMA.
        watcher: Hears of another process's change.
        real: The machine's time.
        read_now: Reads control.db without waiting, where the engine can; else a change counts from the next `refresh` on.
    """

    def __init__(
        self,
        database: Database,
        watcher: CounterWatcher,
        real: Clock,
        read_now: Callable[[str], list[Row]] | None = None,
    ) -> None:
        self._database = database
        self._watcher = watcher
        self._real = real
        self._read_now = read_now
        self._seen: int | None = None
        self._settings: dict[str, Setting] = {}

    def of(self, sandbox: str = DEFAULT) -> SandboxClock:
        """A sandbox's clock."""
        return SandboxClock(self, sandbox)

    def now(self, sandbox: str) -> datetime:
        """A sandbox's time, aware, in UTC."""
        setting = self.setting(sandbox)
        return setting.frozen if setting.frozen is not None else setting.at(self._real.now())

    def stamp(self, sandbox: str) -> float | None:
        """A sandbox's time in seconds since 1970, for what the machine dates by itself; None where its clock is the machine's."""
        setting = self.setting(sandbox)
        return None if setting == _REAL else setting.at(self._real.now()).timestamp()

    def setting(self, sandbox: str) -> Setting:
        """How a sandbox's clock stands."""
        generation = self._database.generation(COUNTER)
        if generation != self._seen and self._read_now is not None:
            self._take(generation, self._read_now(_SQL))
        return self._settings.get(sandbox, _REAL)

    async def refresh(self) -> None:
        """Know what every process has set by now."""
        generation = self._database.generation(COUNTER)
        if generation != self._seen:
            self._take(generation, await self._database.read(_SQL))

    async def freeze(self, sandbox: str, instant: datetime) -> datetime:
        """Stop a sandbox's clock at a moment; its time now.

        Raises:
            ClockError: The moment has no time zone, or is too far away.
            NoSuchSandboxError: There is no such sandbox.
        """
        return await self._change(sandbox, lambda setting, _: setting.freeze(instant))

    async def advance(self, sandbox: str, by: timedelta) -> datetime:
        """Move a sandbox's clock on; who waits for a moment up to there is woken. Its time now. Raises as `freeze`."""
        return await self._change(sandbox, lambda setting, real: setting.advance(by, real))

    async def run_real(self, sandbox: str) -> datetime:
        """Let a sandbox's clock be the machine's again; its time now. Raises as `freeze`."""
        return await self._change(sandbox, lambda _, __: _REAL)

    async def wait_until(self, sandbox: str, instant: datetime) -> None:
        """See `SandboxClock.wait_until`."""
        watch = self._watcher.watch_counter(COUNTER)  # before the first look: a change in between wakes it
        try:
            while True:
                await self.refresh()
                left_s = (instant - self.now(sandbox)).total_seconds()
                if left_s <= 0:
                    return
                frozen = self.setting(sandbox).frozen is not None
                await _moved(watch, None if frozen else min(left_s, _LOOK_AGAIN_S))
        finally:
            await watch.aclose()

    async def _change(self, sandbox: str, how: Callable[[Setting, datetime], Setting]) -> datetime:
        def job(work: Transaction) -> None:
            if not work.execute("SELECT 1 FROM sandboxes WHERE name = ?", (sandbox,)):
                raise NoSuchSandboxError(sandbox)
            rows = work.execute("SELECT sandbox, frozen_us, ahead_us FROM clocks WHERE sandbox = ?", (sandbox,))
            setting = how(_setting(rows[0]) if rows else _REAL, self._real.now())
            frozen_us = None if setting.frozen is None else (setting.frozen - _EPOCH) // _MICROSECOND
            work.execute("DELETE FROM clocks WHERE sandbox = ?", (sandbox,))
            if setting != _REAL:
                sql = "INSERT INTO clocks (sandbox, frozen_us, ahead_us) VALUES (?, ?, ?)"
                work.execute(sql, (sandbox, frozen_us, setting.ahead // _MICROSECOND))
            work.bump(COUNTER)

        await self._database.write(job)
        await self.refresh()
        return self.now(sandbox)

    def _take(self, generation: int, rows: list[Row]) -> None:
        self._settings = {row[0]: _setting(row) for row in rows}
        self._seen = generation


def _setting(row: Row) -> Setting:
    _, frozen_us, ahead_us = row
    frozen = None if frozen_us is None else _EPOCH + timedelta(microseconds=frozen_us)
    return Setting(frozen, timedelta(microseconds=ahead_us))


async def _moved(watch: AsyncCloseable, timeout_s: float | None) -> None:
    """Return at the next move, or after so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            try:
                await watch.__anext__()
            except StopAsyncIteration:  # the watcher was closed: the process ends, and nothing comes any more
                await asyncio.get_running_loop().create_future()
