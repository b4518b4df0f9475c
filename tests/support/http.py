"""An HTTP room for a test, its client, and a raw connection for octets that no client sends."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import aiohttp

from portyard.commons.settings import Limits
from portyard.http.card import CARD
from portyard.http.edge import open_service
from tests.support.hosted import Served, served


class Place(Protocol):
    """Where a room listens on loopback."""

    @property
    def port(self) -> int: ...


@contextlib.asynccontextmanager
async def room(folder: Path, limits: Limits | None = None) -> AsyncIterator[tuple[Served, aiohttp.ClientSession]]:
    """The room, and a client that follows nothing and decodes nothing by itself."""
    async with (
        served(CARD, open_service, folder, limits) as place,
        aiohttp.ClientSession(place.url, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as client,
    ):
        yield place, client


async def fetch(client: aiohttp.ClientSession, path: str, method: str = "GET", **more: Any) -> tuple[Any, bytes]:
    async with client.request(method, path, allow_redirects=False, **more) as response:
        return response, await response.read()


async def fetch_json(client: aiohttp.ClientSession, path: str, method: str = "GET", **more: Any) -> Any:
    response, body = await fetch(client, path, method, **more)
    assert response.status == 200, body
    assert response.content_type == "application/json"
    return json.loads(body)


async def exchange(place: Place, octets: bytes, *, piecewise: bool = False, half_close: bool = False) -> bytes:
    """Send octets and return all that comes back until the room closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    size = max(1, len(octets) // 500) if piecewise else len(octets) or 1
    pieces = [octets[at : at + size] for at in range(0, len(octets), size)]
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        if piecewise:
            await asyncio.sleep(0)  # so that the room reads it before the next one comes
    if half_close:
        writer.write_eof()
    answer = await reader.read()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return answer
