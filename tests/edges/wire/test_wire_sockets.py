"""What a listener does to a connection without a relay, and what a packet capture shows."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator

import pytest

from portyard.commons.scenario import actions
from portyard.commons.wire.bandwidth import Bandwidth
from portyard.commons.wire.clog import Clog
from portyard.commons.wire.corrupt import Corrupt
from portyard.commons.wire.cut_after import CutAfter
from portyard.commons.wire.half_close import HalfClose
from portyard.commons.wire.latency import Latency
from portyard.commons.wire.obey import faults_of
from portyard.commons.wire.pair import _accept_from, _listening
from portyard.commons.wire.reset import Reset
from portyard.commons.wire.slice import Slice
from portyard.commons.wire.sockets import close_now, is_gone, is_left, reset_now, unacknowledged
from portyard.commons.wire.stall import Stall
from portyard.commons.wire.units import How
from portyard.commons.wire.wire import Wire
from tests.support.asyncio_tests import LOOPS, run
from tests.support.wire import LIMIT_S, End, connected, line, state_of

SYN_SENT, ESTABLISHED = 2, 1
FIN, RST = 0x01, 0x04
loops = pytest.mark.parametrize("loop", LOOPS)


def test_reset_now_and_close_now() -> None:
    async def go() -> None:
        for said in (b"", b"unread"):
            client, accepted = connected()
            client.send(said)
            reset_now(accepted)
            assert await End(client).until_reset() == b""
            assert is_gone(client)
            client.close()
            client, accepted = connected()
            client.send(said)
            accepted.send(b"bye")
            close_now(accepted)
            assert await End(client).rest() == b"bye"
            client.close()

    run(go())


def test_close_now_is_an_end_for_a_peer_that_talks_meanwhile() -> None:
    class Late(socket.socket):
        def close(self) -> None:
            client.send(b"too late to be read")
            super().close()

    async def go() -> None:
        with Late(fileno=accepted.detach()) as late:
            late.send(b"bye")
            close_now(late)
        assert await End(client).rest() == b"bye"
        client.close()

    client, accepted = connected()
    run(go())


def test_what_the_kernel_tells() -> None:
    client, accepted = connected()
    assert not is_left(client)
    client.send(b"x")
    assert unacknowledged(client) == 0
    accepted.shutdown(socket.SHUT_WR)
    assert is_left(client)
    assert not is_gone(client)
    reset_now(accepted)
    assert is_gone(client)
    client.close()
    assert unacknowledged(client) == 0


@loops
def test_hold_never_reads_and_ends_with_its_peer(loop: str) -> None:
    async def go() -> None:
        wire = Wire(random.Random(0))
        leaving, staying, resetting = (connected() for _ in range(3))
        over: dict[str, asyncio.Event] = {name: asyncio.Event() for name in ("leaving", "staying", "resetting")}
        for name, (_, accepted) in zip(over, (leaving, staying, resetting), strict=True):
            wire.hold(accepted, over[name].set)
        for client, _ in (leaving, staying, resetting):
            client.send(b"hello?")
        assert End(staying[0]).nothing_now()
        leaving[0].close()
        reset_now(resetting[0])
        async with asyncio.timeout(LIMIT_S):
            await over["leaving"].wait()
            await over["resetting"].wait()
        assert not over["staying"].is_set()
        assert staying[1].recv(100) == b"hello?", "nobody has read it"
        await wire.close()
        assert over["staying"].is_set()
        assert await End(staying[0]).rest() == b""
        staying[0].close()

    run(go(), loop)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0"])
def test_a_clogged_port_answers_no_syn(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family, backlog=64) as listening:
        listening.setblocking(False)
        reached = (host if host != "0.0.0.0" else "127.0.0.1", listening.getsockname()[1])
        early = socket.create_connection(reached)
        clog = Clog(listening, 64)
        late = socket.socket(family)
        late.setblocking(False)
        late.connect_ex(reached)
        assert state_of(late) == SYN_SENT
        waiting = clog.release()
        assert [address for _, address in waiting] == [early.getsockname()]
        late.setblocking(True)
        late.settimeout(LIMIT_S)
        listening.settimeout(LIMIT_S)
        accepted, address = listening.accept()  # when it sends its SYN again
        assert address == late.getsockname()
        assert state_of(late) == ESTABLISHED
        for sock in (early, late, accepted, waiting[0][0]):
            sock.close()


def test_a_port_that_cant_be_clogged_is_left_as_it_was() -> None:
    class Endless(socket.socket):
        def listen(self, backlog: int = 0) -> None:
            super().listen(64)

    with Endless() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.setblocking(False)
        with pytest.raises(OSError, match="filled"):
            Clog(listening, 64)
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_a_pair_is_ours_alone() -> None:
    """Whoever guesses the port that a pair is made by is turned away."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stranger = socket.create_connection(listening.getsockname())
        near = socket.create_connection(listening.getsockname())
        far = _accept_from(listening, near.getsockname())
        assert far.getpeername() == near.getsockname()
        assert stranger.recv(1) == b""
        for sock in (stranger, near, far):
            sock.close()


def test_a_pair_without_the_connections_address() -> None:
    with _listening(socket.AF_INET, ("192.0.2.1", 1)) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"


def test_a_client_that_never_stops_is_reset_after_all() -> None:
    client, accepted = connected()
    with contextlib.suppress(BlockingIOError):
        while True:
            client.send(bytes(1 << 16))
    close_now(accepted)
    client.setblocking(True)
    with contextlib.suppress(ConnectionError):
        while client.recv(1):
            pass
    client.close()


def test_rules_words_become_faults() -> None:
    asked = [
        actions.Latency(0.1, 0.2),
        actions.Bandwidth(100, "up"),
        actions.Slice(3, 1, 0.5, "down"),
        actions.Stall(5, 6.0, "down"),
        actions.CutAfter(7),
        actions.Reset(8),
        actions.HalfClose(9),
        actions.Corrupt(10, 11, 0.5, 12, "up"),
        actions.Silence(),
    ]
    assert faults_of(asked) == [
        ("up", Latency(0.1, 0.2)),
        ("down", Latency(0.1, 0.2)),
        ("up", Bandwidth(100)),
        ("down", Slice(3, 1, 0.5)),
        ("down", Stall(5, 6.0)),
        ("down", CutAfter(7)),
        ("down", Reset(8)),
        ("down", HalfClose(9)),
        ("up", Corrupt(10, 11, 0.5, 12)),
    ]
    names = {actions.action_name(action) for action in asked[:-1]}
    assert names == {fault.name for _, fault in faults_of(asked)} == actions.BYTES


def packets(capture: subprocess.Popen[bytes]) -> Iterator[tuple[int, int, int]]:
    """Source port, destination port and flags of each captured TCP segment, as they come."""
    assert capture.stdout is not None
    capture.stdout.read(24)  # pcap's file header
    while header := capture.stdout.read(16):
        size = struct.unpack("<8xI4x", header)[0]
        frame = capture.stdout.read(size)
        tcp = 14 + (frame[14] & 0x0F) * 4
        source, target = struct.unpack("!HH", frame[tcp : tcp + 4])
        yield source, target, frame[tcp + 13]


def start_capture(port: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["tcpdump", "-i", "lo", "-U", "--immediate-mode", "-n", "-w", "-", f"tcp and port {port}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def ending_flags(capture: subprocess.Popen[bytes], port: int) -> list[int]:
    """The FINs and RSTs that a client's port got, up to the first RST or FIN."""
    for _, target, flags in packets(capture):
        if target == port and flags & (FIN | RST):
            return [flags & (FIN | RST)]
    return []


@pytest.mark.client
@pytest.mark.skipif(shutil.which("tcpdump") is None, reason="tcpdump is not installed")
@pytest.mark.skipif(os.geteuid() != 0, reason="a packet capture wants root")
@pytest.mark.parametrize("how", [How.RESET, How.FIN])
def test_a_packet_capture_shows_it(how: How) -> None:
    async def go() -> None:
        async with line() as wired:
            port = wired.client.sock.getsockname()[1]
            capture = start_capture(port)
            assert capture.stdout is not None
            assert capture.stderr is not None
            try:
                assert b"listening on" in await asyncio.to_thread(capture.stderr.readline)
                if how is How.RESET:
                    wired.relay.arm(Reset(3), "down")
                    await wired.room.send(b"one two three")
                    assert await wired.client.until_reset() == b"one"
                else:
                    wired.room.end_writing()
                    assert await wired.client.rest() == b""
                async with asyncio.timeout(LIMIT_S):
                    seen = await asyncio.to_thread(ending_flags, capture, port)
                assert seen == [RST if how is How.RESET else FIN]
            finally:
                capture.terminate()
                capture.wait(LIMIT_S)
                capture.stdout.close()
                capture.stderr.close()

    run(go())
