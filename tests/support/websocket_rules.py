"""A client of a WebSocket room that rules are set on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import wsproto
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Message,
    Request,
    TextMessage,
)

from tests.support.hosted import Ruled

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

    async def whole(self) -> str | bytes:
        """The next message, in however many frames and pieces."""
        event = await self.next()
        assert isinstance(event, Message), event
        data = event.data
        while not event.message_finished:
            event = await self.next()
            data += event.data
        return data if isinstance(data, str) else bytes(data)

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
