"""Socket.IO by python-socketio's client over each transport."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import socketio

from portyard.websocket.card import CARD
from portyard.websocket.edge import open_service
from portyard.websocket.events import is_near
from tests.support.asyncio_tests import run
from tests.support.hosted import Served, served

TRANSPORTS = {"websocket": ["websocket"], "polling": ["polling"], "upgraded": ["polling", "websocket"]}


@contextlib.asynccontextmanager
async def client(place: Served, transports: list[str]) -> AsyncIterator[tuple[socketio.AsyncClient, asyncio.Queue]]:
    heard: asyncio.Queue[tuple[object, ...]] = asyncio.Queue()
    socket = socketio.AsyncClient(reconnection=False)
    socket.on("*", lambda *event: heard.put_nowait(event))
    await socket.connect(place.url, transports=transports, wait_timeout=60)
    try:
        yield socket, heard
    finally:
        async with asyncio.timeout(60):
            await socket.disconnect()


@pytest.mark.parametrize("name", TRANSPORTS)
def test_echo_acknowledgement_and_rooms(tmp_path: Path, name: str) -> None:
    async def go() -> None:
        async with (
            served(CARD, open_service, tmp_path) as place,
            client(place, TRANSPORTS[name]) as (alice, alice_hears),
            client(place, ["websocket"]) as (bob, bob_hears),
        ):
            assert await alice.call("greet", ("ahoy", {"n": 1}, b"\0\xff")) == ("ahoy", {"n": 1}, b"\0\xff")
            assert await alice_hears.get() == ("greet", "ahoy", {"n": 1}, b"\0\xff")

            assert (await alice.call("join", "quay"))["members"] == 1
            assert (await bob.call("join", "quay"))["members"] == 2
            event, told = await alice_hears.get()
            assert (event, told["room"]) == ("joined", "quay")

            assert (await bob.call("broadcast", ("quay", "cargo")))["delivered"] == 1
            event, told = await alice_hears.get()
            assert (event, told["data"], told["from"]) == ("broadcast", "cargo", bob.get_sid())

            assert (await alice.call("leave", "quay"))["members"] == 1
            assert (await bob_hears.get())[0] == "left"
            assert (await bob.call("broadcast", ("quay", "nobody")))["delivered"] == 0
            assert alice_hears.empty()
            for event in ("join", "leave", "broadcast"):
                assert "error" in await bob.call(event)

    run(go())


def test_a_clients_own_room_cant_be_joined(tmp_path: Path) -> None:
    async def go() -> None:
        async with (
            served(CARD, open_service, tmp_path) as place,
            client(place, ["websocket"]) as (alice, _),
            client(place, ["websocket"]) as (bob, bob_hears),
        ):
            await bob.call("join", alice.get_sid())
            await alice.call("secret", "for alice")
            await bob.call("mark")
            assert (await bob_hears.get())[0] == "mark"

    run(go())


def test_origins(tmp_path: Path) -> None:
    for near in (
        None,
        "null",
        "http://localhost:5173",
        "http://127.0.0.1",
        "http://[::1]:8",
        "https://app.portyard.test",
    ):
        assert is_near(near), near
    for far in ("https://example.com", "http://localhost.example.com", "http://10.0.0.1", "http://[", ""):
        assert not is_near(far), far

    async def go() -> None:
        async with served(CARD, open_service, tmp_path) as place, aiohttp.ClientSession() as http:
            url = f"{place.url}/socket.io/?EIO=4&transport=polling"
            async with http.get(url, headers={"Origin": "http://localhost:5173"}) as response:
                assert response.status == 200
                assert response.headers["Access-Control-Allow-Origin"] == "http://localhost:5173"
            async with http.get(url, headers={"Origin": "https://example.com"}) as response:
                assert response.status == 400

    run(go())
