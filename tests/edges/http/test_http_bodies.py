"""What the journal keeps of bodies: their beginnings, cut where the limit says so, as text or in base64, whatever carries them."""

from __future__ import annotations

import base64
import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from portyard.commons import hosting_parser
from portyard.http.card import CARD
from tests.support.asyncio_tests import run
from tests.support.hosted import ruled_room
from tests.support.http import exchange

END = "Host: x.test\r\nConnection: close\r\n"
FORM = "Content-Type: application/x-www-form-urlencoded\r\n"


async def bodies(place: Any, octets: bytes) -> dict[str, dict[str, Any]]:
    """What is told of an exchange's bodies, by their direction."""
    await exchange(place, octets)
    events = await place.eventually("closed")
    return {fields["direction"]: fields for kind, fields in events if kind == "data"}


def post(body: bytes, fields: str = "", path: str = "/post") -> bytes:
    return f"POST {path} HTTP/1.1\r\n{END}{fields}Content-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    ("octets", "told"),
    [
        (post(b"a=1&b=2", FORM), {"octets": 7, "text": "a=1&b=2"}),
        (post(b"a=1&password=xyz", FORM), {"octets": 16, "text": "a=1&password=«secret, 3 bytes»"}),
        (post(b"\x00\xff"), {"octets": 2, "base64": "AP8="}),
        (post("ü".encode() * 600), {"octets": 1200, "unkept": 176, "text": "ü" * 512}),
        (post(b"x" + "ü".encode() * 600), {"octets": 1201, "unkept": 178, "text": "x" + "ü" * 511}),
        (post(b"x" * 100_000), {"octets": 100_000, "unkept": 98_976, "text": "x" * 1024}),
        (
            f"POST /post HTTP/1.1\r\n{END}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n".encode(),
            {"octets": 5, "text": "abcde"},
        ),
        (post(gzip.compress(b"hello"), "Content-Encoding: gzip\r\n"), {"octets": 5, "text": "hello"}),
    ],
)
def test_what_came(tmp_path: Path, octets: bytes, told: dict[str, object]) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            found = (await bodies(place, octets))["in"]
            assert found == {"direction": "in", "part": "body"} | told

    run(go())


def get(path: str, fields: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\n{END}{fields}\r\n".encode()


def test_what_went(tmp_path: Path) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            found = (await bodies(place, get("/base64/aGVsbG8=")))["out"]
            assert found == {"direction": "out", "part": "body", "octets": 5, "text": "hello"}

    run(go())


def test_a_stream_is_told_by_its_beginning(tmp_path: Path) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            found = (await bodies(place, get("/stream-bytes/5000?seed=1&chunk_size=100")))["out"]
            assert (found["octets"], found["unkept"], len(base64.b64decode(found["base64"]))) == (5000, 3976, 1024)

    run(go())


def test_a_coded_answer_to_a_request_with_a_secret_is_only_counted(tmp_path: Path) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            found = (await bodies(place, get("/gzip", "Authorization: Bearer abcdefgh\r\n")))["out"]
            assert "base64" not in found
            assert "text" not in found

    run(go())


def test_nothing_is_kept_where_the_limit_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosting_parser, "DEFAULT_LIMITS", replace(hosting_parser.DEFAULT_LIMITS, shown=0))
    monkeypatch.setattr("portyard.http.edge.limits_of", lambda _: hosting_parser.DEFAULT_LIMITS)

    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            assert await bodies(place, post(b"hello")) == {"in": {"direction": "in", "part": "body", "octets": 5}}

    run(go())


def test_the_same_answer_again_is_told_again(tmp_path: Path) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            one = b"GET /base64/aGVsbG8= HTTP/1.1\r\nHost: x.test\r\n\r\n"
            await exchange(place, one + one + get("/base64/aGVs"))
            events = await place.eventually("closed")
            assert [fields["text"] for kind, fields in events if kind == "data"] == ["hello", "hello", "hel"]

    run(go())
