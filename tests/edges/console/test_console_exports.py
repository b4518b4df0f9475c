"""The console writes sessions down in other people's formats: one, some, or all of a sandbox."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import gzip
import json
import mailbox
import operator
import pkgutil
import re
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from portyard.commons.journal.model import JournalEvent
from portyard.commons.journal.pen import LEAF_EVENTS, PAGE_EVENTS
from portyard.commons.talk.print import JournalTalk
from portyard.console import exports
from portyard.console.contents import PIECE
from portyard.console.core import har
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


@pytest.mark.parametrize("form", ["har", "pcapng"])
def test_much_that_is_made_as_a_whole_has_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """Few events may show many large messages, which would take the process's memory."""
    monkeypatch.setattr(exports, "MOST_OCTETS", 20_000)
    monkeypatch.setattr(exports, "_AT_HAND", 1)

    async def main() -> None:
        async with console(tmp_path) as client:
            for _ in range(20):
                speak(client, "http", f"GET /{'x' * 2_000} HTTP/1.1")
            problem = await client.problem("GET", f"{PATH}?format={form}", 422)
            assert (problem["key"], problem["value"]) == ("format", form)
            assert "more than 20,000 octets" in problem["detail"]
            assert b"GET" in await client.raw(f"{PATH}?format={form}&limit=1")
            assert (await client.raw(PATH)).count(b"room: ") == 20

    run(main())


@pytest.mark.parametrize(("form", "maker"), [("har", "_add"), ("pcapng", "_told")])
@pytest.mark.parametrize(
    "fields",
    [{"text": "x" * 200_000}, {"text": "GET / HTTP/1.1", "headers": [["a", "x" * 200_000]]}],
    ids=["text", "headers"],
)
def test_no_more_of_a_session_is_read_than_may_be_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, maker: str, fields: dict[str, object]
) -> None:
    monkeypatch.setattr(exports, "MOST_OCTETS", 100_000)
    monkeypatch.setattr(exports, maker, None)

    async def main() -> None:
        async with console(tmp_path) as client:
            log = speak(client, "http", close=False)
            log.event("command", **fields)
            log.close("peer closed")
            for path in (PATH, f"sandboxes/default/sessions/{log.id}/export"):
                problem = await client.problem("GET", f"{path}?format={form}", 422)
                assert "more than 100,000 octets" in problem["detail"]

    run(main())


def test_bodies_are_inflated_only_as_long_as_an_archive_may_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "MOST_OCTETS", 1 << 20)
    inflated: list[object] = []
    true = har._decode

    def decode(response: dict[str, Any]) -> None:
        inflated.append(response)
        true(response)

    monkeypatch.setattr(har, "_decode", decode)
    octets = gzip.compress(bytes(600_000))

    async def main() -> None:
        async with console(tmp_path) as client:
            log = speak(client, "http", close=False)
            for _ in range(10):
                log.event("command", text="GET / HTTP/1.1", headers=[])
                log.event("reply", text="HTTP/1.1 200 OK", headers=[["Content-Encoding", "gzip"]], octets=len(octets))
                log.event("data", part="body", octets=len(octets), base64=base64.b64encode(octets).decode())
            log.close("peer closed")
            await client.problem("GET", f"{PATH}?format=har", 422)
            assert 0 < len(inflated) < 4

    run(main())


LONG = [
    ("har", "portyard.console.core.har._entries"),
    ("pcapng", "portyard.commons.journal.export_pcapng._packets"),
    ("test", "portyard.commons.talk.replay.Replay.lines"),
]


@pytest.mark.parametrize(("form", "steps"), LONG)
def test_a_console_that_closes_gives_up_what_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, steps: str
) -> None:
    begun, ended, never = threading.Event(), threading.Event(), threading.Event()
    true: Callable[..., Any] = pkgutil.resolve_name(steps.replace(".Replay", ":Replay"))
    taken = 0

    def endless(*given: object) -> Iterator[object]:
        nonlocal taken
        some = list(true(*given))
        try:
            while taken < 2_000 and not never.wait(0.01):
                begun.set()
                taken += 1
                yield from some
        finally:
            ended.set()

    monkeypatch.setattr(steps, endless)
    monkeypatch.setattr(exports, "_LONG", 0)

    async def main() -> None:
        async with console(tmp_path) as client:
            speak(client, "http", "GET / HTTP/1.1")
            export = asyncio.create_task(client.raw(f"{PATH}?format={form}"))
            await asyncio.to_thread(begun.wait)
        with contextlib.suppress(aiohttp.ClientError):
            await export
        await asyncio.to_thread(ended.wait)
        assert taken < 250

    run(main())


@pytest.mark.parametrize(("form", "writer"), [("test", "_next"), ("pcapng", "dialogues"), ("pcapng", "capture")])
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


@pytest.mark.parametrize(("form", "writer"), [("har", "_add"), ("pcapng", "capture")])
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
