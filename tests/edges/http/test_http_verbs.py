"""Rules in the HTTP room as raw octets and independent clients see them: one row for each verb and action that is announced."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
import requests

from portyard.commons.scenario.vocabulary import FAULTS
from portyard.http.card import CARD
from portyard.http.core.verbs import VOCABULARY
from tests.support.asyncio_tests import run
from tests.support.hosted import Ruled, ruled_room
from tests.support.http import exchange
from tests.support.http_rules import ALICE, GET, body_of, get, put, status_of

PATIENCE_S = 0.2  # nothing comes for so long
DELAY_S = 0.15
LIMIT_S = 20.0


async def heard_until_silence(place: Ruled, octets: bytes, size: int = 0, end: bytes = b"") -> bytes:
    """All that comes before nothing more does, on a connection that stays open: so many octets behind `end` may take any time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    writer.write(octets)
    heard = b""
    try:
        while True:
            whole = end in heard and len(heard.partition(end)[2] if end else heard) >= size
            async with asyncio.timeout(PATIENCE_S if whole else None):
                piece = await reader.read(65536)
            assert piece, "the room closed the connection"
            heard += piece
    except TimeoutError:
        writer.write(b"GET /get HTTP/1.1\r\nHost: a\r\n\r\n")  # whatever follows isn't answered either
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await reader.read(1)
        return heard
    finally:
        writer.close()


async def refused(place: Ruled) -> None:
    await place.rule("http.request", {"refuse": "503 closed for the $method"}, where={"path": "/files/*"}, times=1)
    answer = await exchange(place, put("a.txt"))
    assert answer.startswith(b"HTTP/1.1 503 closed for the PUT\r\n")
    assert body_of(answer) == b"503: closed for the PUT\n"
    assert status_of(await exchange(place, get("/files/alice/a.txt"))) == 404, "nothing was done"


NO_TEXT = b"GET /a%0d%0ab%ff HTTP/1.1\r\nHost: a\r\nUser-Agent: x\xffy\r\nConnection: close\r\n\r\n"


async def told_what_is_no_text(place: Ruled) -> None:
    """Octets that aren't UTF-8, and line ends, in what an answer tells."""
    await place.rule("http.request", {"refuse": "503 no $path for $user_agent"})
    assert (await exchange(place, NO_TEXT)).startswith(b"HTTP/1.1 503 no /a  b%ff for x?y\r\n")


async def scripted_what_is_no_text(place: Ruled) -> None:
    await place.rule("http.request", {"script": [{"send": "HTTP/1.1 200 $path for $user_agent\r\n\r\n"}]})
    assert (await exchange(place, NO_TEXT)).startswith(b"HTTP/1.1 200 /a  b%ff for x?y\r\n\r\n")


async def lied(place: Ruled) -> None:
    await place.rule("http.request", {"say": "500"}, where={"method": "PUT"})
    assert (await exchange(place, put("a.txt"))).startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert body_of(await exchange(place, get("/files/alice/a.txt"))) == b"cargo", "the deed was done"


async def silent(place: Ruled) -> None:
    await place.rule("http.request", {"silence": True}, times=1)
    assert await heard_until_silence(place, GET) == b""


async def delayed(place: Ruled) -> None:
    await place.rule("http.request", {"delay": DELAY_S})
    begun = time.monotonic()
    assert len(body_of(await exchange(place, GET))) == 5000
    assert time.monotonic() - begun >= DELAY_S


async def hung_up(place: Ruled) -> None:
    await place.rule("http.request", {"hang_up": True})
    assert await exchange(place, GET) == b""


async def refused_and_hung_up(place: Ruled) -> None:
    await place.rule("http.request", {"refuse": "429 slow down", "hang_up": True})
    answer = await exchange(place, b"GET /get HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 429 slow down\r\n")
    assert b"\r\nConnection: close\r\n" in answer


async def stubbed(place: Ruled) -> None:
    await place.rule(
        "http.request",
        {"respond": {"status": 418, "headers": {"X-Who": "$user_agent"}, "body": "$method $path?$query"}},
    )
    async with aiohttp.ClientSession(headers={"User-Agent": "tester\t1"}) as client:
        for _ in range(2):  # the connection goes on
            answer = await client.get(f"{place.url}/a/b?c=d")
            assert (answer.status, answer.headers["X-Who"], await answer.text()) == (418, "tester 1", "GET /a/b?c=d")
    assert status_of(await exchange(place, b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")) == 418


async def stubbed_with_a_false_length(place: Ruled) -> None:
    await place.rule("http.request", {"respond": {"headers": {"Content-Length": "100"}, "body": "short"}})
    answer = await exchange(place, b"GET /get HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"\r\nContent-Length: 100\r\n" in answer
    assert body_of(answer) == b"short"
    async with aiohttp.ClientSession() as client, client.get(f"{place.url}/get") as answer_read:
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer_read.read()


async def stubbed_with_false_chunks(place: Ruled) -> None:
    await place.rule("http.request", {"respond": {"headers": {"Transfer-Encoding": "chunked"}, "body": "zz\r\nno"}})
    assert body_of(await exchange(place, GET)) == b"zz\r\nno"
    with pytest.raises(requests.RequestException):
        await asyncio.to_thread(requests.get, f"{place.url}/get", timeout=20)


async def stubbed_with_a_body_that_may_not_be(place: Ruled) -> None:
    await place.rule("http.request", {"respond": {"status": 204, "body": "stray"}})
    answer = await exchange(place, b"GET /get HTTP/1.1\r\nHost: a\r\n\r\n")  # which ends the connection
    assert (status_of(answer), body_of(answer)) == (204, b"stray")


async def scripted(place: Ruled) -> None:
    half = {"send": "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234"}
    await place.rule("http.request", {"script": [half, {"delay": DELAY_S}, {"send": "56789"}]}, times=1)
    begun = time.monotonic()
    async with aiohttp.ClientSession() as client:
        assert await (await client.get(f"{place.url}/get")).text() == "0123456789"
        assert time.monotonic() - begun >= DELAY_S
        assert (await client.get(f"{place.url}/get")).status == 200, "and the room goes on"


async def scripted_over_two_requests(place: Ruled) -> None:
    steps = [{"say": "503 not yet"}, {"expect": "GET /get?*"}, {"respond": {"body": "at last"}}, {"hang_up": True}]
    await place.rule("http.request", {"script": steps}, times=1)
    first, second = b"GET /get?n=1 HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /get?n=2 HTTP/1.1\r\nHost: a\r\n\r\n"
    answers = await exchange(place, first + second)
    assert answers.count(b"HTTP/1.1 ") == 2
    assert b"503: not yet\n" in answers
    assert answers.endswith(b"at last")


async def scripted_for_another_request(place: Ruled) -> None:
    await place.rule("http.request", {"script": [{"say": "503"}, {"expect": "/nothing/"}, {"hang_up": True}]}, times=1)
    answers = await exchange(place, b"GET /get HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
    assert len(body_of(body_of(answers))) == 5000, "who asks for something else ends the script"


async def scripted_to_the_end(place: Ruled) -> None:
    await place.rule("http.request", {"script": [{"send": "HTTP/1.1 200 OK\r\n"}, {"silence": True}]})
    assert await heard_until_silence(place, GET, end=b"\r\n") == b"HTTP/1.1 200 OK\r\n"


async def no_continue_before_the_rule(place: Ruled) -> None:
    await place.rule("http.request", {"refuse": "417 no need"}, times=1)
    head = b"PUT /files/alice/e.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    writer.write(head + ALICE + b"\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 417 ")
    writer.close()


async def a_lie_after_continue(place: Ruled) -> None:
    await place.rule("http.request", {"say": "502"}, where={"method": "PUT"})
    head = b"PUT /files/alice/e.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    writer.write(head + ALICE + b"\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"cargo")
    assert (await reader.readline()).startswith(b"HTTP/1.1 502 ")
    writer.close()
    assert body_of(await exchange(place, get("/files/alice/e.txt"))) == b"cargo"


async def upload_hung_up(place: Ruled) -> None:
    await place.rule("http.upload", {"hang_up": True}, where={"octets": ">100000"})
    assert await exchange(place, put("a.bin", b"x" * 300_000)) == b""
    assert status_of(await exchange(place, get("/files/alice/a.bin"))) == 404
    assert status_of(await exchange(place, put("small.bin", b"x" * 1000))) == 201


async def upload_silent(place: Ruled) -> None:
    await place.rule("http.upload", {"silence": True})
    assert await heard_until_silence(place, put("a.bin", b"x" * 300_000)) == b""


async def upload_delayed(place: Ruled) -> None:
    await place.rule("http.upload", {"delay": DELAY_S}, times=1)
    begun = time.monotonic()
    assert status_of(await exchange(place, put("a.bin"))) == 201
    assert time.monotonic() - begun >= DELAY_S


async def response_lied(place: Ruled) -> None:
    await place.rule("http.response", {"say": "504 lost on the way"}, where={"status": "201"})
    assert (await exchange(place, put("a.txt"))).startswith(b"HTTP/1.1 504 lost on the way\r\n")
    assert body_of(await exchange(place, get("/files/alice/a.txt"))) == b"cargo"
    kinds = [(kind, str(fields.get("text", ""))) for kind, fields in await place.talk()]
    assert [text for kind, text in kinds if kind == "reply"] == ["HTTP/1.1 504 lost on the way"]


async def response_stubbed(place: Ruled) -> None:
    await place.rule(
        "http.response", {"respond": {"status": 200, "body": "was $status"}}, where={"status": ">=400 <500"}
    )
    assert body_of(await exchange(place, get("/status/404"))) == b"was 404"
    assert status_of(await exchange(place, get("/status/204"))) == 204


async def response_hung_up(place: Ruled) -> None:
    await place.rule("http.response", {"hang_up": True}, where={"status": 201})
    assert await exchange(place, put("a.txt")) == b""
    assert body_of(await exchange(place, get("/files/alice/a.txt"))) == b"cargo", "it was stored all the same"


async def response_silent(place: Ruled) -> None:
    await place.rule("http.response", {"silence": True}, where={"path": "/bytes/*"})
    assert await heard_until_silence(place, GET) == b""


async def response_delayed(place: Ruled) -> None:
    await place.rule("http.response", {"delay": DELAY_S})
    begun = time.monotonic()
    assert status_of(await exchange(place, GET)) == 200
    assert time.monotonic() - begun >= DELAY_S


async def headers_hung_up(place: Ruled) -> None:
    await place.rule("http.headers", {"hang_up": True})
    answer = await exchange(place, GET)
    assert answer.endswith(b"\r\n\r\n")
    assert b"\r\nContent-Length: 5000\r\n" in answer


async def headers_silent(place: Ruled) -> None:
    await place.rule("http.headers", {"silence": True})
    assert (await heard_until_silence(place, GET, end=b"\r\n\r\n")).endswith(b"\r\n\r\n")


async def headers_delayed(place: Ruled) -> None:
    await place.rule("http.headers", {"delay": DELAY_S})
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    begun = time.monotonic()
    writer.write(GET)
    await reader.readuntil(b"\r\n\r\n")  # before the wait, as `headers_silent` shows; a busy machine may read it late
    assert len(await reader.read()) == 5000
    assert time.monotonic() - begun >= DELAY_S * 0.9
    writer.close()


async def body_truncated(place: Ruled) -> None:
    await place.rule("http.body", {"hang_up": True}, where={"octets": ">=3000"})
    answer = await exchange(place, GET)
    assert b"\r\nContent-Length: 5000\r\n" in answer
    assert len(body_of(answer)) == 3072
    async with aiohttp.ClientSession() as client, client.get(f"{place.url}/bytes/5000") as read:
        with pytest.raises(aiohttp.ClientPayloadError):
            await read.read()


async def chunks_truncated(place: Ruled) -> None:
    await place.rule("http.body", {"hang_up": True}, where={"octets": ">=3000"})
    answer = await exchange(place, b"GET /stream-bytes/5000?chunk_size=2000&seed=1 HTTP/1.1\r\nHost: a\r\n\r\n")
    chunks = [
        int(size, 16) for size in re.findall(rb"\r\n([0-9a-f]{1,3})\r\n", body_of(b"\r\n\r\n\r\n" + body_of(answer)))
    ]
    assert sum(chunks) == 3024
    assert not answer.endswith(b"0\r\n\r\n")


async def body_silent(place: Ruled) -> None:
    await place.rule("http.body", {"silence": True}, where={"octets": ">=1024"})
    assert len(body_of(await heard_until_silence(place, GET, 1024, b"\r\n\r\n"))) == 1024


async def body_delayed(place: Ruled) -> None:
    await place.rule("http.body", {"delay": DELAY_S}, where={"octets": "1024"})
    begun = time.monotonic()
    assert len(body_of(await exchange(place, GET))) == 5000
    assert time.monotonic() - begun >= DELAY_S


async def connect_hung_up(place: Ruled) -> None:
    await place.rule("http.connect", {"hang_up": True}, times=1)
    assert await exchange(place, GET) == b""
    assert len(body_of(await exchange(place, GET))) == 5000


async def connect_silent(place: Ruled) -> None:
    await place.rule("http.connect", {"silence": True})
    assert await heard_until_silence(place, GET) == b""
    await place.eventually("closed")


async def connect_delayed(place: Ruled) -> None:
    await place.rule("http.connect", {"delay": DELAY_S})
    await delayed_connection(place)


async def delayed_connection(place: Ruled) -> None:
    begun = time.monotonic()
    assert status_of(await exchange(place, GET)) == 200
    assert time.monotonic() - begun >= DELAY_S


Case = Callable[[Ruled], Awaitable[None]]
CASES: dict[tuple[str, str], tuple[Case, ...]] = {
    ("connect", "hang_up"): (connect_hung_up,),
    ("connect", "silence"): (connect_silent,),
    ("connect", "delay"): (connect_delayed,),
    ("request", "refuse"): (refused, told_what_is_no_text, refused_and_hung_up, no_continue_before_the_rule),
    ("request", "say"): (lied, a_lie_after_continue),
    ("request", "silence"): (silent,),
    ("request", "delay"): (delayed,),
    ("request", "hang_up"): (hung_up,),
    ("request", "respond"): (
        stubbed,
        stubbed_with_a_false_length,
        stubbed_with_false_chunks,
        stubbed_with_a_body_that_may_not_be,
    ),
    ("request", "script"): (
        scripted_what_is_no_text,
        scripted,
        scripted_over_two_requests,
        scripted_for_another_request,
        scripted_to_the_end,
    ),
    ("upload", "hang_up"): (upload_hung_up,),
    ("upload", "silence"): (upload_silent,),
    ("upload", "delay"): (upload_delayed,),
    ("response", "say"): (response_lied,),
    ("response", "respond"): (response_stubbed,),
    ("response", "hang_up"): (response_hung_up,),
    ("response", "silence"): (response_silent,),
    ("response", "delay"): (response_delayed,),
    ("headers", "hang_up"): (headers_hung_up,),
    ("headers", "silence"): (headers_silent,),
    ("headers", "delay"): (headers_delayed,),
    ("body", "hang_up"): (body_truncated, chunks_truncated),
    ("body", "silence"): (body_silent,),
    ("body", "delay"): (body_delayed,),
}
_ELSEWHERE = FAULTS | {"tls", "persona"}  # shown with the wire, with TLS, and with the personas


@pytest.mark.parametrize(
    ("announced", "case"),
    [pytest.param(announced, case, id=case.__name__) for announced, cases in CASES.items() for case in cases],
)
def test_a_verb_obeys_an_action(tmp_path: Path, announced: tuple[str, str], case: Case) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            await case(place)
            async with asyncio.timeout(LIMIT_S):  # where nothing came, for want of time the room may still be at it
                while await place.hits() == [0]:
                    pass
            (hits,) = await place.hits()
            assert hits > 0

    run(go())


def test_every_announced_action_has_a_case() -> None:
    announced = {
        (verb, action)
        for verb, declared in VOCABULARY.verbs.items()
        for action in declared.actions - _ELSEWHERE
        if verb != "tls"
    }
    assert announced == CASES.keys()
