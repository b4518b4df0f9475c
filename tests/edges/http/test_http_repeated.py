"""What one kept connection says again and again: each time in the journal as it was, and each time held against the rules of the moment."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from portyard.http.card import CARD
from tests.support.asyncio_tests import run
from tests.support.hosted import Ruled, ruled_room


@contextlib.asynccontextmanager
async def kept(place: Ruled) -> AsyncIterator[Callable[..., asyncio.Task[int]]]:
    """One connection: a request's target and further fields, the answer's status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)

    async def ask(target: str, fields: str = "") -> int:
        writer.write(f"GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        return int(head.split(b" ", 2)[1])

    try:
        yield lambda *asked: asyncio.ensure_future(ask(*asked))
    finally:
        writer.close()


def test_the_journal_tells_each_request_as_it_was(tmp_path: Path) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            await place.place.yard.sandboxes.create("t1")
            async with kept(place) as ask:
                for target, fields in (
                    ("/get", "A: 1\r\n"),
                    ("/get", "A: 1\r\n"),
                    ("/get", "A: 2\r\n"),
                    ("/get?x", "A: 2\r\n"),
                    ("/status/404", "A: 2\r\n"),
                    ("/~t1/get?x", "A: 2\r\n"),
                    ("/~t1/get?x", "A: 2\r\nCookie: b=c\r\n"),
                ):
                    await ask(target, fields)
            events = await place.eventually("closed", "t1")
            commands = [fields for kind, fields in events if kind == "command"]
            assert [fields["text"] for fields in commands] == [
                f"GET {target} HTTP/1.1"
                for target in ("/get", "/get", "/get", "/get?x", "/status/404", "/~t1/get?x", "/~t1/get?x")
            ]
            assert [fields["headers"][1:] for fields in commands] == [  # type: ignore[index]
                *[[["A", "1"]]] * 2,
                *[[["A", "2"]]] * 4,
                [["A", "2"], ["Cookie", "«secret, 3 bytes»"]],
            ]
            replies = [fields for kind, fields in events if kind == "reply"]
            assert [str(fields["text"]).split()[1] for fields in replies] == [*["200"] * 4, "404", *["200"] * 2]
            lengths = [dict(fields["headers"])["Content-Length"] for fields in replies]  # type: ignore[call-overload]
            assert [fields["octets"] for fields in replies] == [int(length) for length in lengths]
            assert len(set(lengths)) > 1, "the answers differ, or nothing is shown"

    run(go())


RULES = [
    ("http.request", {"refuse": "503"}, {"path": "/get"}),
    ("http.request", {"refuse": "503"}, {"user_agent": "one"}),
    ("http.response", {"say": "503"}, {"status": 200}),
    ("http.response", {"say": "503"}, {"path": "/get"}),
]


@pytest.mark.parametrize(("on", "then", "where"), RULES)
def test_a_rule_is_in_force_for_what_was_said_before(
    tmp_path: Path, on: str, then: dict[str, str], where: dict[str, str | int]
) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place, kept(place) as ask:
            await place.rule("http.*", {"hang_up": True}, where={"peer": "192.0.2.1"})
            asked = ("/get", "User-Agent: one\r\n")
            assert [await ask(*asked) for _ in range(3)] == [200, 200, 200]
            await place.rule(on, then, where=where, times=1)
            assert [await ask(*asked) for _ in range(3)] == [503, 200, 200]
            await place.rule(on, then, where=where, times=1)
            assert [await ask(*asked) for _ in range(2)] == [503, 200]
            assert (await place.hits())[1:] == [1, 1]

    run(go())


@pytest.mark.parametrize(("verb", "cut"), [("headers", "head"), ("body", "body")])
def test_a_rule_is_in_force_for_an_answer_that_was_given_before(tmp_path: Path, verb: str, cut: str) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place, kept(place) as ask:
            await place.rule("http.*", {"hang_up": True}, where={"peer": "192.0.2.1"})
            assert [await ask("/get"), await ask("/get")] == [200, 200]
            await place.rule(f"http.{verb}", {"hang_up": True}, where={"status": 200})
            with pytest.raises(asyncio.IncompleteReadError):
                await ask("/get")
            assert (await place.hits())[1:] == [1], cut

    run(go())


NEVER_SEEN = [
    ("http.request", {"path": "/anything/*7"}, "/anything/7"),
    ("http.request", {"query": "n=7"}, "/anything/1?n=7"),
    ("http.request", {"path": "/anything/a b"}, "/anything/a%20b"),
    ("http.request", {"method": "GET", "path": "/anything/7"}, "/anything/7#x"),
    ("http.response", {"path": "/anything/*7"}, "/anything/7"),
    ("http.response", {"status": "404"}, "/status/404"),
    ("http.headers", {"path": "/anything/*7"}, "/anything/7"),
    ("http.body", {"path": "/anything/*7", "octets": 0}, "/anything/7"),
]


@pytest.mark.parametrize(("on", "where", "meant"), NEVER_SEEN)
def test_a_path_that_never_came_before_is_held_against_the_rules(
    tmp_path: Path, on: str, where: dict[str, str | int], meant: str
) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place, kept(place) as ask:
            await place.rule(on, {"hang_up": True}, where=where)
            for number in (1, 2, 3, 4):
                assert await ask(f"/anything/{number}") == 200
            assert await place.hits() == [0]
            with pytest.raises(asyncio.IncompleteReadError):
                await ask(meant)
            assert await place.hits() == [1]

    run(go())


def test_what_was_foreseen_of_a_request_says_nothing_of_the_next_that_cant_be_read(tmp_path: Path) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            await place.rule("http.response", {"say": "418"}, where={"path": "/"})
            reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
            for target in ("/status/400", "/anything/1", "/status/400", "/status/400"):
                writer.write(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            writer.write(b"what?\r\n\r\n")
            told = await reader.read()
            writer.close()
            assert re.findall(rb"HTTP/1.\d (\d+)", told) == [b"400", b"200", b"400", b"400", b"418"]
            assert set(re.findall(rb"Server: (.+)\r\n", told)) == {b"Portyard"}

    run(go())


def test_what_a_kept_connection_said_before_a_reset_is_shown_no_more(tmp_path: Path) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place, kept(place) as ask:
            yard = place.place.yard
            await ask("/get?1")
            await ask("/get?2")
            await yard.sandboxes.reset("default")
            await ask("/get?3")
            await ask("/get?4")
            await yard.journal.flush()
            (session,) = await yard.journal.sessions("default", room="http")
            found = await yard.journal.events(session.id, 0, session.shown)
            texts = [str(event.fields["text"]) for event in found if event.kind == "command"]
            assert texts == ["GET /get?3 HTTP/1.1", "GET /get?4 HTTP/1.1"]
            assert [event.kind for event in found][:2] == ["opened", "command"]

    run(go())


def test_a_request_of_another_account_or_sandbox_is_another_one(tmp_path: Path) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place, kept(place) as ask:
            await place.place.yard.sandboxes.create("t1")
            await place.rule("http.request", {"refuse": "503"}, sandbox="t1")
            await place.rule("http.*", {"hang_up": True}, where={"peer": "192.0.2.1"})
            fields = "X-Portyard-Sandbox: t1\r\n"
            targets = ("/get", "/get", "/~t1/get", "/get", "/~t1/get")
            assert [await ask(target) for target in targets] == [200, 200, 503, 200, 503]
            assert await ask("/get", fields) == 503
            await place.rule("http.response", {"say": "500"}, where={"account": "alice@portyard.test"})
            alice = "Authorization: Basic YWxpY2U6YWxpY2Utc2VjcmV0\r\n"
            assert [await ask("/files/alice/"), await ask("/files/alice/", alice)] == [401, 500]

    run(go())
