"""What rules do before the upgrade and at it."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest
from wsproto.events import (
    RejectConnection,
    RejectData,
)
from wsproto.utilities import RemoteProtocolError

from tests.support.hosted import Ruled
from tests.support.websocket_rules import DELAY_S, PATIENCE_S, End, client, opened, plain


async def connect_hang_up(place: Ruled) -> None:
    await place.rule("websocket.connect", {"hang_up": True}, times=1)
    async with client(place) as made:
        assert await made.next() is End


async def connect_delay(place: Ruled) -> None:
    await place.rule("websocket.connect", {"delay": DELAY_S})
    begun = time.monotonic()
    async with opened(place):
        assert time.monotonic() - begun >= DELAY_S


async def connect_silence(place: Ruled) -> None:
    await place.rule("websocket.connect", {"silence": True})
    async with client(place) as made:
        await made.hears_nothing()
    await place.eventually("closed")


async def request_refuse(place: Ruled) -> None:
    await place.rule("websocket.request", {"refuse": "503 moored"})
    assert await plain(place) == (503, "503: moored\n")
    async with opened(place):
        pass


async def request_say(place: Ruled) -> None:
    await place.rule("websocket.request", {"say": "404"})
    assert (await plain(place))[0] == 404


async def request_respond(place: Ruled) -> None:
    await place.rule("websocket.request", {"respond": {"status": 202, "body": "$path"}})
    assert await plain(place, "/x") == (202, "/x")


async def request_script(place: Ruled) -> None:
    await place.rule("websocket.request", {"script": [{"send": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"}]})
    assert await plain(place) == (200, "ok")


async def request_delay(place: Ruled) -> None:
    await place.rule("websocket.request", {"delay": DELAY_S})
    begun = time.monotonic()
    assert (await plain(place))[0] == 200
    assert time.monotonic() - begun >= DELAY_S


async def request_hang_up(place: Ruled) -> None:
    await place.rule("websocket.request", {"hang_up": True})
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await plain(place)


async def request_silence(place: Ruled) -> None:
    await place.rule("websocket.request", {"silence": True})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            await plain(place)


# ── the opening handshake ────────────────────────────────────────────────────────────────────────────────────────────────


async def upgrade_refuse(place: Ruled) -> None:
    await place.rule("websocket.upgrade", {"refuse": "503 no berth"}, where={"path": "/echo"}, times=1)
    async with client(place) as made:
        rejected = await made.next()
        assert isinstance(rejected, RejectConnection)
        assert rejected.status_code == 503
        body = await made.next()
        assert isinstance(body, RejectData)
        assert bytes(body.data) == b"503: no berth\n"
    async with opened(place):
        pass


async def upgrade_refuse_by_field(place: Ruled) -> None:
    wanted = {
        "login": "alice",
        "origin": "*here*",
        "query": "a=1",
        "extensions": "permessage-deflate*",
        "method": "GET",
    }
    await place.rule("websocket.upgrade", {"refuse": "401"}, where=wanted)
    fields = [(b"Authorization", b"Basic YWxpY2U6eA=="), (b"Origin", b"http://here.test")]
    fields.append((b"Sec-WebSocket-Extensions", b"permessage-deflate"))
    async with client(place, "/echo?a=1", extra_headers=fields) as made:
        rejected = await made.next()
        assert isinstance(rejected, RejectConnection)
        assert b"www-authenticate" in [name.lower() for name, _ in rejected.headers]
    async with opened(place, "/echo?a=1", extra_headers=fields[1:2]):
        pass


async def upgrade_say(place: Ruled) -> None:
    await place.rule("websocket.upgrade", {"say": "parrot"}, where={"subprotocol": "chat"})
    async with client(place, subprotocols=["chat"]) as made:
        with pytest.raises(RemoteProtocolError, match="unrecognized subprotocol"):
            await made.next()
    async with aiohttp.ClientSession() as session, session.ws_connect(place.url + "/echo", protocols=["x"]) as answer:
        assert answer.protocol == "x"


async def upgrade_respond(place: Ruled) -> None:
    await place.rule("websocket.upgrade", {"respond": {"status": 302, "headers": {"Location": "/room/x"}}})
    async with client(place) as made:
        rejected = await made.next()
        assert isinstance(rejected, RejectConnection)
        assert (b"location", b"/room/x") in [(name.lower(), value) for name, value in rejected.headers]


async def upgrade_with_a_wrong_accept(place: Ruled) -> None:
    headers = {"Sec-WebSocket-Accept": "AAAAAAAAAAAAAAAAAAAAAAAAAAA="}
    await place.rule("websocket.upgrade", {"respond": {"status": 101, "headers": headers}})
    async with client(place) as made:
        with pytest.raises(RemoteProtocolError, match="accept token"):
            await made.next()


async def upgrade_script(place: Ruled) -> None:
    await place.rule("websocket.upgrade", {"script": [{"send": "HTTP/1.1 101 Sw"}, {"hang_up": True}]})
    async with client(place) as made:
        assert await made.reader.read() == b"HTTP/1.1 101 Sw"


async def upgrade_delay(place: Ruled) -> None:
    await place.rule("websocket.upgrade", {"delay": DELAY_S})
    begun = time.monotonic()
    async with opened(place):
        assert time.monotonic() - begun >= DELAY_S


async def upgrade_hang_up(place: Ruled) -> None:
    await place.rule("websocket.upgrade", {"hang_up": True})
    async with client(place) as made:
        assert await made.next() is End


async def upgrade_silence(place: Ruled) -> None:
    await place.rule("websocket.upgrade", {"silence": True})
    async with client(place) as made:
        await made.hears_nothing()


async def open_refuse(place: Ruled) -> None:
    await place.rule("websocket.open", {"refuse": "4001 not you"}, where={"subprotocol": "chat"})
    async with opened(place, subprotocols=["chat"]) as made:
        assert await made.closed_with() == (4001, "not you")
    async with opened(place) as made:
        made.text("a")
        assert await made.hears() == "a"


async def open_script(place: Ruled) -> None:
    steps = [{"send": "who?"}, {"expect": "alice"}, {"delay": 0.01}, {"send": "hello $path"}]
    await place.rule("websocket.open", {"script": steps})
    async with opened(place) as made:
        assert await made.hears() == "who?"
        made.text("alice")
        assert await made.hears() == "hello /echo"
        made.text("on")
        assert await made.hears() == "on"
    async with opened(place) as made:
        assert await made.hears() == "who?"
        made.text("mallory")
        assert await made.hears() == "mallory", "the script ends, and the room deals with it"


async def open_delay(place: Ruled) -> None:
    await place.rule("websocket.open", {"delay": DELAY_S})
    begun = time.monotonic()  # the room waits from the answer on, which may be read late
    async with opened(place) as made:
        made.text("a")
        assert await made.hears() == "a"
        assert time.monotonic() - begun >= DELAY_S


async def open_hang_up(place: Ruled) -> None:
    await place.rule("websocket.open", {"hang_up": True})
    async with opened(place) as made:
        assert await made.next() is End


async def open_silence(place: Ruled) -> None:
    await place.rule("websocket.open", {"silence": True})
    async with opened(place) as made:
        made.text("a")
        await made.hears_nothing()


# ── messages in ──────────────────────────────────────────────────────────────────────────────────────────────────────────
