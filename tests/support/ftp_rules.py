"""What tests of rules do with the FTP room."""

from __future__ import annotations

import asyncio

from tests.support.ftp import LIMIT_S, Client, Ftp, Pipe

SOON_S = 0.15
DATA = bytes(range(256)) * 64


async def logged_in(ftp: Ftp) -> Client:
    with (await ftp.root()).open("/f", "wb") as file:
        file.write(DATA)
    return await ftp.logged_in()


async def silent(client: Client, pipe: Pipe | None = None) -> None:
    """Nothing more is said; the connection is open, since what else would end it is waited for."""
    await client.say("NOOP")
    waiting = asyncio.ensure_future(client.reader.read(1))
    done, _ = await asyncio.wait([waiting], timeout=SOON_S)
    assert not done
    waiting.cancel()
    await asyncio.wait([waiting])  # who reads next mustn't meet it


async def begin(client: Client, command: str) -> Pipe:
    pipe = await client.data()
    await client.say(command)
    return pipe


async def rest_of(pipe: Pipe) -> bytes:
    return await asyncio.wait_for(pipe.reader.read(), LIMIT_S)
