"""A client that says its last and ends its side at once: what came whole before the end is answered."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.support.asyncio_tests import LOOPS, run
from tests.support.ftp import LIMIT_S, PASSWORD, Client, Ftp, open_ftp

SOON_S = 0.15
LOGIN = f"USER alice\r\nPASS {PASSWORD}\r\n"


async def last_words(client: Client, text: str) -> list[str]:
    """Say it and end our side; the replies up to the server's end."""
    client.writer.write(text.encode())
    client.writer.write_eof()
    heard = (await asyncio.wait_for(client.reader.read(), LIMIT_S)).decode()
    return heard.splitlines()


async def reasons(ftp: Ftp) -> list[object]:
    return [event.fields["reason"] for event in await ftp.events("closed")]


@pytest.mark.parametrize("loop", LOOPS)
def test_what_came_whole_is_answered(loop: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            heard = await last_words(await ftp.client(), "NOOP\r\nNOOP\r\nNOO")
            assert [line[:3] for line in heard] == ["200", "200"]
            heard = await last_words(await ftp.client(), f"{LOGIN}PWD\r\n")
            assert [line[:3] for line in heard] == ["331", "230", "257"]
            assert await reasons(ftp) == ["peer closed"] * 2

    run(go(), loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_rules_are_asked_and_obeyed(loop: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule("noop", refuse="450 not now", delay=f"{int(SOON_S * 1000)}ms", times=1)
            began = time.monotonic()
            assert await last_words(await ftp.client(), "NOOP\r\nNOOP\r\n") == ["450 not now", "200 OK."]
            assert time.monotonic() - began >= SOON_S * 0.9  # clocks tick in milliseconds
            await ftp.rule("quit", hang_up=True, times=1)
            assert await last_words(await ftp.client(), "NOOP\r\nQUIT\r\nNOOP\r\n") == ["200 OK."]
            assert [event.fields["verb"] for event in await ftp.events("fault")] == ["quit", "noop"]
            assert await reasons(ftp) == ["hung up by a rule", "peer closed"]

    run(go(), loop)


def test_the_greeting_is_said_to_who_has_nothing_to_say(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule("greeting", say="220 late", delay=f"{int(SOON_S * 1000)}ms", times=1)
            assert await last_words(await ftp.knock(), "") == ["220 late"]

    run(go())


@pytest.mark.parametrize("then", [{"silence": True}, {"script": [{"expect": "NEVER"}, {"say": "299 never"}]}])
def test_nobody_waits_for_who_left(then: dict[str, object], tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule("noop", **then)
            assert await last_words(await ftp.client(), "NOOP\r\n") == []

    run(go())


def test_a_download_that_was_asked_for_comes_whole(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            with (await ftp.root()).open("/f", "wb") as file:
                file.write(bytes(10_000))
            client = await ftp.logged_in()
            await ftp.rule("retr", delay=f"{int(SOON_S * 1000)}ms")
            pipe = await client.data()
            asked = asyncio.ensure_future(last_words(client, "RETR f\r\n"))
            assert await asyncio.wait_for(pipe.reader.read(), LIMIT_S) == bytes(10_000)
            assert [line[:3] for line in await asked] == ["125", "226"]

    run(go())
