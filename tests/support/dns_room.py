"""The DNS room on real sockets: how a test asks it over UDP and TCP, and what its journal then has."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from portyard.commons.journal.model import JournalEvent, SessionRecord
from portyard.dns.card import CARD
from portyard.dns.core.grammar import parse, print_message
from portyard.dns.core.presentation import query_of, reply_lines
from tests.support.yard import Served, open_yard, serve


@contextlib.asynccontextmanager
async def room(tmp_path: Path, **changes: object) -> AsyncIterator[Served]:
    async with open_yard(tmp_path, **changes) as yard, serve(yard, CARD) as served:
        yield served


class Datagrams(asyncio.DatagramProtocol):
    """A UDP client that keeps what comes."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.came.put_nowait(data)


@contextlib.asynccontextmanager
async def udp(port: int) -> AsyncIterator[tuple[asyncio.DatagramTransport, Datagrams]]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(Datagrams, remote_addr=("127.0.0.1", port))
    try:
        yield transport, protocol
    finally:
        transport.close()


async def ask(port: int, line: str) -> list[str]:
    async with udp(port) as (transport, client):
        transport.sendto(print_message(query_of(line, 77)))
        return reply_lines(parse(await client.came.get()))


async def read_message(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))


@contextlib.asynccontextmanager
async def tcp(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


async def sessions(served: Served) -> list[tuple[SessionRecord, list[JournalEvent]]]:
    await served.yard.journal.flush()
    found = await served.yard.journal.sessions("default", room="dns")
    return [(session, await served.yard.journal.events(session.id)) for session in found]
