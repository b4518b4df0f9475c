"""What a body that is malformed or endless gets: refused, by its key where it has one, and everything is as it was before."""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from portyard.commons.settings import Limits
from portyard.console.routes import ROUTES
from tests.support.asyncio_tests import run
from tests.support.console import Console, console
from tests.support.console_refusals import RULES, TOML, furnished, whole_state

GIGABYTE = 1 << 30
PIECE = bytes(1 << 16)
LIMITS = Limits(upload=4 << 20)
SPARE_KIB = 48 << 10  # by which the process may grow while a gigabyte is offered to it

JSON = {"Content-Type": "application/json"}
WITH_JSON = [route for route in ROUTES if route.body is not None or "application/json" in route.reads]
TWICE_CASES = [  # operation, body, and what the problem names
    ("POST sandboxes", '{"name": "a", "name": "t3"}', "name", ["a", "t3"]),
    ("PATCH sandboxes/t1", '{"magic": false, "magic": true}', "magic", [False, True]),
    ("POST sandboxes/t1/accounts", '{"name": "u1", "name": "u2"}', "name", ["u1", "u2"]),
    ("POST sandboxes/t1/clock", '{"advance": "1h", "advance": "2h"}', "advance", ["1h", "2h"]),
    ("POST sandboxes/t1/leases", '{"service": "mta", "service": "imap"}', "service", ["mta", "imap"]),
    (
        "POST sandboxes/t1/records",
        '{"name": "a.t1.test", "type": "A", "type": "TXT", "values": ["x"]}',
        "type",
        ["A", "TXT"],
    ),
    ("PUT sandboxes/t1/records/a.t1.test/TXT", '{"values": ["x"], "values": ["x"]}', "values", [["x"], ["x"]]),
    ("PUT personas/imap/mine", '{"summary": "x", "limits": {"line": 1, "line": 2}}', "limits.line", [1, 2]),
    ("POST " + RULES, '{"on": "pop3.stat", "then": {"delay": 1, "delay": 2}}', "then.delay", [1, 2]),
    (
        "POST " + RULES,
        '[{"on": "pop3.stat", "then": {"delay": 1}, "times": 1, "times": 2}]',
        "rule[0].times",
        [1, 2],
    ),
    (
        "POST " + RULES,
        '{"rule": [{"on": "pop3.stat", "on": "pop3.stat", "then": {"delay": 1}}]}',
        "rule[0].on",
        ["pop3.stat", "pop3.stat"],
    ),
    ("PUT " + RULES + "/standing", '{"on": "pop3.stat", "then": {"delay": 1}, "on": "pop3.retr"}', "on", None),
]


def test_a_key_that_stands_twice(tmp_path: Path) -> None:
    """In each body of the API that is JSON: neither the first nor the last wins."""
    assert len({operation for operation, *_ in TWICE_CASES}) == len(WITH_JSON)  # another operation wants its case

    async def main() -> None:
        async with console(tmp_path) as client:
            before = await furnished(client)
            for operation, body, key, values in TWICE_CASES:
                method, path = operation.split(" ")
                problem = await client.problem(method, path, 400, data=body.encode(), headers=JSON)
                assert problem["key"] == key
                assert problem["detail"] == f"{key} is given twice"
                assert problem["allowed"] == "each key once"
                assert values is None or problem["value"] == values
            assert await whole_state(client) == before

    run(main())


@pytest.mark.parametrize(
    ("text", "key", "told"),
    [
        ("[[rule]]\non = 'pop3.stat'\ntimes = 1\ntimes = 2\nthen = { delay = 1 }", "rule[0].times", "(line 4)"),
        ("[[rule]]\non = 'pop3.stat'\nthen = { delay = 1, delay = 2 }", "rule[0].then.delay", "(line 3)"),
        ("[[rule]]\non = 'a.b'\n[rule.then]\ndelay = 1\n[rule.then]\ndelay = 2", "rule[0].then", "(line 5)"),
    ],
)
def test_a_key_that_stands_twice_in_toml(tmp_path: Path, text: str, key: str, told: str) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            before = await furnished(client)
            for method, path in (("POST", RULES), ("PUT", f"{RULES}/standing"), ("PUT", "personas/imap/mine")):
                problem = await client.problem(method, path, 400, data=text.encode(), headers=TOML)
                assert (problem["key"], problem["detail"]) == (key, f"{key} is given twice {told}")
                assert problem["allowed"] == "each key once"
            assert await whole_state(client) == before

    run(main())


@pytest.mark.parametrize(
    ("path", "text", "key", "value"),
    [
        (RULES, '[[rule]]\non = "smtp.mail"\nthen = {delay = 1}\nchance = nan', "rule[0].chance", "nan"),
        (RULES, '[[rule]]\non = "smtp.mail"\nthen = {delay = -inf}', "rule[0].then.delay", "-inf"),
        (RULES, '[[rule]]\non = "smtp.mail"\nthen = {delay = 1}\nwhere = {size = inf}', "rule[0].where.size", "inf"),
        ("personas/imap/mine", "failed_login_delay_s = nan", "failed_login_delay_s", "nan"),
        ("personas/imap/mine", "limits = {connections = inf}", "limits.connections", "inf"),
    ],
)
def test_numbers_that_json_does_not_have(tmp_path: Path, path: str, text: str, key: str, value: str) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await client.ask("POST", "sandboxes", 201, {"name": "t1"})
            method = "POST" if path == RULES else "PUT"
            problem = await client.problem(method, path, 422, data=text.encode(), headers=TOML)
            assert (problem["key"], problem["value"]) == (key, value)
            assert problem["allowed"]

    run(main())


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"name":' * 100_000, b'{"name": "\xff"}', b"{", b"\xef\xbb\xbf{}"])
@pytest.mark.parametrize("path", ["sandboxes", RULES])
def test_what_is_no_json(tmp_path: Path, path: str, body: bytes) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            before = await furnished(client)
            problem = await client.problem("POST", path, 400, data=body, headers=JSON)
            assert problem["key"] == "body"
            assert "isn't JSON" in problem["detail"]
            assert await whole_state(client) == before

    run(main())


# ── a gigabyte ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def framed(chunked: bool) -> Iterator[bytes]:
    """A gigabyte as a request's body."""
    for _ in range(GIGABYTE // len(PIECE)):
        yield (b"%x\r\n%b\r\n" % (len(PIECE), PIECE)) if chunked else PIECE


async def offer(client: Console, method: str, path: str, media_type: str, *, chunked: bool) -> tuple[int, bytes, int]:
    """Stream a gigabyte until there is an answer: its status, its body, and how much was taken of the gigabyte."""
    host, _, port = client.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {GIGABYTE}"
    head = f"{method} /api/v1/{path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {media_type}\r\n{framing}\r\n\r\n"
    writer.write(head.encode())
    answer = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
    taken = 0
    try:
        async for piece in each(framed(chunked)):
            if answer.done():
                break
            writer.write(piece)
            await writer.drain()
            taken += len(PIECE)
    except ConnectionError:
        pass
    head_of_answer = await answer
    length = next(line for line in head_of_answer.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    body = await reader.readexactly(int(length.partition(b":")[2]))
    writer.transport.abort()
    return int(head_of_answer.split()[1]), body, taken


async def each(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
        await asyncio.sleep(0)  # the console answers in the same loop


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
@pytest.mark.parametrize(
    ("method", "path", "media_type"),
    [
        ("POST", RULES, "application/json"),
        ("POST", RULES, "application/toml"),
        ("PUT", f"{RULES}/1", "application/json"),
        ("POST", "sandboxes", "application/json"),
        ("POST", "sandboxes/t1/reset", "application/json"),
        ("PUT", "sandboxes/t1/files/u1@t1.test/f", "application/octet-stream"),
    ],
)
def test_a_gigabyte_is_refused_before_it_is_read(
    tmp_path: Path, method: str, path: str, media_type: str, chunked: bool
) -> None:
    async def main() -> None:
        async with console(tmp_path, limits=LIMITS) as client:
            before = await furnished(client)
            peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            status, body, taken = await offer(client, method, path, media_type, chunked=chunked)
            assert status == 413
            problem = json.loads(body)
            assert problem["key"] == "body"
            assert problem["value"] == ("more than is allowed" if chunked else GIGABYTE)
            assert problem["allowed"].startswith("at most ")
            assert taken < 16 << 20
            assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak_kib < SPARE_KIB
            assert await whole_state(client) == before

    run(main())
