"""The contract of a Watcher."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from portyard.commons.database.generations import Generations
from portyard.commons.database.watcher import CounterWatcher
from tests.support.asyncio_tests import run

BOUND_S = 60.0  # only a bug meets it


@contextlib.asynccontextmanager
async def pages(folder: Path) -> AsyncIterator[tuple[CounterWatcher, Generations, Generations]]:
    """A watcher, its own page, and the same page as another process maps it."""
    own, foreign = Generations(folder / "generations"), Generations(folder / "generations")
    watcher = CounterWatcher(own)
    yield watcher, own, foreign
    watcher.close()
    own.close()
    foreign.close()


def test_a_change_before_the_first_wait_is_heard(tmp_path: Path) -> None:
    async def main() -> None:
        async with pages(tmp_path) as (watcher, _, foreign):
            watch = watcher.watch(1)
            foreign.bump("mailbox:1")
            foreign.bump("mailbox:1")
            await asyncio.wait_for(anext(watch), BOUND_S)
            again = asyncio.ensure_future(anext(watch))  # a run of changes is heard once
            await asyncio.sleep(0)
            assert not again.done()
            again.cancel()

    run(main())


def test_ones_own_change_is_heard_without_a_poll(tmp_path: Path) -> None:
    async def main() -> None:
        async with pages(tmp_path) as (watcher, own, _):
            heard = asyncio.ensure_future(anext(watcher.watch(1)))
            await asyncio.sleep(0)
            own.bump("mailbox:1")
            own.announce({"mailbox:1"})
            for _ in range(3):
                await asyncio.sleep(0)  # no time passes
            assert heard.done()

    run(main())


def test_a_thousand_watchers_share_one_timer_and_each_hears_its_own(tmp_path: Path) -> None:
    async def main() -> None:
        async with pages(tmp_path) as (watcher, _, foreign):
            heard = [asyncio.ensure_future(anext(watcher.watch(number % 100))) for number in range(1000)]
            await asyncio.sleep(0)
            assert watcher.polling
            foreign.bump("mailbox:7")
            await asyncio.wait_for(asyncio.gather(*heard[7::100]), BOUND_S)
            assert sum(task.done() for task in heard) == 10
            for number in range(100):
                foreign.bump(f"mailbox:{number}")
            await asyncio.wait_for(asyncio.gather(*heard), BOUND_S)

    run(main())


def test_nobody_polls_while_nobody_waits(tmp_path: Path) -> None:
    async def main() -> None:
        async with pages(tmp_path) as (watcher, _, foreign):
            watch = watcher.watch(1)
            assert not watcher.polling
            waiting = asyncio.ensure_future(anext(watch))
            await asyncio.sleep(0)
            assert watcher.polling
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            async with asyncio.timeout(BOUND_S):
                while watcher.polling:  # noqa: ASYNC110 - the end of polling is no event
                    await asyncio.sleep(0)
            foreign.bump("mailbox:1")
            await asyncio.wait_for(anext(watch), BOUND_S)

    run(main())


def test_a_closed_watch_ends(tmp_path: Path) -> None:
    async def main() -> None:
        async with pages(tmp_path) as (watcher, *_):
            watch = watcher.watch_counter("rules")
            waiting = asyncio.ensure_future(anext(watch, "ended"))
            await asyncio.sleep(0)
            await watch.aclose()
            assert await waiting == "ended"

    run(main())


def test_every_watch_ends_with_its_watcher(tmp_path: Path) -> None:
    async def main() -> None:
        async with pages(tmp_path) as (watcher, *_):
            waiting = [asyncio.ensure_future(anext(watcher.watch(number), "ended")) for number in range(3)]
            await asyncio.sleep(0)
            watcher.close()
            assert await asyncio.gather(*waiting) == ["ended"] * 3
            assert await anext(watcher.watch(1), "ended") == "ended"

    run(main())
