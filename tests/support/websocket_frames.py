"""What rules do to frames."""

from __future__ import annotations

import time

import aiohttp
from aiohttp import WSMsgType
from wsproto.events import (
    CloseConnection,
    Message,
    Ping,
    Pong,
    TextMessage,
)

from tests.support.hosted import Ruled
from tests.support.websocket_rules import DELAY_S, Client, End, opened


async def message_refuse(place: Ruled) -> None:
    await place.rule("websocket.message", {"refuse": "1011 out of $opcode"}, where={"text": "*quit*", "length": "<10"})
    async with opened(place) as made:
        made.text("stay")
        assert await made.hears() == "stay"
        made.text("I quit")
        assert await made.closed_with() == (1011, "out of text")


async def message_say(place: Ruled) -> None:
    await place.rule("websocket.message", {"say": "you said nothing"}, where={"text": "secret"})
    async with opened(place, "/room/a") as teller, opened(place, "/room/a") as hearer:
        teller.text("secret")
        assert await hearer.hears() == "secret", "it is done"
        assert await teller.hears() == "you said nothing", "and the answer lies"
    async with opened(place) as made:
        made.text("secret")
        assert await made.hears() == "you said nothing"
        made.text("open")
        assert await made.hears() == "open"


async def message_script(place: Ruled) -> None:
    steps = [{"send": "one"}, {"expect": "/^next/"}, {"say": "two"}, {"hang_up": True}]
    await place.rule("websocket.message", {"script": steps}, times=1)
    async with opened(place) as made:
        made.text("go")
        assert await made.hears() == "one"
        made.text("next")
        assert await made.hears() == "two"
        assert await made.next() is End


async def message_delay(place: Ruled) -> None:
    await place.rule("websocket.message", {"delay": DELAY_S})
    async with opened(place) as made:
        begun = time.monotonic()
        made.text("a")
        assert await made.hears() == "a"
        assert time.monotonic() - begun >= DELAY_S


async def message_hang_up(place: Ruled) -> None:
    await place.rule("websocket.message", {"hang_up": True}, where={"opcode": "text"})
    async with aiohttp.ClientSession() as session, session.ws_connect(place.url + "/echo") as made:
        await made.send_bytes(b"a")
        assert (await made.receive()).data == b"a"
        await made.send_str("a")
        assert (await made.receive()).type is WSMsgType.CLOSED
        assert made.close_code == 1006


async def message_silence(place: Ruled) -> None:
    await place.rule("websocket.message", {"silence": True})
    async with opened(place, "/room/s") as silent:
        silent.text("a")
        await silent.hears_nothing()
        silent.send(Ping())
        silent.send(CloseConnection(code=1000))
        await silent.hears_nothing()


# ── messages out ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def send_refuse(place: Ruled) -> None:
    await place.rule("websocket.send", {"refuse": "1013"}, where={"length": ">3"})
    async with opened(place) as made:
        made.text("abc")
        assert await made.hears() == "abc"
        made.text("abcd")
        assert (await made.closed_with())[0] == 1013


async def send_say(place: Ruled) -> None:
    await place.rule("websocket.send", {"say": "<$text>"})
    async with opened(place) as made:
        made.text("abc")
        assert await made.hears() == "<abc>"


async def send_delay(place: Ruled) -> None:
    await place.rule("websocket.send", {"delay": DELAY_S})
    async with opened(place) as made:
        begun = time.monotonic()
        made.text("a")
        assert await made.hears() == "a"
        assert time.monotonic() - begun >= DELAY_S


async def send_hang_up(place: Ruled) -> None:
    await place.rule("websocket.send", {"hang_up": True}, where={"path": "/room/*"})
    async with opened(place, "/room/h") as made:
        made.text("a")
        assert await made.next() is End


async def send_silence(place: Ruled) -> None:
    await place.rule("websocket.send", {"silence": True}, times=1)
    async with opened(place, "/room/h") as silent:
        silent.text("a")
        await silent.hears_nothing()
        async with opened(place, "/room/h") as other:
            other.text("b")
            assert await other.hears() == "b"
            await silent.hears_nothing()


async def first_fragment(made: Client) -> Message:
    made.text("abcdefgh")
    event = await made.next()
    assert isinstance(event, TextMessage)
    assert (event.data, event.message_finished) == ("abcd", False)
    return event


async def fragment_delay(place: Ruled) -> None:
    await place.rule("websocket.fragment", {"delay": DELAY_S}, where={"octets": "4"})
    async with opened(place) as made:
        begun = time.monotonic()  # the room waits from the first one on, which may be read late
        await first_fragment(made)
        event = await made.next()
        assert (event.data, event.message_finished) == ("efgh", True)
        assert time.monotonic() - begun >= DELAY_S
        made.text("xy")
        assert await made.hears() == "xy", "what no rule means is sent whole"


async def fragment_hang_up(place: Ruled) -> None:
    await place.rule("websocket.fragment", {"hang_up": True})
    async with opened(place) as made:
        await first_fragment(made)
        assert await made.next() is End


async def fragment_silence(place: Ruled) -> None:
    await place.rule("websocket.fragment", {"silence": True})
    async with opened(place) as made:
        await first_fragment(made)
        await made.hears_nothing()


# ── control frames ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def pong_of(made: Client) -> bytes:
    made.send(Ping(b"beat"))
    event = await made.next()
    assert isinstance(event, Pong), event
    return bytes(event.payload)


async def ping_say(place: Ruled) -> None:
    await place.rule("websocket.ping", {"say": "another"}, where={"length": 4}, times=1)
    async with opened(place) as made:
        assert await pong_of(made) == b"another"
        assert await pong_of(made) == b"beat"


async def ping_refuse(place: Ruled) -> None:
    await place.rule("websocket.ping", {"refuse": "1008 no pings here"})
    async with opened(place) as made:
        made.send(Ping())
        assert await made.closed_with() == (1008, "no pings here")


async def ping_delay(place: Ruled) -> None:
    await place.rule("websocket.ping", {"delay": DELAY_S})
    async with opened(place) as made:
        begun = time.monotonic()
        assert await pong_of(made) == b"beat"
        assert time.monotonic() - begun >= DELAY_S


async def ping_hang_up(place: Ruled) -> None:
    await place.rule("websocket.ping", {"hang_up": True})
    async with opened(place) as made:
        made.send(Ping())
        assert await made.next() is End


async def ping_silence(place: Ruled) -> None:
    await place.rule("websocket.ping", {"silence": True})
    async with opened(place) as made:
        made.send(Ping())
        made.text("a")
        await made.hears_nothing()


async def close_say(place: Ruled) -> None:
    await place.rule("websocket.close", {"say": "1011 broken"}, where={"by": "client", "code": 1000})
    await place.rule("websocket.close", {"say": "4999"}, where={"by": "server"})
    async with opened(place) as made:
        made.send(CloseConnection(code=1000))
        assert await made.closed_with() == (1011, "broken")
    async with opened(place, "/close/1000") as made:
        assert (await made.closed_with())[0] == 4999


async def close_delay(place: Ruled) -> None:
    await place.rule("websocket.close", {"delay": DELAY_S})
    async with opened(place) as made:
        begun = time.monotonic()
        made.send(CloseConnection(code=1000))
        assert (await made.closed_with())[0] == 1000
        assert time.monotonic() - begun >= DELAY_S


async def close_hang_up(place: Ruled) -> None:
    await place.rule("websocket.close", {"hang_up": True})
    async with opened(place) as made:
        made.send(CloseConnection(code=1000))
        assert await made.next() is End


async def close_silence(place: Ruled) -> None:
    await place.rule("websocket.close", {"silence": True})
    async with opened(place) as made:
        made.send(CloseConnection(code=1000))
        await made.hears_nothing()


# ── Socket.IO ────────────────────────────────────────────────────────────────────────────────────────────────────────────
