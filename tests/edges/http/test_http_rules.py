"""What a rule in the HTTP room may ask for, which requests it is for, by its conditions and by magic words, and when it is in force."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
import requests

from portyard.commons.scenario.checking import check
from portyard.commons.scenario.model import RuleError
from portyard.commons.scenario.parsing import make_rule
from portyard.http.card import CARD
from portyard.http.core.verbs import VOCABULARY
from tests.support.asyncio_tests import run
from tests.support.hosted import ruled_room
from tests.support.http import exchange
from tests.support.http_rules import GET, get, put, status_of

DELAY_S = 0.15


@pytest.mark.parametrize(
    ("on", "then", "because"),
    [
        ("http.response", {"refuse": "503"}, "say lies about it"),
        ("http.body", {"refuse": "503"}, "head is out by now"),
        ("http.headers", {"script": [{"hang_up": True}]}, "head is out by now"),
        ("http.request", {"respond": {"stderr": "x"}}, "no such part"),
        ("http.request", {"refuse": "503 $status"}, "no field status"),
    ],
)
def test_what_cant_be_honoured_is_refused_when_it_is_set(on: str, then: object, because: str) -> None:
    with pytest.raises(RuleError, match=because):
        check(make_rule(on, then), {"http": VOCABULARY})


def test_conditions_look_at_the_request(tmp_path: Path) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place, aiohttp.ClientSession(place.url) as client:
            wanted = {
                "method": "POST",
                "path": "/post",
                "query": "*x=1*",
                "host": "127.*",
                "user_agent": "*agent*",
                "content_type": "text/*",
                "length": "4",
                "login": "alice",
                "accept": "application/*",
                "origin": "http://here.test",
            }
            await place.rule("http.request", {"refuse": "409"}, where=wanted)
            headers = {
                "User-Agent": "some agent",
                "Content-Type": "text/plain",
                "Accept": "application/json",
                "Origin": "http://here.test",
            }
            login = {"Authorization": aiohttp.encode_basic_auth("alice", "any")}
            answer = await client.post("/post?x=1", data=b"four", headers=headers | login)
            assert answer.status == 409
            assert answer.headers["Access-Control-Allow-Origin"] == "http://here.test", "a page may read the refusal"
            for changed in ({"Origin": "http://there.test"}, {"User-Agent": "x"}, {"Content-Type": "image/png"}):
                assert (await client.post("/post?x=1", data=b"four", headers=headers | login | changed)).status == 200
            assert (await client.post("/post?x=1", data=b"fourx", headers=headers | login)).status == 200
            assert (await client.post("/post?x=1", data=b"four", headers=headers)).status == 200

    run(go())


def test_two_failures_then_success_for_a_client_that_retries(tmp_path: Path) -> None:
    def errand(url: str) -> list[int]:
        with requests.Session() as client:
            return [client.put(f"{url}/put", data=b"x" * 5000).status_code for _ in range(3)]

    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            await place.rule("http.request", {"refuse": "503"}, where={"path": "/put"}, times=2)
            assert await asyncio.to_thread(errand, place.url) == [503, 503, 200]

    run(go())


def test_an_account_that_logged_in_is_seen_by_what_follows(tmp_path: Path) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            await place.rule("http.response", {"say": "507"}, where={"account": "alice@portyard.test"})
            assert status_of(await exchange(place, put("a.txt"))) == 507
            assert status_of(await exchange(place, GET)) == 200

    run(go())


@pytest.mark.parametrize(
    ("path", "check_answer"),
    [
        ("/anything/x+503", lambda answer, _: status_of(answer) == 503),
        ("/get+404/below", lambda answer, _: status_of(answer) == 404),
        ("/anything/x+delay150ms", lambda answer, took_s: status_of(answer) == 200 and took_s >= DELAY_S),
        ("/anything/x+hangup", lambda answer, _: answer == b""),
        ("/anything/plain", lambda answer, _: status_of(answer) == 200),
    ],
)
def test_magic_words_in_paths(tmp_path: Path, path: str, check_answer: Callable[[bytes, float], bool]) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            await place.place.yard.sandboxes.change("default", magic=True)
            begun = time.monotonic()
            answer = await exchange(place, get(path))
            assert check_answer(answer, time.monotonic() - begun)

    run(go())


def test_magic_is_deaf_where_it_is_off(tmp_path: Path) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            assert status_of(await exchange(place, get("/anything/x+503"))) == 200

    run(go())


def test_a_rule_set_in_the_midst_of_a_body_is_in_force_at_once(tmp_path: Path) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
            writer.write(b"GET /drip?numbytes=1000&duration=100&delay=0 HTTP/1.1\r\nHost: a\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(1)
            await place.rule("http.body", {"hang_up": True})
            assert len(await reader.read()) < 999
            writer.close()

    run(go())


def test_who_leaves_a_silent_room_leaves_nothing_behind(tmp_path: Path) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            await place.rule("http.request", {"silence": True})
            with socket.create_connection(("127.0.0.1", place.port)) as sock:
                sock.sendall(put("a.bin", b"x" * 100_000))
                await place.eventually("fault")
            events = await place.eventually("closed")
            assert [kind for kind, _ in events] == ["opened", "command", "fault", "data", "closed"]
            assert events[2][1]["does"] == ["silence"]
            assert events[3][1]["direction"] == "in"

    run(go())


def test_what_a_reset_request_still_does_spends_no_rule(tmp_path: Path) -> None:
    """The file is stored, for its octets had come; but the answer that nobody hears is no answer to be ruled."""

    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            await place.rule("http.upload", {"reset": True}, times=1)
            await place.rule("http.response", {"say": "503"}, where={"method": "PUT"})
            reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
            writer.write(put("late.txt"))
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()
            while status_of(await exchange(place, get("/files/alice/late.txt"))) != 200:
                pass  # the handler is between the octets and the disk
            assert await place.hits() == [1, 0]

    run(go())
