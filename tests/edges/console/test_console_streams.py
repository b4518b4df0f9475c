"""What the console's connections carry beside whole answers: streamed bodies, none for HEAD, leave to send, odd octets."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from portyard.commons.journal.model import SessionRecord
from portyard.commons.journal.store import StoredJournal
from portyard.commons.mailstore.model import MessageGoneError
from portyard.console import exports
from portyard.console.contents import PIECE
from tests.support.asyncio_tests import run
from tests.support.console import Console, console, speak

LAST = b"Host: localhost\r\nConnection: close\r\n"


async def heard(client: Console, octets: bytes) -> bytes:
    """All that is answered on one connection until the console ends it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.served.port("console"))
    writer.write(octets)
    answers = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answers


def refusal(answer: bytes) -> dict[str, object]:
    """The one answer's problem."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Type: application/problem+json" in head
    problem: dict[str, object] = json.loads(body)
    assert head.startswith(b"HTTP/1.1 %d " % problem["status"])
    return problem


@pytest.mark.parametrize(
    "path",
    [
        "events.jsonl",
        "events?limit=1",
        "events/stream",
        "export",
        "export?format=jsonl",
        "export?format=har",
        "export?format=pcapng",
        "files/alice/a.txt",
        "messages/export",
        "messages/{id}/raw",
    ],
)
def test_behind_the_head_that_head_asks_for_comes_the_next_answer(tmp_path: Path, path: str) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            speak(client, "pop3", "STAT")
            await client.ask("PUT", "sandboxes/default/files/alice/a.txt", 201, data=b"some")
            target = path.format(id=await client.deliver()).encode()
            asked = b"HEAD /api/v1/sandboxes/default/%b HTTP/1.1\r\nHost: localhost\r\n\r\n" % target
            next_one = b"GET /api/v1/sandboxes HTTP/1.1\r\n%b\r\n" % LAST
            head, _, behind = (await heard(client, asked + next_one)).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert behind.startswith(b"HTTP/1.1 200 ")
            assert json.loads(behind.partition(b"\r\n\r\n")[2])[0]["name"] == "default"

    run(main())


@pytest.mark.parametrize("path", ["events.jsonl", "export?format=jsonl", "messages/export"])
def test_what_is_streamed_to_an_old_client_ends_with_the_connection(tmp_path: Path, path: str) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            speak(client, "pop3", *["NOOP"] * 3_000)  # what is short has its length before it
            await client.deliver()
            asked = (
                f"GET /api/v1/sandboxes/default/{path} HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n"
            )
            answer = await heard(client, asked.encode())
            assert answer.partition(b"\r\n\r\n")[2] == await client.raw(f"sandboxes/default/{path}")

    run(main())


@pytest.mark.parametrize(
    ("target", "more", "status", "key"),
    [
        (b"sandboxes/\xff", b"", 404, "sandbox"),
        (b"nowhere/\xff", b"", 404, "path"),
        (b"sandboxes?\xff=1", b"", 400, "\\xff"),
        (b"sandboxes?limit=\xff", b"", 400, "limit"),
        (b"sandboxes/default/events?room=\xff", b"", 422, "room"),
        (b"sandboxes/default/events/stream", b"Last-Event-ID: \xff\r\n", 422, "Last-Event-ID"),
        (b"sandboxes", b"Origin: http://\xff\r\nUpgrade: websocket\r\n", 403, "Origin"),
    ],
)
def test_octets_that_are_no_text_are_refused_as_whatever_is_wrong(
    tmp_path: Path, target: bytes, more: bytes, status: int, key: str
) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            problem = refusal(await heard(client, b"GET /api/v1/%b HTTP/1.1\r\n%b%b\r\n" % (target, more, LAST)))
            assert (problem["status"], problem["key"]) == (status, key)

    run(main())


def test_a_host_of_octets_that_are_no_text_is_none_of_ours(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            asked = b"GET /api/v1/health HTTP/1.1\r\nHost: \xff\r\nConnection: close\r\n\r\n"
            assert refusal(await heard(client, asked))["status"] == 421

    run(main())


@pytest.mark.parametrize(
    ("coding", "body", "status", "words"),
    [
        (b"gzip", b"no gzip", 400, "coding"),
        (b"gzip", gzip.compress(b'{"name": "' + b"a" * (4 << 20) + b'"}'), 413, "more than is allowed"),
    ],
)
def test_a_body_that_breaks_its_coding_or_is_long_without_it(
    tmp_path: Path, coding: bytes, body: bytes, status: int, words: str
) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            head = b"Content-Encoding: %b\r\nContent-Length: %d\r\n" % (coding, len(body))
            problem = refusal(
                await heard(client, b"POST /api/v1/sandboxes HTTP/1.1\r\n%b%b\r\n%b" % (head, LAST, body))
            )
            assert (problem["status"], problem["key"]) == (status, "body")
            assert words in f"{problem['detail']} {problem.get('value')}"

    run(main())


@pytest.mark.parametrize(
    ("method", "path", "more", "status"),
    [
        ("POST", "sandboxes", "Content-Length: 1073741824\r\n", 413),
        ("PUT", "sandboxes/default/files/alice/a", "Content-Length: 1099511627776\r\n", 413),
        ("POST", "sandboxes?x=1", "Content-Length: 15\r\n", 400),
        ("POST", "sandboxes", "Content-Length: 15\r\nOrigin: http://evil.test\r\n", 403),
        ("PUT", "sandboxes/default/files/nobody/a", "Content-Length: 15\r\n", 404),
    ],
)
def test_who_waits_for_leave_to_send_hears_of_a_refusal_instead(
    tmp_path: Path, method: str, path: str, more: str, status: int
) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            head = f"{method} /api/v1/{path} HTTP/1.1\r\n{more}Expect: 100-continue\r\n".encode()
            assert refusal(await heard(client, head + LAST + b"\r\n"))["status"] == status

    run(main())


@pytest.mark.parametrize(
    ("method", "path", "status"), [("POST", "sandboxes", 201), ("PUT", "sandboxes/default/files/alice/a", 201)]
)
def test_leave_to_send_is_given(tmp_path: Path, method: str, path: str, status: int) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            reader, writer = await asyncio.open_connection("127.0.0.1", client.served.port("console"))
            body = b'{"name": "t1"}'
            head = f"{method} /api/v1/{path} HTTP/1.1\r\nContent-Length: {len(body)}\r\nExpect: 100-Continue\r\n"
            writer.write(head.encode() + LAST + b"\r\n")
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(body)
            assert (await reader.read()).startswith(b"HTTP/1.1 %d " % status)
            writer.close()
            await writer.wait_closed()

    run(main())


def test_another_expectation_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            asked = b"GET /api/v1/health HTTP/1.1\r\nExpect: miracles\r\n%b\r\n" % LAST
            problem = refusal(await heard(client, asked))
            assert (problem["status"], problem["key"], problem["allowed"]) == (417, "Expect", "100-continue")

    run(main())


def test_a_stream_that_was_long_behind_is_told_all_once_and_by_their_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else who resumes a suspended `portyard tail` has the console read hours of events at once; whose connection breaks loses some.

    What isn't told is told behind the last that was: events that were told before earlier ones would hide these.
    """
    changed = StoredJournal.changed
    looks: list[int] = []

    async def counting(journal: StoredJournal, sandbox: str, mark: int) -> list[SessionRecord]:
        found = await changed(journal, sandbox, mark)
        looks.append(len(found))
        return found

    monkeypatch.setattr("portyard.console.journal._TURN", 2)
    monkeypatch.setattr(StoredJournal, "changed", counting)

    async def main() -> None:
        async with console(tmp_path) as client:
            heard: list[dict[str, Any]] = []
            async with client.http.get(f"{client.api}/sandboxes/default/events/stream") as response:
                assert await response.content.readline() == b": events follow\n"
                said = [speak(client, "pop3", close=False) for _ in range(20)]  # they are written at once
                for number in range(400):
                    for log in said:
                        log.command(f"NOOP {number}")
                while len(heard) < 20 * 402:
                    line = await response.content.readline()
                    if line.startswith(b"data: "):
                        heard.append(json.loads(line.removeprefix(b"data: ")))
            assert len({event["id"] for event in heard}) == len(heard)
            places = [(event["at"], event["session"], event["seq"]) for event in heard]
            assert places == sorted(places)
            assert [count for count in looks if count] == [20]

    run(main())


def test_an_answer_that_fails_in_its_midst_is_broken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another head in its place would read as more of its body; as long as nothing is out, it may be refused."""
    size = PIECE

    async def fails(*_: object) -> AsyncIterator[bytes]:
        yield b"first\n" * size
        raise MessageGoneError("it went")

    monkeypatch.setattr(exports, "written", fails)

    async def main() -> None:
        nonlocal size
        async with console(tmp_path) as client:
            speak(client, "pop3", "STAT")
            asked = b"GET /api/v1/sandboxes/default/export?format=jsonl HTTP/1.1\r\nHost: localhost\r\n\r\n"
            answer = await heard(client, asked)
            assert answer.endswith(b"first\n\r\n")
            assert answer.count(b"HTTP/1.1") == 1
            size = 1
            problem = await client.problem("GET", "sandboxes/default/export?format=jsonl", 404)
            assert problem["detail"] == "it went"

    run(main())


LISTED = [
    "events",
    "events.jsonl",
    "events/wait?text=nothing&timeout=0",
    "export?format=har",
    "export?format=jsonl",
    "export?format=pcapng",
    "export?format=talk",
    "export?format=test",
    "sessions/{id}",
    "sessions/{id}/talk",
]


@pytest.mark.parametrize("path", LISTED)
def test_events_with_octets_that_are_no_text_are_told(tmp_path: Path, path: str) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            log = speak(client, "http", "GET /\udce9 HTTP/1.1", close=False)
            log.event("error", text="half \ud800", more={"\udcff": ["\udcfe"]})
            log.close("gone \udcff")
            answer = await client.raw(f"sandboxes/default/{path.format(id=log.id)}")
            assert re.search(rb"/(\\{1,2}(xe9|udce9)|\?)" if "pcapng" not in path else rb"GET /", answer)

    run(main())


def test_a_stream_tells_of_octets_that_are_no_text(tmp_path: Path) -> None:
    async def main() -> None:
        stream = "sandboxes/default/events/stream?kind=command"
        async with console(tmp_path) as client, client.http.get(f"{client.api}/{stream}") as response:
            assert await response.content.readline() == b": events follow\n"
            speak(client, "pop3", "USER \udce9")
            while not (line := await response.content.readline()).startswith(b"data: "):
                pass
            assert json.loads(line.removeprefix(b"data: "))["fields"] == {"text": "USER \\xe9"}

    run(main())


def test_there_is_no_tunnel(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            problem = refusal(await heard(client, b"CONNECT x.test:443 HTTP/1.1\r\nHost: x.test:443\r\n\r\n"))
            assert (problem["status"], problem["detail"]) == (501, "there is no way through here")

    run(main())
