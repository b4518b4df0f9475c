"""Faults that a rule asks for again and again on one connection: at each command of a long session, at each piece of a file."""

from __future__ import annotations

from typing import Any

import pytest

from portyard.commons.wire.bandwidth import Bandwidth
from portyard.commons.wire.corrupt import Corrupt
from portyard.commons.wire.cut_after import CutAfter
from portyard.commons.wire.half_close import HalfClose
from portyard.commons.wire.latency import Latency
from portyard.commons.wire.reset import Reset
from portyard.commons.wire.slice import Slice
from portyard.commons.wire.stall import Stall
from portyard.commons.wire.units import Fault
from tests.support.asyncio_tests import LOOPS, run
from tests.support.wire import Stopwatch, line

EARLY_S = 0.005  # clocks tick in milliseconds
LATE_S = 20.0  # how late a busy machine may be
loops = pytest.mark.parametrize("loop", LOOPS)
many: Any = pytest.mark.parametrize(
    "fault",
    [
        Latency(0.001),
        Bandwidth(10_000_000),
        Slice(3),
        Stall(),
        Stall(10**9),
        Stall(0, 0.0001),
        Corrupt(),
        Corrupt(10**9),
        Corrupt(0, 0, 0.5),
        CutAfter(10**9),
        Reset(10**9),
        HalfClose(10**9),
    ],
    ids=repr,
)


@many
@loops
def test_a_rule_that_fires_at_each_command_of_a_long_connection(fault: Fault, loop: str) -> None:
    """It asks for its fault a thousand times, and no octet passes through a thousand."""

    async def go() -> None:
        async with line() as wired:
            for _ in range(1_000):
                wired.relay.arm(fault, "up")
                if fault != Stall():
                    await wired.client.send(b"noop\r\n")
                    assert len(await wired.room.exactly(6)) == 6
            await wired.room.send(b"still here")
            assert await wired.client.exactly(10) == b"still here"

    run(go(), loop)


@loops
def test_latency_asked_for_again_is_no_longer(loop: str) -> None:
    async def go() -> None:
        async with line() as wired:
            for _ in range(1_000):
                wired.relay.arm(Latency(0.05), "up")
            watch = Stopwatch()
            await wired.client.send(b"late")
            assert await wired.room.exactly(4) == b"late"
            assert 0.05 - EARLY_S <= watch.seconds < 0.05 + LATE_S

    run(go(), loop)


@loops
def test_what_was_done_once_is_done_again(loop: str) -> None:
    async def go() -> None:
        async with line() as wired:
            for _ in range(3):
                wired.relay.arm(Corrupt(1, 2, mask=0xFF), "up")
                wired.relay.arm(Corrupt(1, 2, mask=0xFF), "up")
                await wired.client.send(b"abcd")
                assert await wired.room.exactly(4) == b"a\x9d\x9cd"
                wired.relay.arm(Stall(0, 0.05), "up")
                watch = Stopwatch()
                await wired.client.send(b"late")
                assert await wired.room.exactly(4) == b"late"
                assert watch.seconds >= 0.05 - EARLY_S

    run(go(), loop)
