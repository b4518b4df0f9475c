"""The relay without a fault: it must be as if it weren't there."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
import time
from collections.abc import Iterator

import pytest

from portyard.commons.scenario import actions
from portyard.commons.wire.cut_after import CutAfter
from portyard.commons.wire.latency import Latency
from portyard.commons.wire.pair import RelayedSocket
from portyard.commons.wire.stall import Stall
from portyard.commons.wire.way import PLAIN_WAITING
from portyard.commons.wire.wire import Wire
from tests.support.asyncio_tests import LOOPS, run
from tests.support.ports import unused
from tests.support.wire import connected, line

BIG = random.Random(1).randbytes(8 << 20)
KERNELS = 32 << 20  # what two pairs of sockets may buffer by themselves, generously
loops = pytest.mark.parametrize("loop", LOOPS)
hosts = pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1"])


@loops
@hosts
def test_octets_pass_both_ways_and_addresses_are_the_clients(host: str, loop: str) -> None:
    async def go() -> None:
        async with line(host=host) as wired:
            await wired.client.send(b"question")
            assert await wired.room.exactly(8) == b"question"
            await wired.room.send(b"answer")
            assert await wired.client.exactly(6) == b"answer"
            room, client = wired.relay.sock, wired.client.sock
            assert room.getpeername() == client.getsockname()
            assert room.getsockname() == client.getpeername()
            assert socket.socket.getsockname(room)[0] == host
            assert (wired.relay.carried("up"), wired.relay.carried("down")) == (8, 6)

    run(go(), loop)


def pairs_of_one_port() -> Iterator[tuple[socket.socket, RelayedSocket]]:
    """Pairs whose near ends have one address, as the kernel may give it to connections to different ports."""
    address = ("127.0.0.1", unused()[0])
    while True:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            near = socket.socket()
            near.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            near.bind(address)
            near.connect(listening.getsockname())
            accepted, _ = listening.accept()
        for sock in (near, accepted):
            sock.setblocking(False)
        yield near, RelayedSocket(accepted, accepted.getsockname(), address)


@loops
def test_two_whose_pairs_have_one_port_are_closed_both(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        made = pairs_of_one_port()
        monkeypatch.setattr("portyard.commons.wire.wire.pair_for", lambda *_: next(made))
        async with line() as wired:
            client, accepted = connected()
            other = wired.wire.put_in(accepted, client.getsockname())
            assert socket.socket.getpeername(other.sock) == socket.socket.getpeername(wired.relay.sock)
            assert set(wired.wire.relays) == {wired.relay, other}
            await wired.wire.close(0)
            assert wired.relay.closed
            assert other.closed
            client.close()
            other.sock.close()

    run(go(), loop)


@loops
def test_much_passes_both_ways_at_once(loop: str) -> None:
    async def go() -> None:
        async with line() as wired:
            for sender, receiver in ((wired.client, wired.room), (wired.room, wired.client)):
                sending = asyncio.create_task(sender.send(BIG))
                assert hashlib.sha256(await receiver.exactly(len(BIG))).digest() == hashlib.sha256(BIG).digest()
                await sending
            both = asyncio.gather(wired.client.send(BIG), wired.room.send(BIG))
            read = await asyncio.gather(wired.room.exactly(len(BIG)), wired.client.exactly(len(BIG)))
            await both
            assert read == [BIG, BIG]

    run(go(), loop)


@loops
@pytest.mark.parametrize("faults", [[], [("up", Stall())], [("up", Latency(3600))]], ids=["plain", "stall", "latency"])
def test_who_isnt_read_waits_in_tcp(faults: list, loop: str) -> None:
    """More than the buffers hold isn't taken, and the relay's own memory is bounded."""

    async def go() -> None:
        async with line(faults) as wired:
            taken, chunk = 0, bytes(1 << 16)
            quiet = asyncio.Event()
            patience: asyncio.TimerHandle | None = None

            def more() -> None:
                nonlocal taken, patience
                taken += wired.client.sock.send(chunk)
                if patience is not None:
                    patience.cancel()
                patience = asyncio.get_running_loop().call_later(0.3, quiet.set)
                assert taken < KERNELS

            asyncio.get_running_loop().add_writer(wired.client.sock, more)
            await quiet.wait()
            asyncio.get_running_loop().remove_writer(wired.client.sock)
            assert wired.relay._up._octets < 8 * PLAIN_WAITING
            if not faults:
                got = await wired.room.exactly(taken)
                assert len(got) == taken
            else:  # nothing is read any more, and yet a reset is heard
                wired.client.reset()
                if isinstance(faults[0][1], Stall):
                    assert await wired.room.until_reset() == b""
                    await wired.over()

    run(go(), loop)


@loops
def test_each_half_closes_by_itself(loop: str) -> None:
    async def go() -> None:
        async with line() as wired:
            await wired.client.send(b"all I have")
            wired.client.end_writing()
            assert await wired.room.rest() == b"all I have"
            await wired.room.send(b"and yet I answer")
            assert await wired.client.exactly(16) == b"and yet I answer"
            wired.room.close()
            assert await wired.client.rest() == b""
            await wired.over()
        async with line() as wired:
            await wired.room.send(b"bye")
            wired.room.end_writing()
            assert await wired.client.rest() == b"bye"
            await wired.client.send(b"one more")
            assert await wired.room.exactly(8) == b"one more"
            wired.client.close()
            assert await wired.room.rest() == b""
            await wired.over()

    run(go(), loop)


@loops
def test_a_reset_is_passed_on_behind_what_was_said(loop: str) -> None:
    async def go() -> None:
        async with line() as wired:
            await wired.client.send(b"said")
            wired.client.reset()
            assert await wired.room.until_reset() == b"said"
            await wired.over()
        async with line() as wired:
            await wired.room.send(b"said")
            wired.room.reset()
            assert await wired.client.until_reset() == b"said"
            await wired.over()

    run(go(), loop)


@loops
def test_a_reset_is_heard_while_the_other_side_writes(loop: str) -> None:
    async def go() -> None:
        async with line() as wired:
            writing = asyncio.create_task(wired.room.send(BIG * 4))
            await wired.client.exactly(1000)
            wired.client.reset()
            with pytest.raises(ConnectionError):
                await writing
            await wired.over()

    run(go(), loop)


@loops
def test_who_has_closed_altogether_answers_by_a_reset(loop: str) -> None:
    async def go() -> None:
        async with line() as wired:
            wired.room.close()
            assert await wired.client.rest() == b""
            await wired.client.send(b"anybody there?")
            await wired.over()
            with pytest.raises(ConnectionError):
                await wired.client.send(b"hello?")
        async with line() as wired:
            wired.client.close()
            assert await wired.room.rest() == b""
            await wired.room.send(b"anybody there?")
            await wired.over()
            with pytest.raises(ConnectionError):
                await wired.room.send(b"hello?")

    run(go(), loop)


@loops
def test_a_reset_after_a_half_close_is_passed_on(loop: str) -> None:
    async def go() -> None:
        async with line() as wired:
            wired.client.end_writing()
            assert await wired.room.rest() == b""
            wired.client.reset()
            await wired.room.until_refused()
            await wired.over()

    run(go(), loop)


def test_a_room_that_is_gone_is_noticed_behind_a_silent_client() -> None:
    """The client has neither closed nor said anything; the kernel is asked."""

    async def go() -> None:
        async with line() as wired:
            wired.room.close()
            assert await wired.client.rest() == b""
            await wired.over()

    run(go())


@loops
def test_a_reset_reaches_a_room_that_a_stall_hides(loop: str) -> None:
    async def go() -> None:
        async with line([("up", Stall())]) as wired:
            await wired.client.send(b"never")
            wired.client.reset()
            assert await wired.room.until_reset() == b""
            await wired.over()

    run(go(), loop)


@loops
@pytest.mark.parametrize("both", [True, False])
def test_a_client_that_has_gone_behind_an_end_that_a_stall_hides(loop: str, both: bool) -> None:
    """The end itself tells nobody: it may be half a close, behind which the client still waits for its answer."""

    async def go() -> None:
        async with line([("up", Stall()), *([("down", Stall())] if both else [])]) as wired:
            await wired.client.send(b"never")
            wired.client.end_writing()
            await wired.room.send(b"ping")
            if not both:
                assert await wired.client.exactly(4) == b"ping"
            wired.relay.arm(Latency(0), "up")  # which reads what was sent before
            assert wired.relay._up.input_over
            assert not wired.relay.closed
            assert wired.room.nothing_now()
            wired.client.reset()
            assert await wired.room.until_reset() == b""
            await wired.over()

    run(go(), loop)


@loops
def test_a_reset_behind_an_end_that_is_on_its_way(loop: str) -> None:
    async def go() -> None:
        in_time = False
        while not in_time:
            async with line([("up", Latency(0.3))]) as wired:
                began = time.monotonic()
                await wired.client.send(b"said")
                wired.client.end_writing()
                await wired.room.send(b"ping")
                assert await wired.client.exactly(4) == b"ping"  # by now the relay has read the end
                wired.client.reset()
                if not (in_time := time.monotonic() - began < 0.15):
                    continue  # on a busy machine the end may have arrived
                await wired.room.send(b"anybody there?")
                assert await wired.room.until_reset() == b"said"
                await wired.over()

    run(go(), loop)


@loops
def test_a_fault_armed_later_counts_from_then_on(loop: str) -> None:
    async def go() -> None:
        async with line() as wired:
            await wired.room.send(b"before ")  # in the kernel, not read by the relay yet
            wired.relay.arm(CutAfter(5), "down")
            await wired.room.send(b"after it")
            assert await wired.client.rest() == b"before after"
            assert wired.noted == [("cut_after", "down", 12)]
            wired.relay.arm(CutAfter(0), "down")  # over: nothing happens
        async with line() as wired:
            await wired.room.send(b"before ")
            wired.relay.obey([actions.Latency(0.01), actions.CutAfter(0)])
            assert await wired.client.rest() == b"before "

    run(go(), loop)


@loops
def test_a_connection_that_was_over_when_it_was_accepted(loop: str) -> None:
    async def go() -> None:
        wire = Wire(random.Random(0))
        client, accepted = connected()
        peer = accepted.getpeername()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        relay = wire.put_in(accepted, peer)
        async with asyncio.timeout(60):
            with pytest.raises(ConnectionResetError):
                await asyncio.get_running_loop().sock_recv(relay.sock, 1)
        relay.sock.close()
        await wire.close()
        assert relay.closed

    run(go(), loop)


@loops
def test_last_words_are_passed_on_at_close(loop: str) -> None:
    async def go() -> None:
        async with line([("down", Latency(3600))]) as wired:
            await wired.room.send(b"the service is closing")
            wired.room.close()
            await wired.wire.close()
            assert await wired.client.rest() == b"the service is closing"
        async with line([("down", Stall(3))]) as wired:
            await wired.room.send(b"the service is closing")
            wired.room.close()
            await wired.wire.close()
            assert await wired.client.rest() == b"the"
        async with line() as wired:  # a room that never closes doesn't keep the service
            await wired.wire.close(grace_s=0.05)
            assert wired.relay.closed
            assert await wired.client.rest() == b""

    run(go(), loop)
