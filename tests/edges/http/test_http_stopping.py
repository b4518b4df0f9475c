"""A room that stops: the running answer is finished, and every kept connection gets a clean end, not a reset."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

import pytest

from portyard.commons import gentle, hosting_parser
from portyard.http.card import CARD
from tests.support.asyncio_tests import LOOPS, run
from tests.support.hosted import Ruled, ruled_room

SLOW = b"GET /drip?duration=2&numbytes=30&delay=0 HTTP/1.1\r\nHost: a\r\n\r\n"
QUICK = b"GET /bytes/5 HTTP/1.1\r\nHost: a\r\n\r\n"
WAIT = b"GET /delay/10 HTTP/1.1\r\nHost: a\r\n\r\n"
MUCH = 8_000_000  # octets: more than the kernel's buffers and ours take together


async def begun(place: Ruled, target: str) -> None:
    """Wait until the room has a request for a target."""
    while True:
        await place.place.yard.journal.flush()
        for session in await place.place.yard.journal.sessions("default", room="http"):
            for event in await place.place.yard.journal.events(session.id):
                if event.kind == "command" and f" {target}" in str(event.fields["text"]):
                    return
        await asyncio.sleep(0)


@pytest.mark.parametrize("loop", LOOPS)
def test_the_running_answer_is_finished_and_who_idles_gets_an_end(
    tmp_path: Path, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosting_parser, "DEFAULT_LIMITS", replace(hosting_parser.DEFAULT_LIMITS, grace_s=60.0))

    async def go() -> None:
        async with contextlib.AsyncExitStack() as running:
            place = await running.enter_async_context(ruled_room(tmp_path, CARD))
            idle, idle_writer = await asyncio.open_connection("127.0.0.1", place.port)
            idle_writer.write(QUICK)
            assert (await idle.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            await idle.readexactly(5)
            fresh, fresh_writer = await asyncio.open_connection("127.0.0.1", place.port)
            busy, busy_writer = await asyncio.open_connection("127.0.0.1", place.port)
            busy_writer.write(SLOW)
            await begun(place, "/drip")
            stopping = asyncio.ensure_future(running.aclose())
            assert await idle.read() == b""
            assert await fresh.read() == b""
            assert not stopping.done(), "nobody waited for the running answer"
            head, _, body = (await busy.read()).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert body == b"*" * 30
            await stopping
            for writer in (idle_writer, fresh_writer, busy_writer):
                writer.close()
                await writer.wait_closed()

    run(go(), loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_who_is_still_sending_reads_an_end_and_no_reset(
    tmp_path: Path, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosting_parser, "DEFAULT_LIMITS", replace(hosting_parser.DEFAULT_LIMITS, grace_s=0.1))
    for patience in ("SEEING_OFF_S", "QUIET_S"):  # for all that is sent, on a busy machine
        monkeypatch.setattr(gentle, patience, 60.0)

    async def go() -> None:
        async with contextlib.AsyncExitStack() as running:
            place = await running.enter_async_context(ruled_room(tmp_path, CARD))
            reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
            writer.write(WAIT + b"x" * MUCH)
            await begun(place, "/delay")
            stopping = asyncio.ensure_future(running.aclose())
            await reader.read()  # a reset would raise
            writer.close()
            await writer.wait_closed()
            await stopping

    run(go(), loop)
