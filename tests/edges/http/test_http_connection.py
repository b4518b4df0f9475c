"""What happens on the connection itself: framing, versions, limits, pipelining, and what the journal keeps of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from portyard.commons.hosting_parser import DEFAULT_LIMITS
from tests.support.asyncio_tests import LOOPS, run
from tests.support.http import exchange, room

END = "Host: y\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("piecewise", [False, True])
def test_pipelined_requests_are_answered_in_order(tmp_path: Path, loop: str, piecewise: bool) -> None:
    async def go() -> None:
        async with room(tmp_path) as (place, _):
            octets = (
                b"GET /delay/0.05 HTTP/1.1\r\nHost: y\r\n\r\n"
                b"POST /post HTTP/1.1\r\nHost: y\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n"
                b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-T: yes\r\n\r\n"
                b"HEAD /get HTTP/1.1\r\nHost: y\r\n\r\n"
                b"GET /status/404 HTTP/1.1\r\nHost: y\r\n\r\n"
                b"GET /uuid HTTP/1.1\r\nHost: y\r\nConnection: close\r\n\r\n"
                b"GET /ip HTTP/1.1\r\nHost: y\r\n\r\n"
            )
            answer = await exchange(place, octets, piecewise=piecewise)
            statuses = [line.split()[1] for line in answer.splitlines() if line.startswith(b"HTTP/1.1 ")]
            assert statuses == [b"200", b"200", b"200", b"404", b"200"]
            assert b'"data": "abcde"' in answer
            await place.logs[0].closed.wait()
            assert [text.split()[1] for text in place.logs[0].texts("command")] == [
                "/delay/0.05",
                "/post",
                "/get",
                "/status/404",
                "/uuid",
            ]
            fields = [name for kind, found in place.logs[0].events if kind == "command" for name, _ in found["headers"]]
            assert "X-T" not in fields  # a trailer is no header field of the next request

    run(go(), loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_that_ends_its_input_is_still_answered(tmp_path: Path, loop: str) -> None:
    async def go() -> None:
        async with room(tmp_path) as (place, _):
            for octets, statuses in (
                (b"GET /delay/0.05 HTTP/1.1\r\nHost: y\r\n\r\n" * 3, 3),
                (b"POST /post HTTP/1.1\r\nHost: y\r\nContent-Length: 2\r\n\r\nhi", 1),
                (b"GET /ip HTTP/1.1\r\nHost: y\r\n\r\nGET /i", 1),
                (b"GET /ip HTTP/1.1\r\nHost: y\r\n\r\nPOST /post HTTP/1.1\r\nHost: y\r\nContent-Length: 2\r\n\r\nh", 0),
                (b"", 0),
            ):
                answer = await exchange(place, octets, half_close=True)
                assert answer.count(b"HTTP/1.1 200 OK") >= statuses, octets
                await place.logs[-1].closed.wait()

    run(go(), loop, limit_s=60)


def test_http_1_0(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (place, _):
            answer = await exchange(place, b"GET /stream/2 HTTP/1.0\r\n\r\n")
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.0 200 ")
            assert b"chunked" not in head
            assert [json.loads(line)["id"] for line in body.splitlines()] == [0, 1]
            kept = b"GET /ip HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
            answer = await exchange(place, kept + b"GET /ip HTTP/1.0\r\n\r\n")
            assert answer.count(b"HTTP/1.0 200 OK") == 2

    run(go())


@pytest.mark.parametrize("piecewise", [False, True])
@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"GET /" + b"x" * DEFAULT_LIMITS.line + b" HTTP/1.1\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: y\r\nX: " + b"x" * DEFAULT_LIMITS.line + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: y\r\n" + b"X: 1\r\n" * (DEFAULT_LIMITS.fields + 1) + b"\r\n", 431),
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), 400),
        (b"GET / HTTP/1.1\r\nHost : y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: y\0\r\n\r\n", 400),
        (b"POST /post HTTP/1.1\r\nHost: y\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST /post HTTP/1.1\r\nHost: y\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (b"POST /post HTTP/1.1\r\nHost: y\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /post HTTP/1.1\r\nHost: y\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST /post HTTP/1.1\r\nHost: y\r\nContent-Length: 90000000\r\n\r\nab", 413),
        (b"CONNECT example.com:443 HTTP/1.1\r\nHost: y\r\n\r\n", 501),
        (b"GET http://yard.test/nowhere HTTP/1.1\r\nHost: y\r\nConnection: close\r\n\r\n", 404),
        (b"OPTIONS * HTTP/1.1\r\nHost: y\r\nConnection: close\r\n\r\n", 200),
        (b"GET /ip HTTP/1.2\r\nHost: y\r\nConnection: close\r\n\r\n", 200),
        (b"GET /ip HTTP/1.9\r\n\r\n", 400),  # RFC 9110 §2.5: as HTTP/1.1, which wants a Host
        (b"GET /ip HTTP/9.9\r\nHost: y\r\n\r\n", 505),
        (b"GET /ip HTTP/0.9\r\nHost: y\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET /ip HTTP/1.10\r\nHost: y\r\n\r\n", 400),
        (b"GET /ip HTTP/1\r\nHost: y\r\n\r\n", 400),
        (b"GET /ip http/1.1\r\nHost: y\r\n\r\n", 400),
        (b"GET /ip HTTPS/1.1\r\nHost: y\r\n\r\n", 400),
    ],
)
def test_odd_requests_get_their_status(tmp_path: Path, octets: bytes, status: int, piecewise: bool) -> None:
    async def go() -> None:
        async with room(tmp_path) as (place, client):
            async with asyncio.timeout(20):
                answer = await exchange(place, octets, piecewise=piecewise)
            assert answer.startswith(f"HTTP/1.1 {status} ".encode())
            assert status == 413 or b"\r\nConnection: close\r\n" in answer
            async with client.get("/ip") as response:  # everybody else is served on
                assert response.status == 200

    run(go())


def test_a_later_minor_version_is_answered_as_ours(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (place, _):
            later = b"GET /stream/1 HTTP/1.7\r\nHost: y\r\n\r\n"
            answer = await exchange(place, later + b"GET /ip HTTP/1.7\r\nHost: y\r\nConnection: close\r\n\r\n")
            assert answer.count(b"HTTP/1.1 200 OK\r\n") == 2
            assert b"Transfer-Encoding: chunked" in answer
            assert "HTTP/1.7" in str(place.logs[0].events), "what came is noted as it came"

    run(go())


def test_an_odd_request_line_is_told_as_it_came(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (place, _):
            for line in (b"GET /ip  HTTP/1.7", b"GET /i p HTTP/1.7"):
                assert line in await exchange(place, line + b"\r\nHost: y\r\n\r\n")

    run(go())


def test_the_absolute_form(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (place, _):
            answer = await exchange(place, f"GET http://user:pw@yard.test/get?a=1 HTTP/1.1\r\n{END}".encode())
            assert b'"a": "1"' in answer
            noted = str(place.logs[0].events)
            assert "user:pw" not in noted
            assert "«secret»@yard.test" in noted

    run(go())


def test_what_the_journal_keeps(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (place, _):
            fields = (
                "Authorization: Bearer abcdef\r\nCookie: id=topsecret\r\nProxy-Authorization: Basic abcdef\r\n"
                "Referer: http://me:pw@a.test/\r\nX-Bytes: \xff\r\n"
            )
            await exchange(place, f"GET /cookies/set?id=topsecret HTTP/1.1\r\n{fields}{END}".encode("latin-1"))
            await exchange(place, f"POST /post HTTP/1.1\r\nContent-Length: 5\r\n{END}hello".encode())
            first, second = place.logs
            await second.closed.wait()
            (command,) = [found for kind, found in first.events if kind == "command"]
            sent = dict(command["headers"])
            assert sent["Authorization"] == "«secret, 13 bytes»"
            assert sent["Cookie"] == "«secret, 12 bytes»"
            assert sent["Proxy-Authorization"] == "«secret, 12 bytes»"
            assert sent["Referer"] == "http://«secret»@a.test/"
            json.dumps(first.events)
            (reply,) = [found for kind, found in first.events if kind == "reply"]
            assert reply["text"] == "HTTP/1.1 302 Found"
            assert dict(reply["headers"])["Set-Cookie"].startswith("«secret, ")
            assert [kind for kind, _ in second.events] == ["command", "data", "reply", "data", "closed"]
            assert second.events[1][1] == {"direction": "in", "part": "body", "octets": 5, "text": "hello"}

    run(go())


def test_a_client_that_leaves_ends_its_handler(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (place, client):
            _, writer = await asyncio.open_connection("127.0.0.1", place.port)
            writer.write(b"GET /drip?duration=600&numbytes=600 HTTP/1.1\r\nHost: y\r\n\r\n")
            async with client.get("/ip") as response:
                assert response.status == 200
            writer.close()
            await writer.wait_closed()
            await place.logs[0].closed.wait()

    run(go(), limit_s=60)
