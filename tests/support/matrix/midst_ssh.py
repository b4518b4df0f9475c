"""Faults of bytes from `exec` on: SSH's octets are encrypted, so asyncssh's client tells what became of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial

import asyncssh

from tests.support.matrix.place import DELAY_S, PATIENCE_S, QUIET_S, Cell, Delayed, Place
from tests.support.matrix.ssh import Asked

_GONE = (asyncssh.Error, ConnectionError)
Command = Awaitable[object]
See = Callable[[Command, Asked], Awaitable[None]]


@dataclass(frozen=True)
class Run:
    """Down, what comes of a command from `exec` on; up, the request of the next one."""

    room: str = "ssh"
    verb: str = "exec"
    ways: tuple[str, ...] = ("down", "up")

    def cells(self, place: Place) -> Iterator[Cell]:
        """See Moment."""
        place.ensure_account("m-ssh")
        views: dict[str, tuple[dict[str, object], See]] = {
            "latency": ({"delay_s": 3 * DELAY_S}, _is_late),
            "bandwidth": ({"octets_per_s": 200}, _is_late),
            "slice": ({"octets": 4, "gap_s": 0.02}, _is_late),
            "stall": ({"after_octets": 3}, _never_comes),
            "cut_after": ({"octets": 3}, _ends),
            "reset": ({"after_octets": 3}, _is_reset),
            "half_close": ({"after_octets": 3}, _ends),
            "corrupt": ({"after_octets": 8, "octets": 1, "mask": 255}, _is_refused),
        }
        for way in self.ways:
            for fault, (then, see) in views.items():
                look = partial(_look, see, way)
                yield Cell(self.room, self.verb, f"{fault} {way}", {fault: {**then, "direction": way}}, look)


def _look(see: See, way: str, place: Place) -> None:
    async def look() -> None:
        asked = Asked(place)
        async with asyncio.timeout(PATIENCE_S), asked.connected() as client:
            if way == "up":
                await client.run("echo first")
            await see(client.run("echo hi", check=True), asked)

    asyncio.run(look())


async def _is_late(command: Command, asked: Asked) -> None:
    with Delayed():
        await command


async def _never_comes(command: Command, asked: Asked) -> None:
    task = asyncio.ensure_future(command)
    done, _ = await asyncio.wait([task], timeout=QUIET_S)
    assert not done, task
    assert not asked.user.lost
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _lost(command: Command, asked: Asked) -> Exception | None:
    """Why the connection is lost."""
    with contextlib.suppress(*_GONE):
        await command
    assert asked.client is not None
    await asked.client.wait_closed()
    return asked.user.lost[0]


async def _ends(command: Command, asked: Asked) -> None:
    reason = await _lost(command, asked)
    assert not isinstance(reason, asyncssh.MACError), reason


async def _is_reset(command: Command, asked: Asked) -> None:
    reason = await _lost(command, asked)
    assert isinstance(reason, ConnectionResetError), reason


async def _is_refused(command: Command, asked: Asked) -> None:
    """Somebody finds that a packet isn't what was sent (RFC 4253 §6.4), and says so."""
    reason = await _lost(command, asked)
    assert isinstance(reason, asyncssh.DisconnectError), reason
    assert reason.code == asyncssh.DISC_MAC_ERROR, reason
