"""Rules in the WebSocket room as independent clients see them: one case for each verb and action that is announced."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import socketio
import wsproto
from aiohttp import WSMsgType
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Message,
    Ping,
    Pong,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.utilities import RemoteProtocolError

from portyard.commons.scenario.checking import check
from portyard.commons.scenario.model import RuleError
from portyard.commons.scenario.parsing import make_rule
from portyard.commons.scenario.vocabulary import FAULTS
from portyard.websocket.card import CARD
from portyard.websocket.core.verbs import VOCABULARY, close_of
from tests.support.asyncio_tests import run
from tests.support.hosted import Ruled, ruled_room

PATIENCE_S = 0.2  # nothing comes for so long
DELAY_S = 0.15


class End:
    """The room closed the connection."""


class Client:
    """A client on wsproto, which shares no code with the room."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.wire = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        self.waiting: list[Any] = []

    def send(self, event: Event) -> None:
        self.writer.write(self.wire.send(event))

    def text(self, text: str) -> None:
        self.send(TextMessage(text))

    async def next(self) -> Any:
        """The next event, as wsproto sees it, or End."""
        while not self.waiting:
            octets = await self.reader.read(65536)
            if not octets:
                return End
            self.wire.receive_data(octets)
            self.waiting += self.wire.events()
        return self.waiting.pop(0)

    async def hears(self) -> str:
        event = await self.next()
        assert isinstance(event, TextMessage), event
        assert event.message_finished
        return event.data

    async def closed_with(self) -> tuple[int, str | None]:
        event = await self.next()
        assert isinstance(event, CloseConnection), event
        return int(event.code), event.reason

    async def hears_nothing(self) -> None:
        assert not self.waiting
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await self.reader.read(1)


@contextlib.asynccontextmanager
async def client(place: Ruled, target: str = "/echo", **request: Any) -> AsyncIterator[Client]:
    """A client that asked for an upgrade."""
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    made = Client(reader, writer)
    made.send(Request(host="localhost", target=target, **request))
    try:
        yield made
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def opened(place: Ruled, target: str = "/echo", **request: Any) -> AsyncIterator[Client]:
    """A client whose upgrade was agreed to."""
    async with client(place, target, **request) as made:
        assert isinstance(await made.next(), AcceptConnection)
        yield made


async def plain(place: Ruled, path: str = "/") -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(place.url + path) as answer:
        return answer.status, await answer.text()


# ── connections and requests ─────────────────────────────────────────────────────────────────────────────────────────────


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
    async with opened(place) as made:
        begun = time.monotonic()
        made.text("a")
        assert await made.hears() == "a"
        assert time.monotonic() - begun >= DELAY_S * 0.7


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
        await first_fragment(made)
        begun = time.monotonic()
        event = await made.next()
        assert (event.data, event.message_finished) == ("efgh", True)
        assert time.monotonic() - begun >= DELAY_S * 0.7
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


@contextlib.asynccontextmanager
async def guest(place: Ruled, transport: str = "websocket", **more: Any) -> AsyncIterator[socketio.AsyncClient]:
    made = socketio.AsyncClient(reconnection=False)
    try:
        await made.connect(place.url, transports=[transport], wait_timeout=5, **more)
        yield made
    finally:
        await made.disconnect()


async def enter_refuse(place: Ruled) -> None:
    await place.rule("websocket.enter", {"refuse": "the yard is full"}, times=1)
    heard: list[object] = []
    made = socketio.AsyncClient(reconnection=False)
    made.on("connect_error", heard.append)
    with pytest.raises(socketio.exceptions.ConnectionError):
        await made.connect(place.url, transports=["websocket"], wait_timeout=5)
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
    made = socketio.AsyncClient(reconnection=False)
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
        await asyncio.wait_for(gone.wait(), 5)


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
CASES: tuple[Case, ...] = (
    *(connect_hang_up, connect_delay, connect_silence),
    *(request_refuse, request_say, request_respond, request_script, request_delay, request_hang_up, request_silence),
    *(
        upgrade_refuse,
        upgrade_refuse_by_field,
        upgrade_say,
        upgrade_respond,
        upgrade_with_a_wrong_accept,
        upgrade_script,
    ),
    *(upgrade_delay, upgrade_hang_up, upgrade_silence),
    *(open_refuse, open_script, open_delay, open_hang_up, open_silence),
    *(message_refuse, message_say, message_script, message_delay, message_hang_up, message_silence),
    *(send_refuse, send_say, send_delay, send_hang_up, send_silence),
    *(fragment_delay, fragment_hang_up, fragment_silence),
    *(ping_say, ping_refuse, ping_delay, ping_hang_up, ping_silence),
    *(close_say, close_delay, close_hang_up, close_silence),
    *(enter_refuse, enter_delay, enter_hang_up, enter_silence),
    *(event_refuse, event_say, event_delay, event_hang_up, event_silence),
)
_ELSEWHERE = FAULTS | {"tls", "persona"}  # shown with the wire, with TLS, and with the personas


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_verb_obeys_an_action(tmp_path: Path, case: Case) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            await case(place)
            assert all(hits > 0 for hits in await place.hits())

    run(go())


def test_every_announced_action_has_a_case() -> None:
    announced = {
        f"{verb}_{action}"
        for verb, declared in VOCABULARY.verbs.items()
        for action in declared.actions - _ELSEWHERE
        if verb != "tls"
    }
    assert announced == {case.__name__ for case in CASES} - {"upgrade_with_a_wrong_accept", "upgrade_refuse_by_field"}


@pytest.mark.parametrize(
    ("on", "then", "because"),
    [
        ("websocket.close", {"refuse": "1000"}, "can't be refused"),
        ("websocket.message", {"respond": "x"}, "no parts"),
        ("websocket.event", {"reset": True}, "several connections"),
        ("websocket.fragment", {"refuse": "1011"}, "under way"),
    ],
)
def test_what_cant_be_honoured_is_refused_when_it_is_set(on: str, then: object, because: str) -> None:
    with pytest.raises(RuleError, match=because):
        check(make_rule(on, then), {"websocket": VOCABULARY})


@pytest.mark.parametrize(
    ("text", "close"),
    [
        ("1011", (1011, "")),
        ("4000 so long", (4000, "so long")),
        ("no code at all", (1011, "no code at all")),
        ("1000 " + "é" * 100, (1000, "é" * 61)),
    ],
)
def test_a_rules_close(text: str, close: tuple[int, str]) -> None:
    assert close_of(text) == close


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 200_000])
def test_fragments_of_every_length(tmp_path: Path, size: int) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            await place.rule("websocket.fragment", {"delay": 0})
            sent = bytes(at % 251 for at in range(2 * size))
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(place.url + "/echo", max_msg_size=0, compress=15) as made,
            ):
                await made.send_bytes(sent)
                assert (await made.receive()).data == sent

    run(go())


def test_magic_words_in_paths(tmp_path: Path) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            await place.place.yard.sandboxes.change("default", magic=True)
            async with client(place, "/room/x+429") as made:
                rejected = await made.next()
                assert isinstance(rejected, RejectConnection)
                assert rejected.status_code == 429
            async with client(place, "/room/x+hangup") as made:
                assert await made.next() is End
            async with opened(place, "/room/x"):
                pass

    run(go())


def test_the_journal_tells_which_rule_fired(tmp_path: Path) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            await place.rule("websocket.message", {"refuse": "1011 enough"}, name="enough")
            async with opened(place) as made:
                made.text("a")
                assert (await made.closed_with())[0] == 1011
            events = await place.talk()
            (fault,) = [fields for kind, fields in events if kind == "fault"]
            assert fault == {"verb": "message", "rule": "enough", "does": ["refuse"]}
            assert ("out", "CLOSE 1011 enough") in [(f.get("direction"), f.get("text")) for _, f in events]

    run(go())


def test_sandboxes_have_rooms_and_rules_of_their_own(tmp_path: Path) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            for name in ("t1", "t2"):
                await place.place.yard.sandboxes.create(name)
            await place.rule("websocket.message", {"refuse": "1011"}, sandbox="t2")
            async with (
                opened(place, "/~t1/room/a") as one,
                opened(place, "/room/a", extra_headers=[(b"X-Portyard-Sandbox", b"t1")]) as two,
                opened(place, "/room/a") as stranger,
                opened(place, "/~t2/room/a") as ruled,
            ):
                one.text("ahoy")
                assert await two.hears() == "ahoy"
                await stranger.hears_nothing()
                ruled.text("ahoy")
                assert (await ruled.closed_with())[0] == 1011
            async with client(place, "/~t3/room/a") as made:
                rejected = await made.next()
                assert isinstance(rejected, RejectConnection)
                assert rejected.status_code == 404
            async with (
                guest(place, socketio_path="~t1/socket.io") as one_guest,
                guest(place, headers={"X-Portyard-Sandbox": "t1"}) as two_guest,
                guest(place) as strange_guest,
            ):
                assert (await one_guest.call("join", "a"))["members"] == 1
                assert (await strange_guest.call("join", "a"))["members"] == 1
                assert (await two_guest.call("join", "a"))["members"] == 2

    run(go())
