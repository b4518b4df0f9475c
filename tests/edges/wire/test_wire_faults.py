"""Each fault as a raw socket sees it, in both directions and on both loops."""

from __future__ import annotations

import asyncio
import itertools
import random
import socket
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
from portyard.commons.wire.units import Direction
from tests.support.asyncio_tests import LOOPS, run
from tests.support.wire import LIMIT_S, End, Line, Stopwatch, line

DATA = random.Random(2).randbytes(100_000)
EARLY_S = 0.005  # clocks tick in milliseconds
LATE_S = 20.0  # how late a busy machine may be
loops = pytest.mark.parametrize("loop", LOOPS)
directions: Any = pytest.mark.parametrize("direction", ["up", "down"])


def ends(wired: Line, direction: Direction) -> tuple[End, End]:
    """Who sends and who receives."""
    return (wired.client, wired.room) if direction == "up" else (wired.room, wired.client)


@loops
@directions
def test_latency(direction: Direction, loop: str) -> None:
    async def go() -> None:
        async with line([(direction, Latency(0.15, 0.05))]) as wired:
            sender, receiver = ends(wired, direction)
            for _ in range(2):
                watch = Stopwatch()
                await sender.send(b"late")
                assert await receiver.exactly(4) == b"late"
                assert 0.15 - EARLY_S <= watch.seconds < 0.2 + LATE_S
            watch = Stopwatch()
            await sender.send(DATA)
            sender.end_writing()
            assert await receiver.rest() == DATA
            assert watch.seconds >= 0.15 - EARLY_S
            assert not wired.noted

    run(go(), loop)


@loops
@directions
def test_latency_is_of_one_direction(direction: Direction, loop: str) -> None:
    async def go() -> None:
        async with line([(direction, Latency(3 * LIMIT_S))]) as wired:
            sender, receiver = ends(wired, direction)
            await receiver.send(b"at once")
            assert await sender.exactly(7) == b"at once"

    run(go(), loop)


@loops
@directions
def test_bandwidth(direction: Direction, loop: str) -> None:
    async def go() -> None:
        async with line([(direction, Bandwidth(200_000))]) as wired:
            sender, receiver = ends(wired, direction)
            watch = Stopwatch()
            await sender.send(DATA)
            first = await receiver.some()
            assert len(first) <= 200_000 * (watch.seconds + EARLY_S) + 4_000, "it comes in grains"
            assert first + await receiver.exactly(len(DATA) - len(first)) == DATA
            assert 0.5 * 0.9 <= watch.seconds < 0.5 * 1.2 + LATE_S

    run(go(), loop)


def test_bandwidth_is_exact_enough() -> None:
    async def rate() -> float:
        async with line([("down", Bandwidth(500_000))]) as wired:
            watch = Stopwatch()
            _, got = await asyncio.gather(wired.room.send(DATA * 5), wired.client.exactly(len(DATA) * 5))
            assert got == DATA * 5
            return len(got) / watch.seconds

    async def go() -> None:
        for _ in range(10):  # once is enough: the machine may be busy with others
            found = await rate()
            assert found <= 1.05 * 500_000
            if found >= 0.8 * 500_000:
                return
        raise AssertionError(f"{found:.0f} octets a second")

    run(go())


@loops
@directions
def test_slices_are_seen_one_by_one(direction: Direction, loop: str) -> None:
    async def go() -> None:
        slices = [b"0123456"] * 9 + [b"end"]
        for _ in range(10):
            async with line([(direction, Slice(7, gap_s=0.02))]) as wired:
                sender, receiver = ends(wired, direction)
                await sender.send(b"".join(slices))
                seen: list[bytes] = []
                while sum(map(len, seen)) < 66:
                    seen.append(await receiver.some())
            assert b"".join(seen) == b"".join(slices)
            assert all(len(piece) % 7 == 0 for piece in seen[:-1]), "never a part of one"
            if seen == slices:  # once is enough: a reader on a busy machine comes late to some
                return
        raise AssertionError(seen)

    run(go(), loop)


@loops
def test_slices_without_a_gap_are_segments_of_their_own(loop: str) -> None:
    """The kernel counts segments; a reader sees whatever has come by then."""

    async def go() -> None:
        async with line([("down", Slice(1))]) as wired:
            await wired.room.send(bytes(1000))
            assert await wired.client.exactly(1000) == bytes(1000)
            info = wired.client.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
            data_segments_in = int.from_bytes(info[152:156], "little")  # tcpi_data_segs_in
            assert data_segments_in > 50, "the kernel may join some where its window is full"

    run(go(), loop)


@loops
@directions
def test_cut_after(direction: Direction, loop: str) -> None:
    async def go() -> None:
        for limit, pieces in itertools.product((0, 1, 1000, len(DATA)), ([DATA], [DATA[:999], DATA[999:]])):
            async with line([(direction, CutAfter(limit))]) as wired:
                sender, receiver = ends(wired, direction)
                await receiver.send(b"on its way")
                assert (
                    await sender.exactly(10) == b"on its way"
                    if limit
                    else await sender.some()
                    in (
                        b"on its way",
                        b"",
                    )
                )
                for piece in pieces:
                    await sender.send(piece)
                assert await receiver.rest() == DATA[:limit]
                assert await sender.rest() == b""
                assert wired.noted == [("cut_after", direction, limit)]
                sender.close()
                receiver.close()
                await wired.over()

    run(go(), loop)


@loops
def test_a_cut_ends_by_itself(loop: str) -> None:
    """A peer that never closes is closed on, and what it still sends is answered by RST."""

    async def go() -> None:
        async with line([("down", CutAfter(3))]) as wired:
            await wired.room.send(b"and so on")
            assert await wired.client.rest() == b"and"
            await wired.client.send(b"go on!")
            await wired.over()
            await wired.client.until_refused()

    run(go(), loop)


@loops
@directions
def test_reset(direction: Direction, loop: str) -> None:
    async def go() -> None:
        for limit in (1, 1000, len(DATA)):
            async with line([(direction, Reset(limit))]) as wired:
                sender, receiver = ends(wired, direction)
                await sender.send(DATA)
                assert await receiver.until_reset() == DATA[:limit]
                await sender.until_refused()
                await wired.over()
                assert wired.noted == [("reset", direction, limit)]

    run(go(), loop)


@loops
def test_a_reset_waits_for_a_slow_reader(loop: str) -> None:
    async def go() -> None:
        data = DATA * 80
        async with line([("down", Reset(len(data)))]) as wired:
            sending = asyncio.create_task(wired.room.send(data))
            assert await wired.client.until_reset() == data
            await sending

    run(go(), loop)


@loops
def test_a_cut_lets_arrive_what_was_on_its_way_back(loop: str) -> None:
    async def go() -> None:
        async with line([("up", Latency(60)), ("down", CutAfter(3))]) as wired:
            await wired.client.send(b"on its way")
            await wired.room.send(b"12")
            assert await wired.client.exactly(2) == b"12"
            watch = Stopwatch()
            await wired.room.send(b"3")
            assert await wired.client.rest() == b"3"
            assert await wired.room.rest() == b"on its way"
            assert watch.seconds < 30

    run(go(), loop)


@loops
def test_reset_at_once(loop: str) -> None:
    async def go() -> None:
        async with line([("down", Reset())]) as wired:
            assert await wired.client.until_reset() == b""
            assert await wired.room.until_reset() == b""
            assert wired.relay.closed

    run(go(), loop)


@loops
@directions
def test_half_close(direction: Direction, loop: str) -> None:
    async def go() -> None:
        async with line([(direction, HalfClose(5))]) as wired:
            sender, receiver = ends(wired, direction)
            await sender.send(b"12345678")
            assert await receiver.rest() == b"12345"
            for _ in range(3):
                await receiver.send(DATA)
                assert await sender.exactly(len(DATA)) == DATA
            await sender.send(DATA * 20)  # taken and dropped
            receiver.close()
            assert await sender.rest() == b""
            sender.close()
            await wired.over()
            assert wired.noted == [("half_close", direction, 5)]

    run(go(), loop)


@loops
def test_who_resets_behind_a_half_close_is_heard(loop: str) -> None:
    async def go() -> None:
        async with line([("down", HalfClose())]) as wired:
            assert await wired.client.rest() == b""
            wired.client.reset()
            assert await wired.room.until_reset() == b""
        async with line([("down", HalfClose())]) as wired:
            assert await wired.client.rest() == b""
            wired.room.reset()
            await wired.client.until_refused()

    run(go(), loop)


@loops
@directions
def test_corrupt(direction: Direction, loop: str) -> None:
    async def go() -> None:
        async with line([(direction, Corrupt(1000, 3)), (direction, Corrupt(50_000, 1, mask=0x01))]) as wired:
            sender, receiver = ends(wired, direction)
            for start in range(0, len(DATA), 7001):
                await sender.send(DATA[start : start + 7001])
            got = await receiver.exactly(len(DATA))
            changed = {
                at: was ^ became for at, (was, became) in enumerate(zip(DATA, got, strict=True)) if was != became
            }
            assert changed == {1000: 0xFF, 1001: 0xFF, 1002: 0xFF, 50_000: 0x01}

    run(go(), loop)


def test_the_seed_decides_what_is_corrupt() -> None:
    async def got(seed: int) -> bytes:
        async with line([("down", Corrupt(octets=0, chance=0.01))], seed=seed) as wired:
            await wired.room.send(DATA)
            return await wired.client.exactly(len(DATA))

    async def go() -> None:
        assert await got(1) == await got(1) != await got(2)

    run(go())


@loops
@directions
def test_stall_then_on(direction: Direction, loop: str) -> None:
    async def go() -> None:
        async with line([(direction, Stall(5, 0.2))]) as wired:
            sender, receiver = ends(wired, direction)
            watch = Stopwatch()
            await sender.send(b"1234567890")
            sender.end_writing()
            assert await receiver.exactly(5) == b"12345"
            assert await receiver.rest() == b"67890"
            assert 0.2 - EARLY_S <= watch.seconds < 0.2 + LATE_S

    run(go(), loop)


@loops
@directions
def test_stall_for_ever(direction: Direction, loop: str) -> None:
    """The other direction tells the time: what is sent the stalled way first would have come first."""

    async def go() -> None:
        async with line([(direction, Stall(5))]) as wired:
            sender, receiver = ends(wired, direction)
            await sender.send(b"1234567890")
            sender.end_writing()
            assert await receiver.exactly(5) == b"12345"
            for _ in range(5):
                await receiver.send(b"ping")
                assert await sender.exactly(4) == b"ping"
            assert receiver.nothing_now()
            receiver.end_writing()
            assert await sender.rest() == b""
            assert receiver.nothing_now()
            assert not wired.relay.closed
            sender.reset()
            receiver.reset()
            await wired.over()

    run(go(), loop)


@loops
def test_faults_go_together(loop: str) -> None:
    async def go() -> None:
        faults = [Latency(0.05), Slice(100), Bandwidth(1_000_000), Corrupt(10), CutAfter(5000)]
        async with line([("down", fault) for fault in faults]) as wired:
            watch = Stopwatch()
            await wired.room.send(DATA)
            assert await wired.client.rest() == DATA[:10] + bytes([DATA[10] ^ 0xFF]) + DATA[11:5000]
            assert watch.seconds >= 0.05 - EARLY_S

    run(go(), loop)
