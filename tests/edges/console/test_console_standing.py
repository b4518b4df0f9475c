"""A wait or a stream ends with its sandbox."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aiohttp
import pytest

from tests.support.asyncio_tests import run
from tests.support.console import Console, console, speak

WAITS = ("messages/wait?timeout=300", "events/wait?timeout=300&text=never", "messages/wait?timeout=300&count=0")


async def delete(client: Console) -> None:
    await client.ask("DELETE", "sandboxes/t1", 204)


async def waited(client: Console, path: str) -> None:
    problem = await client.problem("GET", f"sandboxes/t1/{path}", 404)
    assert (problem["key"], problem["value"]) == ("sandbox", "t1")


@pytest.mark.parametrize("path", WAITS)
def test_a_wait_ends_with_its_sandbox(tmp_path: Path, path: str) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await client.ask("POST", "sandboxes", 201, {"name": "t1"})
            begun = time.monotonic()
            async with asyncio.TaskGroup() as group:
                group.create_task(waited(client, path))
                await client.get("sandboxes/t1/clock")  # the wait's request went before this one
                await delete(client)
            assert time.monotonic() - begun < 100

    run(main())


def test_streams_end_with_their_sandbox(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await client.ask("POST", "sandboxes", 201, {"name": "t1"})
            url = f"{client.api}/sandboxes/t1/events/stream"
            async with client.http.get(url) as sse, client.http.ws_connect(url) as socket:
                speak(client, "pop3", "STAT", sandbox="t1")
                async with asyncio.timeout(60):
                    while b"STAT" not in await sse.content.readline():
                        pass
                    await delete(client)
                    await sse.content.read()  # to its end, and the last chunk is there
                    while (await socket.receive()).type is not aiohttp.WSMsgType.CLOSE:
                        pass

    run(main())


def test_a_reset_ends_no_wait(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await client.ask("POST", "sandboxes", 201, {"name": "t1"})

            async def wait() -> None:
                found = await client.get("sandboxes/t1/events/wait?timeout=300&kind=command")
                assert found["satisfied"]

            async with asyncio.TaskGroup() as group:
                group.create_task(wait())
                await client.ask("POST", "sandboxes/t1/reset", 200)
                speak(client, "pop3", "STAT", sandbox="t1")

    run(main())
