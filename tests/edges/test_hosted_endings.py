"""Why a connection of the web's rooms ended, as the journal tells it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from portyard.commons.card import Card
from portyard.commons.wire.sockets import linger_not
from portyard.http.card import CARD as HTTP
from portyard.websocket.card import CARD as WEBSOCKET
from tests.support.asyncio_tests import LOOPS, run
from tests.support.hosted import ruled_room

GET = b"GET /bytes/1 HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /bytes/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
UPGRADE = (
    b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
TEXT = b"\x81\x82\0\0\0\0hi"
LEFT, HUNG_UP = "peer closed", "hung up by a rule"


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("card", "said", "on", "leaves", "reason"),
    [
        (HTTP, GET, "", "ends", LEFT),
        (HTTP, GET, "", "resets", "ConnectionResetError"),
        (HTTP, LAST, "", "", ""),
        (HTTP, GET, "http.request", "", HUNG_UP),
        (HTTP, GET, "http.body", "", HUNG_UP),
        (WEBSOCKET, UPGRADE, "", "ends", LEFT),
        (WEBSOCKET, UPGRADE + TEXT, "websocket.upgrade", "", HUNG_UP),
        (WEBSOCKET, UPGRADE + TEXT, "websocket.message", "", HUNG_UP),
        (WEBSOCKET, UPGRADE + TEXT, "websocket.fragment", "", HUNG_UP),
    ],
)
def test_why_it_ended(card: Card, said: bytes, on: str, leaves: str, reason: str, loop: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, card) as place:
            if on:
                await place.rule(on, {"hang_up": True})
            reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
            writer.write(said)
            if leaves:
                assert await reader.readuntil(b"\r\n\r\n")
            if leaves == "resets":
                linger_not(writer.get_extra_info("socket"))
                writer.transport.abort()
            else:
                if leaves:
                    writer.write_eof()
                await reader.read()
                writer.close()
                await writer.wait_closed()
            events = await place.eventually("closed")
            assert events[-1][1]["reason"] == reason

    run(go(), loop)
