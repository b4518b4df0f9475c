"""Mirroring, statuses, pacing and file targets as pure values."""

from __future__ import annotations

import errno
import json
import os
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portyard.http.core.filepath import BadPathError, FilePath, parents_of, parse_target, status_of
from portyard.http.core.mirror import (
    Body,
    Mirrored,
    args_of,
    cookies_of,
    flat_args,
    grouped,
    headers_of,
    json_of,
    json_safe,
    mirror,
    origin_of,
    readable,
    title,
    url_of,
)
from portyard.http.core.pacing import MOST_OCTETS_A_PIECE, TICK_S, alphabet, drip, in_chunks, seeded_bytes
from portyard.http.core.status import BadStatusError, answer_of, choose, parse_codes


def asked(*headers: tuple[str, str], query: str = "", url: str = "http://y/get") -> Mirrored:
    return Mirrored("GET", url, query, headers, "10.0.0.1")


def test_headers_are_titled_joined_and_hidden() -> None:
    request = asked(("x-a", "1"), ("VIA", "proxy"), ("X-A", "2"), ("bytes", "\udcff"), ("text", "é"))
    assert headers_of(request) == {"X-A": "1,2", "Bytes": "ÿ", "Text": "é"}
    assert headers_of(asked(("via", "p"), query="show_env"))["Via"] == "p"
    assert title("www-authenticate") == "Www-Authenticate"


def test_where_it_came_from() -> None:
    assert origin_of(asked()) == "10.0.0.1"
    assert origin_of(asked(("x-forwarded-for", "1.2.3.4, 5.6.7.8"))) == "1.2.3.4, 5.6.7.8"
    assert url_of(asked()) == "http://y/get"
    assert url_of(asked(("X-Forwarded-Proto", "https"))) == "https://y/get"
    assert url_of(asked(("X-Forwarded-Protocol", "wss"))) == "wss://y/get"
    assert url_of(asked(("X-Forwarded-Ssl", "on"))) == "https://y/get"
    assert url_of(asked(("X-Forwarded-Ssl", "off"))) == "http://y/get"


def test_values() -> None:
    assert grouped([("a", "1"), ("b", "2"), ("a", "3"), ("a", "4")]) == {"a": ["1", "3", "4"], "b": "2"}
    assert args_of("a=1&a=2&b&c=%C3%A9&d=+") == {"a": ["1", "2"], "b": "", "c": "é", "d": " "}
    assert flat_args("A=1&a=2") == {"a": "1"}
    assert json_safe(b"text", "x/y") == "text"
    assert json_safe(b"\xff", "x/y") == "data:x/y;base64,/w=="
    assert json_of(b'{"a": 1}') == {"a": 1}
    assert json_of(b"") is json_of(b"{") is json_of(b"\xff") is json_of(b"[" * 100_000) is None
    assert cookies_of({"__utma": "1", "a": "\udce9"}, "") == {"a": "é"}
    assert cookies_of({"__utma": "1"}, "show_env") == {"__utma": "1"}
    assert mirror(asked(), Body(b"1"), "json", "method") == {"json": 1, "method": "GET"}


@given(st.text(alphabet=st.characters(codec="latin-1")))
def test_any_header_octets_can_be_shown(value: str) -> None:
    octets = value.encode("latin-1").decode("utf-8", "surrogateescape")
    json.dumps(readable(octets)).encode()
    readable(octets).encode()


def test_codes() -> None:
    assert parse_codes("200") == [(200, 1.0)]
    assert parse_codes("200:3, 500:0.5") == [(200, 3.0), (500, 0.5)]
    for wrong in ("", "x", "199", "600", "200:", "200:x", "200:-1", "200:inf", "200:nan", "200:0", "200;500"):
        with pytest.raises(BadStatusError):
            parse_codes(wrong)
    choices = [(200, 1.0), (404, 0.0), (503, 3.0)]
    assert [choose(choices, chance) for chance in (0.0, 0.24, 0.26, 0.999999)] == [200, 200, 503, 503]
    for code in range(200, 600):
        assert answer_of(code).code == code


@given(st.integers(0, 300_000), st.floats(0, 600))
def test_a_drip_adds_up(octets: int, duration: float) -> None:
    pieces = list(drip(octets, duration))
    assert sum(size for size, _ in pieces) == octets
    assert all(0 < size <= MOST_OCTETS_A_PIECE for size, _ in pieces)
    if octets:
        assert sum(pause for _, pause in pieces) == pytest.approx(duration)
        assert len(pieces) <= max(2, duration / TICK_S + 1, octets / MOST_OCTETS_A_PIECE + 1)


def test_pieces() -> None:
    assert list(in_chunks(10, 4, 1.0)) == [(4, 0.4), (4, 0.4), (2, 0.2)]
    assert list(drip(3, 3.0)) == [(1, 1.0)] * 3
    chance = random.Random(99)
    assert seeded_bytes(500, random.Random(99)) == bytes(chance.randint(0, 255) for _ in range(500))


@given(st.integers(0, 10_000), st.integers(0, 200))
def test_the_alphabet_is_the_same_from_anywhere(first: int, length: int) -> None:
    assert alphabet(first, length) == alphabet(0, first + length)[first:]


def test_targets() -> None:
    assert parse_target("/files/alice/a%20b/c") == FilePath("alice", "/a b/c", as_folder=False)
    assert parse_target("/files/alice/d/") == FilePath("alice", "/d", as_folder=True)
    assert parse_target("/files/alice") == FilePath("alice", "/", as_folder=True)
    assert parse_target("/files/alice/") == FilePath("alice", "/", as_folder=True)
    assert parse_target("/files/a%40b/x").owner == "a@b"
    assert parse_target("/files/alice/%2e%2e/%2e%2e/../x/./..//y").path == "/y"
    for wrong in ("/files/alice/a%2Fb", "/files/a%2fb/x", "/files/alice/%00"):
        with pytest.raises(BadPathError):
            parse_target(wrong)
    assert parents_of("/a/b/c") == ["/a", "/a/b"]
    assert parents_of("/a") == []


@given(st.lists(st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1), max_size=5))
def test_a_target_comes_back(names: list[str]) -> None:
    kept = [name for name in names if name not in (".", "..")]
    place = FilePath("alice", "/" + "/".join(kept), as_folder=not kept)
    assert parse_target(place.target) == place
    assert all(above.startswith(parent) for parent, above in pairwise(parents_of(place.path)))


def test_what_errors_mean() -> None:
    def error(code: int) -> OSError:
        return OSError(code, os.strerror(code))

    assert [status_of(error(code), writing=False) for code in (errno.ENOENT, errno.EACCES, errno.EIO)] == [
        404,
        403,
        500,
    ]
    codes = (errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY, errno.ENOSPC, errno.EACCES, errno.ENAMETOOLONG, errno.EIO)
    assert [status_of(error(code), writing=True) for code in codes] == [409, 409, 409, 507, 403, 400, 500]
    assert status_of(PermissionError("a device"), writing=False) == 403
