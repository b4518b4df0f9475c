"""What several processes on one state directory may rely on, kill -9 included."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from pathlib import Path

import pytest

from tests.contracts.child import octets_of
from tests.contracts.children import BOUND_S, child, go, line_of
from tests.contracts.engines import inbox, opened
from tests.support.asyncio_tests import run


def test_a_watcher_hears_another_process(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores, child("append-one", engine, tmp_path) as process:
            box = await inbox(stores)
            watch = stores.watcher.watch(box.id)
            heard = asyncio.ensure_future(anext(watch))
            generation = stores.mail.generation(box.id)
            await asyncio.sleep(0)
            assert not heard.done()
            go(process)
            assert await line_of(process) == "appended 1"
            assert stores.mail.generation(box.id) != generation  # moved before the answer
            await asyncio.wait_for(heard, BOUND_S)
            assert [entry.uid for entry in (await stores.mail.changes(box.id, box.highest_modseq)).changed] == [1]

    run(main())


def test_many_processes_append_at_once_and_no_uid_is_given_twice(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            children = [await stack.enter_async_context(child("append-one", engine, tmp_path)) for _ in range(4)]
            for process in children:
                go(process)
            assert sorted([await line_of(process) for process in children]) == [f"appended {n}" for n in (1, 2, 3, 4)]

    run(main())


@pytest.mark.parametrize("acknowledged", [1, 40, 150])
def test_a_killed_process_loses_nothing_and_leaves_nothing_half(acknowledged: int, engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        told: set[int] = set()
        for _ in range(2):  # the second child repeats the deliveries of the first
            async with child("append-for-ever", engine, tmp_path) as process:
                go(process)
                told |= {int(await line_of(process)) for _ in range(acknowledged)}
                process.kill()
                assert process.stdout is not None
                rest = (await process.stdout.read()).decode().split("\n")[:-1]  # a last line may be cut
                told |= {int(line) for line in rest}
        async with opened(engine, tmp_path) as stores:
            box = await inbox(stores)
            messages = [message async for message in stores.mail.messages(box.id, range(1, box.uid_next))]
            count = Counter(message.delivery_id for message in messages)
            assert set(count) >= {f"d{number}" for number in told}
            assert set(count.values()) == {1}
            for message in messages:
                assert message.delivery_id is not None
                assert await stores.mail.octets(message) == octets_of(int(message.delivery_id[1:]))
            assert (box.messages, box.size) == (len(messages), sum(message.size for message in messages))
            assert len(await stores.mail.entries(box.id)) == len(messages)

    run(main())
