"""HTTP, WebSocket and Socket.IO, octet by octet."""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from tests.support.matrix.handshakes import handshake_cells
from tests.support.matrix.place import DELAY_S, DOMAIN, PASSWORD, Cell, Client, Delayed, Place

GET = b"GET /bytes/5000?seed=1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
INDEX = b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: localhost\r\n\r\n"
_LOGIN = b"Authorization: Basic " + base64.b64encode(f"m-http@{DOMAIN}:{PASSWORD}".encode()) + b"\r\n"
_CARGO = b"x" * 3000
PUT = b"PUT /files/m-http/f HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000\r\n" + _LOGIN + b"\r\n" + _CARGO
_HEAD = rb"HTTP/1\.1 200 .*\r\n\r\n"
View = tuple[object, Callable[[Place], None]]


def http(place: Place) -> Iterator[Cell]:
    """HTTP's cells."""
    place.account("m-http")
    yield from handshake_cells("http", "https")
    yield from _exchanges("http", "connect", "http", GET, _HEAD + rb".{5000}")
    yield from _exchanges("http", "request", "http", GET, _HEAD + rb".{5000}", _answers("http", GET))
    yield from _exchanges("http", "upload", "http", PUT, rb"HTTP/1\.1 20[14] ")
    answers = _answers("http", GET)
    later = {action: answers[action] for action in ("say", "respond")}
    yield from _exchanges("http", "response", "http", GET, _HEAD + rb".{5000}", later)
    yield from _exchanges("http", "headers", "http", GET, _HEAD + rb".{5000}", before=_HEAD)
    midst = _HEAD + rb".{1024}"
    yield from _exchanges("http", "body", "http", GET, _HEAD + rb".{5000}", before=midst, where={"octets": 1024})


def _exchanges(
    room: str,
    verb: str,
    port: str,
    request: bytes,
    truth: bytes,
    more: Mapping[str, View] = {},
    before: bytes = b"",
    where: Mapping[str, object] = {},
) -> Iterator[Cell]:
    """What every moment of an exchange can be asked for, and what this one can be asked for besides."""
    views: dict[str, View] = {
        "silence": (True, partial(_is_silent, port, request, before)),
        "delay": (DELAY_S, partial(_is_late, port, request, truth)),
        "hang_up": (True, partial(_hangs_up, verb, port, request, before)),
        "bytes": (True, partial(_resets, port, request)),
        **more,
    }
    for action, (then, see) in views.items():
        yield Cell(room, verb, action, {"reset" if action == "bytes" else action: then}, see, where)


def _is_silent(port: str, request: bytes, before: bytes, place: Place) -> None:
    with Client(place.connect(port)) as client:
        client.say(request)
        place.acted()
        client.until(rb"\A" + before)  # which may take any time
        client.is_quiet()


def _is_late(port: str, request: bytes, truth: bytes, place: Place) -> None:
    with Delayed(), Client(place.connect(port)) as client:
        client.say(request)
        client.until(truth)


def _hangs_up(verb: str, port: str, request: bytes, before: bytes, place: Place) -> None:
    with Client(place.connect(port)) as client:
        client.say(request)
        heard = client.rest(politely=bool(before) or verb != "connect")
        assert re.fullmatch(before, heard, re.DOTALL), heard


def _resets(port: str, request: bytes, place: Place) -> None:
    with Client(place.connect(port)) as client:
        client.say(request)
        client.is_reset()


def _answers(port: str, request: bytes) -> dict[str, View]:
    """The answers that a request can be given, and how they are heard."""

    def is_status(status: str, place: Place) -> None:
        with Client(place.connect(port)) as client:
            client.say(request)
            client.until(rb"\AHTTP/1\.1 " + status.encode() + rb"[ \r]")

    def is_stub(place: Place) -> None:
        with Client(place.connect(port)) as client:
            client.say(request)
            client.until(rb"\AHTTP/1\.1 299 .*\r\n\r\na stub\Z")

    def is_script(place: Place) -> None:
        with Client(place.connect(port)) as client:
            client.say(request)
            assert client.until(rb"!") == b"Hello!"

    return {
        "refuse": ("503 not today", partial(is_status, "503")),
        "say": ("404", partial(is_status, "404")),
        "respond": ({"status": 299, "body": "a stub"}, is_stub),
        "script": ([{"send": "Hel"}, {"delay": "1ms"}, {"send": "lo!"}, {"hang_up": True}], is_script),
    }


# WebSocket

_KEY = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
_UPGRADE = b" HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + _KEY + b"\r\n"
ECHO = b"GET /echo" + _UPGRADE
SWITCHED = rb"\AHTTP/1\.1 101 .*?\r\n\r\n"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
LONG = "tide " * 40
Says = tuple[tuple[int, bytes], ...]


def websocket(_: Place) -> Iterator[Cell]:
    """WebSocket's cells."""
    yield from handshake_cells("websocket", "wss")
    yield from _exchanges("websocket", "connect", "ws", ECHO, SWITCHED)
    yield from _exchanges("websocket", "request", "ws", INDEX, _HEAD, _answers("ws", INDEX))
    upgrades = _answers("ws", ECHO) | {"say": ("parrot", _is_parrot)}
    yield from _exchanges("websocket", "upgrade", "ws", ECHO, SWITCHED, upgrades)
    greeted = [{"send": "who?"}, {"expect": "me"}, {"send": "so?"}]
    more: dict[str, View] = {"refuse": ("4001 not today", _closes), "script": (greeted, _asks_who)}
    yield from _frames("open", (), None, more)
    more = {"refuse": ("4001 not today", _closes_after), "say": ("so they say", _lies)}
    yield from _frames("message", ((TEXT, b"a"),), (TEXT, b"a"), more | {"script": ([{"say": "so they say"}], _lies)})
    yield from _frames("send", ((TEXT, b"a"),), (TEXT, b"a"), more)
    yield from _frames("fragment", ((TEXT, LONG.encode()),), None, {})
    more = {"refuse": ("4001 not today", _closes_at_ping), "say": ("another", _pongs_otherwise)}
    yield from _frames("ping", ((PING, b"beat"),), (PONG, b"beat"), more)
    bye = struct.pack(">H", 1000)
    yield from _frames("close", ((CLOSE, bye),), (CLOSE, bye), {"say": ("4999", _closes_otherwise)})
    yield from _socketio()


def frame(opcode: int, payload: bytes) -> bytes:
    """A client's whole frame (RFC 6455 §5.2), masked with zeros."""
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
    return bytes([0x80 | opcode]) + size + bytes(4) + payload


def next_frame(client: Client) -> tuple[bool, int, bytes]:
    """The server's next frame: whether it is the last of its message, its opcode, its payload."""
    first, size = client.until(rb"\A..")
    if size == 126:
        (size,) = struct.unpack(">H", client.until(rb"\A.."))
    return bool(first & 0x80), first & 0x0F, client.until(rb"\A.{%d}" % size)


def _upgraded(place: Place, request: bytes = ECHO) -> Client:
    client = Client(place.connect("ws"))
    client.say(request)
    client.until(SWITCHED)
    return client


def _begins(verb: str, says: Says, client: Client) -> None:
    client.say(b"".join(frame(*said) for said in says))
    if verb == "fragment":
        last, _, payload = next_frame(client)
        assert not last
        assert LONG.encode().startswith(payload)


def _frame_is_late(verb: str, says: Says, truth: tuple[int, bytes] | None, place: Place) -> None:
    with Delayed(), _upgraded(place) as client:
        _begins(verb, says, client)
        if verb == "open":
            client.say(frame(TEXT, b"a"))
        _, opcode, payload = next_frame(client)
        assert verb in ("open", "fragment") or (opcode, payload) == truth, (opcode, payload)


def _frames(verb: str, says: Says, truth: tuple[int, bytes] | None, more: Mapping[str, View]) -> Iterator[Cell]:
    begun = partial(_begins, verb, says)

    def silent(place: Place) -> None:
        with _upgraded(place) as client:
            begun(client)
            place.acted()
            client.is_quiet()

    def ends(place: Place) -> None:
        with _upgraded(place) as client:
            begun(client)
            assert client.rest() == b""

    def is_reset(place: Place) -> None:
        with _upgraded(place) as client:
            begun(client)
            client.is_reset()

    views: dict[str, View] = {
        "silence": (True, silent),
        "delay": (DELAY_S, partial(_frame_is_late, verb, says, truth)),
        "hang_up": (True, ends),
        "bytes": (True, is_reset),
        **more,
    }
    where: Mapping[str, object] = {"path": "/echo"}
    for action, (then, see) in views.items():
        yield Cell("websocket", verb, action, {"reset" if action == "bytes" else action: then}, see, where)


def _is_parrot(place: Place) -> None:
    with Client(place.connect("ws")) as client:
        client.say(ECHO)
        assert b"\r\nsec-websocket-protocol: parrot\r\n" in client.until(SWITCHED).lower()


def _closes(place: Place, say: bytes = b"", code: int = 4001) -> None:
    with _upgraded(place) as client:
        client.say(say)
        _, opcode, payload = next_frame(client)
        assert (opcode, payload[:2]) == (CLOSE, struct.pack(">H", code)), (opcode, payload)


_closes_after = partial(_closes, say=frame(TEXT, b"a"))
_closes_at_ping = partial(_closes, say=frame(PING, b"beat"))
_closes_otherwise = partial(_closes, say=frame(CLOSE, struct.pack(">H", 1000)), code=4999)


def _lies(place: Place) -> None:
    with _upgraded(place) as client:
        client.say(frame(TEXT, b"a"))
        assert next_frame(client) == (True, TEXT, b"so they say")
        client.say(frame(TEXT, b"b"))
        assert next_frame(client) == (True, TEXT, b"b")


def _asks_who(place: Place) -> None:
    with _upgraded(place) as client:
        assert next_frame(client)[2] == b"who?"
        client.say(frame(TEXT, b"me"))
        assert next_frame(client)[2] == b"so?"


def _pongs_otherwise(place: Place) -> None:
    with _upgraded(place) as client:
        client.say(frame(PING, b"beat"))
        assert next_frame(client) == (True, PONG, b"another")


# Socket.IO: Engine.IO's packets in text frames, Socket.IO's within them

_SOCKETIO = b"GET /socket.io/?EIO=4&transport=websocket" + _UPGRADE


def _socketio() -> Iterator[Cell]:
    enters: dict[str, View] = {
        "refuse": ("not today", partial(_answered, b"40", lambda text: text == '44{"message":"not today"}')),
        "silence": (True, partial(_unanswered, b"40", False)),
        "delay": (DELAY_S, partial(_answered_late, b"40", lambda text: text.startswith("40{"))),
        "hang_up": (True, partial(_unanswered, b"40", True)),
    }
    ask = b'421["matrix","b"]'
    events: dict[str, View] = {
        "refuse": ("not today", partial(_answered, ask, lambda text: _acknowledged(text) == {"error": "not today"})),
        "say": ('"so they say"', partial(_answered, ask, lambda text: _acknowledged(text) == "so they say")),
        "silence": (True, partial(_unanswered, ask, False)),
        "delay": (DELAY_S, partial(_answered_late, ask, lambda text: _acknowledged(text) == "b")),
        "hang_up": (True, partial(_unanswered, ask, True)),
    }
    for verb, views in (("enter", enters), ("event", events)):
        for action, (then, see) in views.items():
            yield Cell("websocket", verb, action, {action: then}, see)


def _acknowledged(text: str) -> object:
    assert text.startswith("431["), text
    return json.loads(text[3:])[0]


def _guest(place: Place, say: bytes) -> Client:
    client = _upgraded(place, _SOCKETIO)
    assert next_frame(client)[2].startswith(b"0{")
    if say != b"40":
        client.say(frame(TEXT, b"40"))
        assert next_frame(client)[2].startswith(b"40{")
    client.say(frame(TEXT, say))
    return client


def _answered(say: bytes, good: Callable[[str], bool], place: Place) -> None:
    with _guest(place, say) as client:
        text = next_frame(client)[2].decode()
        while text.startswith("42"):  # the event, told to whom it concerns
            text = next_frame(client)[2].decode()
        assert good(text), text


def _answered_late(say: bytes, good: Callable[[str], bool], place: Place) -> None:
    with Delayed():
        _answered(say, good, place)


def _unanswered(say: bytes, ends: bool, place: Place) -> None:
    with _guest(place, say) as client:
        if ends:
            client.until(rb"\x81\x011\Z")  # Engine.IO's close; the connection is the client's to end then
        else:
            place.acted()
            client.is_quiet()
