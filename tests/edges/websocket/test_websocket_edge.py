"""The WebSocket room's paths against aiohttp's own client, and its frame rules against raw octets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import zlib
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

from portyard.websocket.card import CARD
from portyard.websocket.core.outbox import MOST_OCTETS
from portyard.websocket.edge import open_service
from portyard.websocket.sockets import MESSAGE_LIMIT
from tests.support.asyncio_tests import LOOPS, run
from tests.support.hosted import Ruled, Served, ruled_room, served

KEY = "AAAAAAAAAAAAAAAAAAAAAA=="
MASK = b"\x11\x22\x33\x44"


@contextlib.asynccontextmanager
async def room(folder: Path) -> AsyncIterator[tuple[Served, aiohttp.ClientSession]]:
    async with served(CARD, open_service, folder) as place, aiohttp.ClientSession() as client:
        yield place, client


def masked(first: int, payload: bytes, length: bytes | None = None) -> bytes:
    if length is None:
        size = len(payload)
        long = b"\x7e" + size.to_bytes(2, "big") if size < 1 << 16 else b"\x7f" + size.to_bytes(8, "big")
        length = bytes([size]) if size < 126 else long
    body = bytes(octet ^ MASK[at % 4] for at, octet in enumerate(payload))
    return bytes([first, length[0] | 0x80]) + length[1:] + MASK + body


class Raw:
    """A client that sends whatever octets it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def frame(self) -> tuple[int, bytes]:
        first, second = await self.reader.readexactly(2)
        size = second & 0x7F
        if size >= 126:
            size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
        return first, await self.reader.readexactly(size)


@contextlib.asynccontextmanager
async def raw(place: Served | Ruled, path: str = "/echo", *, extra: str = "", tail: bytes = b"") -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    head = (
        f"GET {path} HTTP/1.1\r\nHost: yard\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{extra}\r\n"
    )
    writer.write(head.encode() + tail)
    try:
        status = await reader.readuntil(b"\r\n\r\n")
        assert status.startswith(b"HTTP/1.1 101 "), status
        assert b"Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n" in status
        yield Raw(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("compress", [0, 15])
def test_echo_text_and_binary(tmp_path: Path, loop: str, compress: int) -> None:
    async def go() -> None:
        async with room(tmp_path) as (place, client):
            async with client.ws_connect(f"{place.url}/echo", compress=compress) as socket:
                assert bool(socket.compress) is bool(compress)
                for message in ("", "hällo ⚓", "x" * 70_000):
                    await socket.send_str(message)
                    assert await socket.receive_str() == message
                for octets in (b"", os.urandom(200_000), b"\0" * 2_000_000):
                    await socket.send_bytes(octets)
                    assert await socket.receive_bytes() == octets
                await socket.close(code=4321)
                assert socket.close_code == 4321
            await place.logs[0].closed.wait()

    run(go(), loop)


def test_subprotocols(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (place, client):
            async with client.ws_connect(f"{place.url}/echo", protocols=("soap", "chat")) as socket:
                assert socket.protocol == "soap"
            async with client.ws_connect(f"{place.url}/echo?subprotocol=chat", protocols=("soap", "chat")) as socket:
                assert socket.protocol == "chat"
            async with client.ws_connect(f"{place.url}/echo?subprotocol=", protocols=("soap",)) as socket:
                assert socket.protocol is None
            async with client.ws_connect(f"{place.url}/echo") as socket:
                assert socket.protocol is None
            async with raw(place, "/echo?subprotocol=other", extra="Sec-WebSocket-Protocol: soap\r\n"):
                headers = dict(place.logs[-1].events[-1][1]["headers"])
                assert headers["Sec-WebSocket-Protocol"] == "other"

    run(go())


def test_fragments_pings_and_a_tail_behind_the_handshake(tmp_path: Path) -> None:
    async def go() -> None:
        early = masked(0x81, b"early")
        async with room(tmp_path) as (place, _), raw(place, tail=early[:4]) as client:
            client.writer.write(early[4:])
            assert await client.frame() == (0x81, b"early")
            for octet in masked(0x01, b"one ") + masked(0x89, b"ping") + masked(0x00, b"t") + masked(0x80, b"wo"):
                client.writer.write(bytes([octet]))
                await client.writer.drain()
            assert await client.frame() == (0x8A, b"ping")
            assert await client.frame() == (0x81, b"one two")
            client.writer.write(masked(0x88, b"\x03\xf3bye") + masked(0x81, b"after the close"))
            assert await client.frame() == (0x88, b"\x03\xf3")
            assert await client.reader.read() == b""

    run(go())


VIOLATIONS = {
    "unmasked": (b"\x81\x02hi", 1002),
    "reserved bit": (masked(0x91, b"hi"), 1002),
    "rsv1 without an extension": (masked(0xC1, b"hi"), 1002),
    "reserved data opcode": (masked(0x83, b"hi"), 1002),
    "reserved control opcode": (masked(0x8B, b"hi"), 1002),
    "fragmented ping": (masked(0x09, b"hi"), 1002),
    "long ping": (masked(0x89, b"x" * 126), 1002),
    "continuation of nothing": (masked(0x80, b"hi"), 1002),
    "message in a message": (masked(0x01, b"") + masked(0x81, b"hi"), 1002),
    "length in too many octets": (masked(0x81, b"hi", b"\x7e\0\x02"), 1002),
    "length in far too many octets": (masked(0x81, b"hi", b"\x7f\0\0\0\0\0\0\0\x02"), 1002),
    "length below nothing": (masked(0x81, b"", b"\x7f\xff\0\0\0\0\0\0\x02"), 1002),
    "half a close code": (masked(0x88, b"\x03"), 1002),
    "close 1005": (masked(0x88, b"\x03\xed"), 1002),
    "close 1006": (masked(0x88, b"\x03\xee"), 1002),
    "close 1015": (masked(0x88, b"\x03\xf7"), 1002),
    "close 999": (masked(0x88, b"\x03\xe7"), 1002),
    "close 5000": (masked(0x88, b"\x13\x88"), 1002),
    "text that isn't utf-8": (masked(0x81, b"\xc3("), 1007),
    "reason that isn't utf-8": (masked(0x88, b"\x03\xe8\xff"), 1007),
    "too long": (masked(0x82, b"", b"\x7f" + (MESSAGE_LIMIT + 1).to_bytes(8, "big")), 1009),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_fails_the_connection_with_its_code(tmp_path: Path, name: str) -> None:
    octets, code = VIOLATIONS[name]

    async def go() -> None:
        async with room(tmp_path) as (place, _), raw(place) as client:
            client.writer.write(masked(0x81, b"before") + octets + b"what follows is never read" * 4000)
            assert await client.frame() == (0x81, b"before")
            first, payload = await client.frame()
            assert first == 0x88
            assert int.from_bytes(payload[:2], "big") == code
            assert await client.reader.read() == b""  # an end, not a reset

    run(go())


def test_a_compressed_bomb_is_too_long(tmp_path: Path) -> None:
    async def go() -> None:
        deflater = zlib.compressobj(9, wbits=-15)
        bomb = (deflater.compress(bytes(64 * 1024 * 1024)) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
        extension = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
        async with room(tmp_path) as (place, _), raw(place, extra=extension) as client:
            frame = masked(0xC2, bomb)
            client.writer.write(frame)
            assert await client.frame() == (0x88, (1009).to_bytes(2, "big"))

    run(go())


def test_a_message_of_exactly_the_limit_comes_back(tmp_path: Path) -> None:
    async def go() -> None:
        async with (
            room(tmp_path) as (place, client),
            client.ws_connect(f"{place.url}/echo", max_msg_size=0) as socket,
        ):
            await socket.send_bytes(bytes(MESSAGE_LIMIT))
            assert len(await socket.receive_bytes()) == MESSAGE_LIMIT

    run(go())


@pytest.mark.parametrize(
    ("status", "header"),
    [(401, "WWW-Authenticate"), (403, ""), (407, "Proxy-Authenticate"), (418, ""), (503, ""), (599, "")],
)
def test_deny(tmp_path: Path, status: int, header: str) -> None:
    async def go() -> None:
        async with room(tmp_path) as (place, client):
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await client.ws_connect(f"{place.url}/deny/{status}")
            assert caught.value.status == status
            assert not header or header in (caught.value.headers or {})
            async with client.get(f"{place.url}/deny/{status}") as plain:
                assert plain.status == status
                assert str(status) in await plain.text()

    run(go())


@pytest.mark.parametrize(
    ("headers", "status", "answer"),
    [
        ({}, 426, {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"}),
        ({"Upgrade": "websocket"}, 426, {"Upgrade": "websocket"}),
        (
            {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": KEY},
            426,
            {"Sec-WebSocket-Version": "13"},
        ),
        (
            {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": KEY, "Sec-WebSocket-Version": "8"},
            426,
            {},
        ),
        ({"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}, 400, {}),
        (
            {
                "Upgrade": "websocket",
                "Connection": "Upgrade",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "QQ==",
            },
            400,
            {},
        ),
    ],
)
def test_what_isnt_a_handshake(tmp_path: Path, headers: dict[str, str], status: int, answer: dict[str, str]) -> None:
    async def go() -> None:
        async with room(tmp_path) as (place, client):
            async with client.get(f"{place.url}/echo", headers=headers) as response:
                assert response.status == status
                assert {name: response.headers[name] for name in answer} == answer
            async with client.post(f"{place.url}/echo") as response:
                assert response.status == 405

    run(go())


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 1012, 1013, 3000, 4999])
def test_close_with_a_code(tmp_path: Path, code: int) -> None:
    async def go() -> None:
        async with (
            room(tmp_path) as (place, client),
            client.ws_connect(f"{place.url}/close/{code}?reason=so+long&after=2", autoclose=False) as socket,
        ):
            for message in ("one", "two"):
                await socket.send_str(message)
                assert await socket.receive_str() == message
            close = await socket.receive()
            assert (close.type, close.data, close.extra) == (WSMsgType.CLOSE, code, "so long")

    run(go())


def test_closes_that_carry_no_code(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (place, client):
            async with raw(place, "/close/1005") as peer:
                assert await peer.frame() == (0x88, b"")
                peer.writer.write(masked(0x88, b""))
                assert await peer.reader.read() == b""
            async with client.ws_connect(f"{place.url}/close/1006") as socket:
                assert (await socket.receive()).type is WSMsgType.CLOSED
                assert socket.close_code == 1006
            for path in (
                "/close/70000",
                "/close/x",
                "/close/1000?after=x",
                "/close/1000?reason=" + "x" * 124,
                "/deny/200",
            ):
                async with client.get(place.url + path) as response:
                    assert response.status == 400, path

    run(go())


def test_a_room_tells_everybody_and_rooms_dont_meet(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (place, client):
            one = await client.ws_connect(f"{place.url}/room/a")
            two = await client.ws_connect(f"{place.url}/room/a?self=0")
            other = await client.ws_connect(f"{place.url}/room/%7Bb%7D")
            await one.send_str("from one")
            assert await one.receive_str() == "from one"
            assert await two.receive_str() == "from one"
            await two.send_bytes(b"from two")
            assert await one.receive_bytes() == b"from two"
            await other.send_str("elsewhere")
            assert await other.receive_str() == "elsewhere"
            await two.close()
            await one.send_str("alone")
            assert await one.receive_str() == "alone"
            await one.close()
            await other.close()

    run(go())


def test_who_reads_too_slowly_is_closed_and_the_others_hear_everything(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (place, client), raw(place, "/room/flood") as sleeper:
            sleeper.writer.transport.pause_reading()
            talker = await client.ws_connect(f"{place.url}/room/flood", max_msg_size=0)
            piece = bytes(256 * 1024)
            rounds = 4 * MOST_OCTETS // len(piece)
            for _ in range(rounds):
                await talker.send_bytes(piece)
                assert len(await talker.receive_bytes()) == len(piece)
            await place.logs[0].closed.wait()
            await talker.close()
            assert talker.close_code == 1000

    run(go())


def test_closing_the_room_says_going_away(tmp_path: Path) -> None:
    async def go() -> None:
        async with aiohttp.ClientSession() as client:
            async with served(CARD, open_service, tmp_path) as place:
                socket = await client.ws_connect(f"{place.url}/echo")
                await socket.send_str("here")
                assert await socket.receive_str() == "here"
                ending: Coroutine[Any, Any, Any] = socket.receive()
                waiting = asyncio.ensure_future(ending)
            assert (await waiting).data == 1001

    run(go())


def test_the_journal_shows_frames_and_closes(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (place, _):
            extra = "Authorization: Basic YWxpY2U6YWxpY2Utc2VjcmV0\r\nCookie: id=1\r\n"
            async with raw(place, extra=extra) as client:
                client.writer.write(masked(0x81, b"hello") + masked(0x88, b"\x0f\xa1so long"))
                await client.frame()
                await client.frame()
                await client.reader.read()
            log = place.logs[0]
            await log.closed.wait()
            assert log.texts("command") == ["GET /echo HTTP/1.1"]
            assert log.texts("reply") == ["HTTP/1.1 101 Switching Protocols"]
            assert log.texts("data") == ["TEXT 5 hello", "CLOSE 4001 so long", "TEXT 5 hello", "CLOSE 4001"]
            assert [fields["direction"] for kind, fields in log.events if kind == "data"] == ["in", "in", "out", "out"]
            noted = str(log.events)
            assert "YWxp" not in noted
            assert "id=1" not in noted
            assert "«secret, 30 bytes»" in noted

    run(go())


def test_the_index_lists_the_paths(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (place, client), client.get(f"{place.url}/") as response:
            page = await response.text()
            for path in ("/echo", "/room/", "/deny/", "/close/", "/socket.io/"):
                assert path in page

    run(go())


@pytest.mark.parametrize("delayed", [False, True])
@pytest.mark.parametrize("loop", LOOPS)
def test_what_came_before_the_end_is_answered(tmp_path: Path, loop: str, delayed: bool) -> None:
    """The peer ends its direction without a Close, also where a rule has the answer wait beyond that."""

    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            if delayed:
                await place.rule("websocket.message", {"delay": "100ms"})
            async with raw(place) as peer:
                for payload in (b"flotsam", b"jetsam"):
                    peer.writer.write(masked(0x81, payload))
                peer.writer.write_eof()
                assert [await peer.frame() for _ in range(2)] == [(0x81, b"flotsam"), (0x81, b"jetsam")]
                assert await peer.frame() == (0x88, b"\x03\xe8")
                assert await peer.reader.read() == b""

    run(go(), loop)
