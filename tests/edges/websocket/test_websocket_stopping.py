"""A room that stops says Close 1001 to everybody who is still there (RFC 6455 §7.4.1), and lets them read it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from wsproto.events import BytesMessage, CloseConnection

from portyard.websocket.card import CARD
from tests.support.asyncio_tests import LOOPS, run
from tests.support.hosted import Ruled, ruled_room
from tests.support.websocket_rules import Client, End, opened

GOING_AWAY = (1001, "the room closes")
PIECE = bytes(16 * 1024)


@contextlib.asynccontextmanager
async def stopping_room(folder: Path) -> AsyncIterator[tuple[Ruled, contextlib.AsyncExitStack]]:
    """The room, and what stops it when it is closed."""
    async with contextlib.AsyncExitStack() as running:
        yield await running.enter_async_context(ruled_room(folder, CARD)), running


@pytest.mark.parametrize("loop", LOOPS)
def test_everybody_hears_that_the_room_goes_away(tmp_path: Path, loop: str) -> None:
    async def go() -> None:
        async with (
            stopping_room(tmp_path) as (place, running),
            opened(place) as talker,
            opened(place) as silent,
            opened(place, "/room/x?self=0") as member,
        ):
            talker.text("here")
            assert await talker.hears() == "here"
            stopping = asyncio.ensure_future(running.aclose())
            for who in (talker, silent, member):
                assert await who.closed_with() == GOING_AWAY
                who.send(CloseConnection(1001))
                assert await who.next() is End
            await stopping

    run(go(), loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_who_is_still_sending_reads_it_too(tmp_path: Path, loop: str) -> None:
    async def go() -> None:
        async with stopping_room(tmp_path) as (place, running), opened(place, "/room/x?self=0") as talker:
            sending = asyncio.ensure_future(_send_on(talker))
            stopping = asyncio.ensure_future(running.aclose())
            assert await talker.closed_with() == GOING_AWAY
            sending.cancel()
            await stopping
            assert await talker.next() is End

    run(go(), loop)


async def _send_on(talker: Client) -> None:
    while True:
        talker.send(BytesMessage(PIECE))
        await talker.writer.drain()
