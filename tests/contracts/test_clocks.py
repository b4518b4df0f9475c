"""The contract of the sandboxes' clocks: frozen, moved and let go, in every process, and heard by those who wait."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from portyard.commons.clock import ClockError, Setting, SystemClock
from portyard.commons.sandbox.model import NoSuchSandboxError
from tests.contracts.engines import opened
from tests.support.asyncio_tests import run

BOUND_S = 60.0  # only a bug meets it

THEN = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
HOUR = timedelta(hours=1)


def real() -> datetime:
    return datetime.now(UTC)


def near(one: datetime, other: datetime) -> bool:
    return abs(one - other) < timedelta(seconds=30)


def test_frozen_advanced_and_real_again(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            opened(engine, tmp_path, clock=SystemClock()) as one,
            opened(engine, tmp_path, clock=SystemClock()) as other,
        ):
            clock = other.clocks.of()
            assert near(clock.now(), real())
            assert await one.clocks.freeze("default", THEN) == THEN
            assert clock.now() == THEN
            assert clock.timestamp() == THEN.timestamp()
            assert await one.clocks.advance("default", HOUR) == THEN + HOUR
            assert clock.now() == THEN + HOUR
            assert await one.clocks.freeze("default", THEN.astimezone(timezone(HOUR))) == THEN
            assert near(await one.clocks.run_real("default"), real())
            assert near(await one.clocks.advance("default", HOUR), real() + HOUR)
            assert near(await other.clocks.advance("default", HOUR), real() + 2 * HOUR)
            assert near(clock.now(), real() + 2 * HOUR)
            await one.sandboxes.create("t1")
            assert near(other.clocks.now("t1"), real())
        async with opened(engine, tmp_path, clock=SystemClock()) as stores:
            assert near(stores.clocks.now("default"), real() + 2 * HOUR)
            await stores.sandboxes.reset("default")
            assert near(stores.clocks.now("default"), real())

    run(main())


def test_what_a_clock_can_not_be_set_to(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path, clock=SystemClock()) as stores:
            wrong = (
                (stores.clocks.freeze("default", datetime(2030, 1, 1)), "time zone"),
                (stores.clocks.freeze("default", datetime(1, 1, 1, tzinfo=UTC)), "too far"),
                (stores.clocks.freeze("default", datetime.max.replace(tzinfo=timezone(-HOUR))), "too far"),
                (stores.clocks.advance("default", -HOUR), "backwards"),
                (stores.clocks.advance("default", timedelta.max), "too far"),
            )
            for attempt, words in wrong:
                with pytest.raises(ClockError, match=words) as caught:
                    await attempt
                assert caught.value.key in ("freeze", "advance")
            with pytest.raises(NoSuchSandboxError):
                await stores.clocks.freeze("t1", THEN)
            assert stores.clocks.setting("default") == Setting()

    run(main())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_who_waits_is_woken_by_an_advance_of_any_process(loop: str, engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            opened(engine, tmp_path, clock=SystemClock()) as one,
            opened(engine, tmp_path, clock=SystemClock()) as other,
        ):
            await one.clocks.freeze("default", THEN)
            clock = other.clocks.of()
            short, long = (asyncio.ensure_future(clock.wait_until(THEN + n * HOUR)) for n in (1, 2))
            slept = asyncio.ensure_future(clock.sleep(3600))
            await asyncio.sleep(0)
            await one.clocks.advance("default", HOUR - timedelta(microseconds=1))
            await asyncio.wait([short, long, slept], timeout=0.1)
            assert not any(waiter.done() for waiter in (short, long, slept))
            await one.clocks.advance("default", timedelta(microseconds=1))
            await asyncio.wait_for(short, BOUND_S)
            await asyncio.wait_for(slept, BOUND_S)
            assert not long.done()
            await one.clocks.run_real("default")
            await asyncio.wait([long], timeout=0.1)
            assert not long.done() or clock.now() >= THEN + 2 * HOUR
            await one.clocks.freeze("default", THEN + 2 * HOUR)
            await asyncio.wait_for(long, BOUND_S)

    run(main(), loop)


def test_real_time_comes_by_itself(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path, clock=SystemClock()) as stores:
            clock = stores.clocks.of()
            await clock.wait_until(clock.now())
            instant = clock.now() + timedelta(milliseconds=30)
            await asyncio.wait_for(clock.wait_until(instant), BOUND_S)
            assert clock.now() >= instant
            waiting = asyncio.ensure_future(clock.sleep(3600))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

    run(main())
