"""The console writes sessions down in other people's formats: one, some, or all of a sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import mailbox
import operator
import re
import struct
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from portyard.commons.journal.model import JournalEvent
from portyard.commons.journal.pen import LEAF_EVENTS, PAGE_EVENTS
from portyard.commons.talk.print import JournalTalk
from portyard.console import exports
from portyard.console.contents import PIECE
from tests.support.asyncio_tests import run
from tests.support.console import console, speak

PATH = "sandboxes/default/export"


def blocks(octets: bytes) -> list[int]:
    """The types of a pcapng file's blocks (draft-ietf-opsawg-pcapng §3.1)."""
    found, place = [], 0
    while place < len(octets):
        kind, length = struct.unpack_from("<II", octets, place)
        assert struct.unpack_from("<I", octets, place + length - 4) == (length,)
        found.append(kind)
        place += length
    return found


def test_all_of_a_sandbox_or_some_in_every_format(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            first, second = speak(client, "pop3", "STAT"), speak(client, "imap", "a NOOP")
            third = speak(client, "pop3", "LIST")
            speak(client, "pop3", "NOOP", sandbox="other")
            talks = (await client.raw(PATH)).decode()
            assert talks.count("room: ") == 3
            assert talks.index("C: STAT") < talks.index("C: a NOOP") < talks.index("C: LIST")
            lines = (await client.raw(f"{PATH}?format=jsonl&room=pop3")).splitlines()
            assert [each["session"] for each in map(json.loads, lines) if each["kind"] == "closed"] == [
                first.id,
                third.id,
            ]
            assert b"C: LIST" in await client.raw(f"{PATH}?limit=1")
            assert b"C: STAT" not in await client.raw(f"{PATH}?limit=1")
            named = (await client.raw(f"{PATH}?session={third.id},{second.id}")).decode()
            assert named.index("C: LIST") < named.index("C: a NOOP")
            whole = await client.raw(f"{PATH}?format=pcapng")
            one = await client.raw(f"sandboxes/default/sessions/{first.id}/export?format=pcapng")
            assert blocks(one)[:3] == blocks(whole)[:3] == [0x0A0D0D0A, 1, 6]
            assert len(blocks(whole)) > 2 * len(blocks(one))
            secret = speak(client, "pop3", "PASS «secret, 12 bytes»")
            assert b"C: PASS $password\n" in await client.raw(f"{PATH}?format=test&session={secret.id}")
            assert json.loads(await client.raw(f"{PATH}?format=har"))["log"]["entries"] == []

    run(main())


@pytest.mark.parametrize(
    ("query", "status", "key"),
    [
        ("format=gif", 422, "format"),
        ("format=har&room=pop3", 422, "format"),
        ("room=telnet", 422, "room"),
        ("session=nope", 404, "session"),
        ("limit=0", 422, "limit"),
        ("newest=1", 400, "newest"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path: Path, query: str, status: int, key: str) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            assert (await client.problem("GET", f"{PATH}?{query}", status))["key"] == key
            await client.problem("GET", "sandboxes/none/export", 404)

    run(main())


def test_a_har_of_another_rooms_session_is_refused_by_name(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            log = speak(client, "pop3", "STAT")
            problem = await client.problem("GET", f"{PATH}?format=har&session={log.id}", 422)
            assert "holds no HTTP exchanges" in problem["detail"]

    run(main())


def test_a_format_that_is_made_as_a_whole_has_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "MOST_EVENTS", 10)

    async def main() -> None:
        async with console(tmp_path) as client:
            for _ in range(4):
                speak(client, "pop3", "STAT")
            problem = await client.problem("GET", f"{PATH}?format=pcapng", 422)
            assert (problem["key"], problem["value"]) == ("format", "pcapng")
            assert len(blocks(await client.raw(f"{PATH}?format=pcapng&limit=1"))) > 3
            assert (await client.raw(PATH)).count(b"room: ") == 4

    run(main())


def test_a_capture_of_much_content_has_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few events may show many large messages, which would take the process's memory."""
    monkeypatch.setattr(exports, "MOST_OCTETS", 100)

    async def main() -> None:
        async with console(tmp_path) as client:
            for _ in range(20):
                speak(client, "pop3", "STAT")
            problem = await client.problem("GET", f"{PATH}?format=pcapng", 422)
            assert (problem["key"], problem["value"]) == ("format", "pcapng")
            assert "more than 100 octets" in problem["detail"]
            assert len(blocks(await client.raw(f"{PATH}?format=pcapng&limit=1"))) > 3
            assert (await client.raw(PATH)).count(b"room: ") == 20

    run(main())


@pytest.mark.parametrize(("form", "writer"), [("test", "replayable"), ("pcapng", "dialogues"), ("pcapng", "capture")])
def test_others_are_answered_while_a_long_session_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, writer: str
) -> None:
    begun, answered = threading.Event(), threading.Event()
    true: Callable[..., Any] = getattr(exports, writer)

    def writes(*given: object) -> object:
        begun.set()
        assert answered.wait(60), "nobody else was answered meanwhile"
        return true(*given)

    monkeypatch.setattr(exports, "_LONG", 0)
    monkeypatch.setattr(exports, writer, writes)

    async def main() -> None:
        async with console(tmp_path) as client:
            speak(client, "pop3", "STAT")
            export = asyncio.create_task(client.raw(f"{PATH}?format={form}"))
            while not begun.is_set():
                await client.raw("sandboxes/default/rules")
            await client.raw("sandboxes/default/rules")
            answered.set()
            assert await export

    run(main())


def test_no_more_of_a_long_session_than_a_page_is_made_a_talk_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    class Counting(JournalTalk):
        def lines(self, events: Sequence[JournalEvent]) -> str:
            sizes.append(len(events))
            return super().lines(events)

    monkeypatch.setattr(exports, "JournalTalk", Counting)

    async def main() -> None:
        async with console(tmp_path) as client:
            log = speak(client, "pop3", *[f"DELE {number}" for number in range(3_000)])
            whole = await client.raw(f"{PATH}?format=talk")
            assert len(sizes) >= 6
            assert max(sizes) <= PAGE_EVENTS + LEAF_EVENTS
            assert whole.count(b"C: DELE ") == 3_000
            assert await client.raw(f"sandboxes/default/sessions/{log.id}/talk") == whole
            assert await client.raw(f"sandboxes/default/sessions/{log.id}/export?format=talk") == whole

    run(main())


def at_once(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How much of streamed answers is written in one go each time."""
    written: list[int] = []
    true = web.StreamResponse.write

    async def write(response: web.StreamResponse, octets: bytes) -> None:
        written.append(len(octets))
        await true(response, octets)

    monkeypatch.setattr(web.StreamResponse, "write", write)
    return written


@pytest.mark.parametrize("path", ["events.jsonl", "export?format=jsonl"])
def test_lines_go_out_many_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    written = at_once(monkeypatch)

    async def main() -> None:
        async with console(tmp_path) as client:
            speak(client, "pop3", *["NOOP"] * 3_000)
            lines = (await client.raw(f"sandboxes/default/{path}")).splitlines()
            assert [json.loads(line)["seq"] for line in lines] == list(range(1, 6_004))
            assert len(written) < 60
            assert max(written) < 1 << 19

    run(main())


ODD = (
    b"Subject: x\r\n\r\nFrom me\r\n>From you\r\n>>From x\r\nFrom\r\n From y\r\nfrom z\r\n",
    b"Subject: x\r\n\r\na\rFrom b\rc\r\n",
    b"Subject: x\n\nFrom a\nb\n",
    b"Subject: x\r\n\r\na\0b\xff\xfe\r\n\x0bFrom c\r\n",
    b"Subject: x\r\n\r\nno end",
    b"Subject: x\r\n\r\nno end\r",
    b"Subject: x\r\n\r\n\r\n\n\rFrom behind\r\n\r\n",
    b"From me: a field?\r\n\r\nx\r\n",
    b"\r\n\r\nFrom x\r\n",
    b"Subject: x\r\n\r\n" + b"From one of many\r\n.\r\n" * 20_000,
    b"Subject: x\r\n\r\n" + b"From \rx" * 20_000,
    b"Subject: x\r\n\r\n" + b"x" * 200_000 + b"\r\nFrom a long line's next",
)


@pytest.mark.parametrize("octets", ODD, ids=range(len(ODD)))
def test_whatever_a_message_is_an_mbox_gives_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, octets: bytes
) -> None:
    written = at_once(monkeypatch)

    async def main() -> None:
        async with console(tmp_path) as client:
            await client.put(octets)
            await client.put(octets)
            (tmp_path / "mbox").write_bytes(await client.raw("sandboxes/default/messages/export"))
            wanted = re.sub(rb"\r\n|\r", b"\n", octets)
            with contextlib.closing(mailbox.mbox(tmp_path / "mbox")) as box:
                found = [re.sub(rb"(?m)^>(>*From )", rb"\1", box.get_bytes(key)) for key in range(len(box))]
            assert found == [wanted if wanted.endswith(b"\n") else wanted + b"\n"] * 2
            assert max(written) < 4 * PIECE

    run(main())


@pytest.mark.parametrize(("form", "writer"), [("har", "har.har"), ("pcapng", "capture")])
def test_nobody_waits_for_garbage_while_many_events_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, writer: str
) -> None:
    collects: list[bool] = []
    true: Callable[..., Any] = operator.attrgetter(writer)(exports)

    def writes(*given: object) -> object:
        collects.append(gc.isenabled())
        return true(*given)

    monkeypatch.setattr(f"portyard.console.exports.{writer}", writes)

    async def main() -> None:
        async with console(tmp_path) as client:
            speak(client, "http", "GET / HTTP/1.1")
            assert gc.isenabled()
            await client.raw(f"{PATH}?format={form}")
            assert (collects, gc.isenabled()) == ([False], True)

    run(main())
