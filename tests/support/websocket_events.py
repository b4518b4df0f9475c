"""What rules do to Socket.IO."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import socketio

from tests.support.hosted import Ruled
from tests.support.websocket_rules import DELAY_S, PATIENCE_S

LIMIT_S = 30  # the library's own are a second for the name space and five for a request


@contextlib.asynccontextmanager
async def guest(place: Ruled, transport: str = "websocket", **more: Any) -> AsyncIterator[socketio.AsyncClient]:
    made = socketio.AsyncClient(reconnection=False, request_timeout=LIMIT_S)
    try:
        await made.connect(place.url, transports=[transport], wait_timeout=LIMIT_S, **more)
        yield made
    finally:
        await made.disconnect()


async def enter_refuse(place: Ruled) -> None:
    await place.rule("websocket.enter", {"refuse": "the yard is full"}, times=1)
    heard: list[object] = []
    made = socketio.AsyncClient(reconnection=False, request_timeout=LIMIT_S)
    made.on("connect_error", heard.append)
    with pytest.raises(socketio.exceptions.ConnectionError):
        await made.connect(place.url, transports=["websocket"], wait_timeout=LIMIT_S)
    assert heard == [{"message": "the yard is full"}]
    await made.disconnect()
    async with guest(place) as made:
        assert await made.call("a", "b") == "b"


async def enter_delay(place: Ruled) -> None:
    await place.rule("websocket.enter", {"delay": DELAY_S})
    begun = time.monotonic()
    async with guest(place):
        assert time.monotonic() - begun >= DELAY_S


async def enter_hang_up(place: Ruled) -> None:
    await place.rule("websocket.enter", {"hang_up": True})
    with pytest.raises(socketio.exceptions.ConnectionError):
        async with guest(place):
            pass


async def enter_silence(place: Ruled) -> None:
    await place.rule("websocket.enter", {"silence": True})
    made = socketio.AsyncClient(reconnection=False, request_timeout=LIMIT_S)
    with pytest.raises(socketio.exceptions.ConnectionError):
        await made.connect(place.url, transports=["websocket"], wait_timeout=1)
    await made.disconnect()


async def event_refuse(place: Ruled) -> None:
    await place.rule("websocket.event", {"refuse": "no $event"}, where={"event": "join", "text": '["quay"*'})
    for transport in ("websocket", "polling"):
        async with guest(place, transport) as made:
            assert await made.call("join", "quay") == {"error": "no join"}
            assert (await made.call("join", f"pier {transport}"))["members"] == 1


async def event_say(place: Ruled) -> None:
    await place.rule("websocket.event", {"say": '{"members": 99}'}, where={"event": "join"})
    await place.rule("websocket.event", {"say": "text"}, where={"event": "leave"})
    async with guest(place) as made:
        assert await made.call("join", "quay") == {"members": 99}
        assert (await made.call("broadcast", "quay"))["delivered"] == 0
        assert await made.call("leave", "quay") == "text"


async def event_delay(place: Ruled) -> None:
    await place.rule("websocket.event", {"delay": DELAY_S})
    async with guest(place) as made:
        begun = time.monotonic()
        assert await made.call("a", "b") == "b"
        assert time.monotonic() - begun >= DELAY_S


async def event_hang_up(place: Ruled) -> None:
    await place.rule("websocket.event", {"hang_up": True})
    async with guest(place) as made:
        gone = asyncio.Event()
        made.on("disconnect", lambda _: gone.set())
        await made.emit("a")
        await asyncio.wait_for(gone.wait(), LIMIT_S)


async def event_silence(place: Ruled) -> None:
    await place.rule("websocket.event", {"silence": True}, where={"event": "a"})
    async with guest(place) as made, guest(place) as other:
        await made.call("join", "quay")
        for event in ("a", "b"):
            with pytest.raises(socketio.exceptions.TimeoutError):
                await made.call(event, timeout=PATIENCE_S)
        heard = asyncio.Event()
        made.on("broadcast", lambda _: heard.set())
        await other.call("broadcast", ("quay", "x"))
        await other.call("b")
        assert not heard.is_set()


Case = Callable[[Ruled], Awaitable[None]]
