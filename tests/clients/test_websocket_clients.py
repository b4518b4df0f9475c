"""Whole errands by independent WebSocket and Socket.IO clients against the room as it is served, plain and over TLS."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import socketio
import wsproto
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate

from portyard.websocket.card import CARD
from tests.support.asyncio_tests import run
from tests.support.yard import Served, open_yard, serve

LIMIT_S = 60


@contextlib.asynccontextmanager
async def room(folder: Path) -> AsyncIterator[Served]:
    async with open_yard(folder) as yard, serve(yard, CARD) as place:
        yield place


class Client:
    """A blocking client on wsproto, which shares no code with the room."""

    def __init__(self, place: Served, scheme: str, target: str, **request: object) -> None:
        self.sock: socket.socket = socket.create_connection(("127.0.0.1", place.port(scheme)), timeout=LIMIT_S)
        if scheme == "wss":
            self.sock = place.client_context().wrap_socket(self.sock, server_hostname="localhost")
        self.wire = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        self.send(Request(host="localhost", target=target, **request))  # type: ignore[arg-type]

    def send(self, event: wsproto.events.Event) -> None:
        self.sock.sendall(self.wire.send(event))

    def events(self) -> Iterator[wsproto.events.Event]:
        while octets := self.sock.recv(65536):
            self.wire.receive_data(octets)
            yield from self.wire.events()

    def message(self) -> str | bytes:
        pieces = []
        for event in self.events():
            assert isinstance(event, TextMessage | BytesMessage)
            pieces.append(event.data)
            if event.message_finished:
                break
        return pieces[0][:0].join(pieces)  # type: ignore[arg-type]

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()


@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize("deflate", [False, True])
def test_wsproto(tmp_path: Path, scheme: str, deflate: bool) -> None:
    def errand(place: Served) -> None:
        extensions = [PerMessageDeflate()] if deflate else []
        with Client(place, scheme, "/echo", subprotocols=["chat"], extensions=extensions) as client:
            (accepted,) = itertools.islice(client.events(), 1)
            assert isinstance(accepted, AcceptConnection)
            assert (accepted.subprotocol, bool(accepted.extensions)) == ("chat", deflate)
            client.send(TextMessage("häl", message_finished=False))
            client.send(TextMessage("lo"))
            assert client.message() == "hällo"
            client.send(BytesMessage(b"\0" * 300_000))
            assert client.message() == b"\0" * 300_000
            client.send(Ping(b"ping"))
            (pong,) = itertools.islice(client.events(), 1)
            assert isinstance(pong, Pong)
            client.send(CloseConnection(4321, "enough"))
            (closed,) = client.events()  # and then the end, without an error
            assert isinstance(closed, CloseConnection)
            assert closed.code == 4321
        with Client(place, scheme, "/close/4000?reason=so+long") as client:
            _, closed = itertools.islice(client.events(), 2)
            assert isinstance(closed, CloseConnection)
            assert (closed.code, closed.reason) == (4000, "so long")
            client.send(closed.response())
            assert client.sock.recv(1) == b""
        for status in (401, 403):
            with Client(place, scheme, f"/deny/{status}") as client:
                (refused,) = itertools.islice(client.events(), 1)
                assert isinstance(refused, RejectConnection)
                assert refused.status_code == status

    async def go() -> None:
        async with room(tmp_path) as place:
            await asyncio.to_thread(errand, place)

    run(go())


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_socketio(tmp_path: Path, scheme: str) -> None:
    async def go() -> None:
        async with room(tmp_path) as place:
            port = place.port({"http": "ws", "https": "wss"}[scheme])
            connector = aiohttp.TCPConnector(ssl=place.client_context())
            async with aiohttp.ClientSession(connector=connector) as session:
                client = socketio.AsyncClient(http_session=session, reconnection=False, request_timeout=LIMIT_S)
                await client.connect(f"{scheme}://127.0.0.1:{port}", wait_timeout=LIMIT_S)
                assert await client.call("anything", {"n": 1}) == {"n": 1}
                assert (await client.call("join", "r"))["members"] == 1
                await client.disconnect()
            await place.yard.journal.flush()
            sessions = await place.yard.journal.sessions("default", room="websocket")
            events = [event for session in sessions for event in await place.yard.journal.events(session.id)]
            assert any('["anything",{"n":1}]' in str(event.fields.get("text")) for event in events)

    run(go())
