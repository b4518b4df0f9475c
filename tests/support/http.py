"""An HTTP room for a test, its client, and a raw connection for octets that no client sends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import aiohttp

from portyard.commons.scenario.checking import check
from portyard.commons.scenario.parsing import make_rule
from portyard.commons.settings import Limits
from portyard.http.card import CARD
from portyard.http.core.verbs import VOCABULARY
from portyard.http.edge import open_service
from tests.support.hosted import Served, served
from tests.support.yard import Served as YardServed
from tests.support.yard import open_yard, serve


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


@dataclass(frozen=True, slots=True)
class Ruled:
    """A whole yard with the room in it, and the rules that a test sets there."""

    place: YardServed

    @property
    def port(self) -> int:
        return self.place.port("http")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def rule(self, on: str, then: object, sandbox: str = "default", **fields: object) -> None:
        """Set a rule as the control API does: held against what the room announces."""
        rule = make_rule(on, then, **fields)
        check(rule, {"http": VOCABULARY})
        await self.place.yard.rules.add(sandbox, rule)

    async def hits(self, sandbox: str = "default") -> list[int]:
        await self.place.yard.rules.flush()
        return [stored.hits for stored in await self.place.yard.rules.load(sandbox)]

    async def ask(self, octets: bytes) -> bytes:
        """Send octets and return all that comes back until the room closes."""
        return await exchange(self, octets)

    async def talk(self, sandbox: str = "default") -> list[tuple[str, dict[str, object]]]:
        """Every event of the sandbox's first session, as kind and fields."""
        await self.place.yard.journal.flush()
        sessions = await self.place.yard.journal.sessions(sandbox, room="http")
        events = await self.place.yard.journal.events(sessions[-1].id) if sessions else []
        return [(event.kind, event.fields) for event in events]


@contextlib.asynccontextmanager
async def ruled_room(folder: Path) -> AsyncIterator[Ruled]:
    """The room in a whole yard."""
    async with open_yard(folder) as yard, serve(yard, CARD) as place:
        yield Ruled(place)
