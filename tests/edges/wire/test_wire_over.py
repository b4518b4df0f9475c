"""Who waits for the end of a direction is told once, when the client has been told, or can't be any more."""

from __future__ import annotations

import asyncio

import pytest

from portyard.commons.wire.cut_after import CutAfter
from portyard.commons.wire.reset import Reset
from portyard.commons.wire.stall import Stall
from portyard.commons.wire.units import Fault
from tests.support.asyncio_tests import LOOPS, run
from tests.support.wire import LIMIT_S, line

STALL_S = 0.2


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("fault", [None, Stall(2, STALL_S), CutAfter(2), Reset(2)], ids=str)
def test_whatever_ends_it(fault: Fault | None, loop: str) -> None:
    async def go() -> None:
        async with line([] if fault is None else [("down", fault)]) as wired:
            told = asyncio.Event()
            wired.relay.when_over("down", told.set)
            began = asyncio.get_running_loop().time()
            await wired.room.send(b"cargo")
            wired.room.end_writing()
            await asyncio.wait_for(told.wait(), LIMIT_S)
            if isinstance(fault, Stall):
                assert asyncio.get_running_loop().time() - began >= STALL_S
            again = asyncio.Event()
            wired.relay.when_over("down", again.set)
            await asyncio.wait_for(again.wait(), LIMIT_S)

    run(go(), loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_that_leaves_what_never_comes(loop: str) -> None:
    async def go() -> None:
        async with line([("down", Stall())]) as wired:
            told = asyncio.Event()
            wired.relay.when_over("down", told.set)
            await wired.room.send(b"cargo")
            wired.room.end_writing()
            wired.client.reset()
            await asyncio.wait_for(told.wait(), LIMIT_S)

    run(go(), loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_relay_that_is_closed(loop: str) -> None:
    async def go() -> None:
        async with line([("down", Stall())]) as wired:
            told = asyncio.Event()
            wired.relay.when_over("down", told.set)
            wired.relay.close()
            await asyncio.wait_for(told.wait(), LIMIT_S)

    run(go(), loop)
