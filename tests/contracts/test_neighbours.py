"""What processes of one state directory have each other write, and how long one waits for another."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from portyard.commons import neighbours
from portyard.commons.neighbours import Neighbours
from tests.support.asyncio_tests import LOOPS, run
from tests.support.process import serving


class Writer:
    """Something to settle."""

    def __init__(self) -> None:
        self.settled = 0

    async def settle(self) -> None:
        await asyncio.sleep(0)
        self.settled += 1


@contextlib.asynccontextmanager
async def living(folder: Path | None, settle: Callable[[], Awaitable[None]]) -> AsyncIterator[Neighbours]:
    """One of them, until the block ends."""
    one = Neighbours(folder, settle)
    await one.open()
    try:
        yield one
    finally:
        await one.close()


@pytest.mark.parametrize("loop", LOOPS)
def test_each_is_asked_and_heard(loop: str, tmp_path: Path) -> None:
    async def main() -> None:
        writers = [Writer(), Writer(), Writer()]
        folder = tmp_path / ("x" * 120) / "neighbours"  # a path that is too long for a socket
        async with contextlib.AsyncExitStack() as stack:
            some = [await stack.enter_async_context(living(folder, writer.settle)) for writer in writers]
            for count, one in enumerate(some, 1):
                await one.settle()
                assert [writer.settled for writer in writers] == [count] * 3
            await some[1].close()
            await some[0].settle()
            assert [writer.settled for writer in writers] == [4, 3, 4]
        assert list(folder.iterdir()) == []

    run(main(), loop)


def test_who_is_alone_asks_nobody() -> None:
    async def main() -> None:
        writer = Writer()
        async with living(None, writer.settle) as one:
            await one.settle()
        assert writer.settled == 1

    run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_dead_one_s_socket_is_removed(loop: str, tmp_path: Path) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(tmp_path / "dead"))
            dead.listen()
        writer = Writer()
        async with living(tmp_path, writer.settle) as one:
            await one.settle()
            assert writer.settled == 1
            assert not (tmp_path / "dead").exists()

    run(main(), loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_stuck_one_is_waited_for_so_long(loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "PATIENCE_S", 0.05)

    async def main() -> None:
        writer, stuck = Writer(), asyncio.Event()

        async def never() -> None:
            stuck.set()
            await asyncio.get_running_loop().create_future()

        async with living(tmp_path, writer.settle) as one, living(tmp_path, never):
            asked = 0
            while not stuck.is_set():  # a slow moment may take longer than all that patience
                await one.settle()
                asked += 1
            assert writer.settled == asked

    run(main(), loop)


def test_who_was_waited_for_in_vain_is_waited_for_less_until_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "PATIENCE_S", 0.05)

    async def main() -> None:
        goes_on, heard = asyncio.Event(), 0

        async def at_last() -> None:
            nonlocal heard
            heard += 1
            await goes_on.wait()

        async with living(tmp_path, Writer().settle) as one, living(tmp_path, at_last):
            while not heard:  # a slow moment may take longer than all that patience
                await one.settle()
            monkeypatch.setattr(neighbours, "PATIENCE_S", 3600.0)
            monkeypatch.setattr(neighbours, "LATE_S", 0.01)
            await one.settle()  # comes back, for it is late
            monkeypatch.setattr(neighbours, "LATE_S", 60.0)
            goes_on.set()
            await one.settle()
            monkeypatch.setattr(neighbours, "LATE_S", 0.0)
            before = heard
            await one.settle()
            assert heard == before + 1  # no longer late: it is waited for

    run(main())


def test_a_process_answers_until_it_is_stopped(tmp_path: Path) -> None:
    async def main() -> None:
        writer = Writer()
        folder = tmp_path / "neighbours"
        async with living(folder, writer.settle) as one:
            with serving(tmp_path, "pop3") as other:
                assert len(list(folder.iterdir())) == 2
                await one.settle()
                other.process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(other.process.wait, 60.0) == 0
                assert len(list(folder.iterdir())) == 1
                await one.settle()
            with serving(tmp_path, "pop3") as other:
                other.kill()
                assert len(list(folder.iterdir())) == 2
                await one.settle()
                assert len(list(folder.iterdir())) == 1

    run(main())
