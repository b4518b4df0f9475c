"""What answers are made of: each endpoint that gives what its path asks for, as a client meets it."""

from __future__ import annotations

import gzip
import json
import random
import time
import uuid
import zlib
from pathlib import Path

import aiohttp
import brotli

from portyard.http.core.status import ACCEPTED_IMAGES
from portyard.http.routes.common import BYTES_LIMIT
from tests.support.asyncio_tests import run
from tests.support.http import fetch, fetch_json, room

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def test_statuses(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (_, client):
            for code in range(200, 600):
                response, body = await fetch(client, f"/status/{code}", "POST")
                assert response.status == code
                if code in (204, 304):
                    assert (body, response.headers.get("Content-Length")) == (b"", None)
            for code in (301, 302, 303, 305, 307, 308):
                assert (await fetch(client, f"/status/{code}"))[0].headers["Location"] == "/redirect/1"
            assert "WWW-Authenticate" in (await fetch(client, "/status/401"))[0].headers
            assert "Proxy-Authenticate" in (await fetch(client, "/status/407"))[0].headers
            assert json.loads((await fetch(client, "/status/406"))[1])["accept"] == list(ACCEPTED_IMAGES)
            assert b"tea" in (await fetch(client, "/status/418"))[1]
            seen = {(await fetch(client, "/status/200:1,503:1,404:0"))[0].status for _ in range(64)}
            assert seen == {200, 503}
            for wrong in ("abc", "100", "600", "200:x", "200:-1", "200:0", "200,", "200:nan"):
                assert (await fetch(client, f"/status/{wrong}"))[0].status == 400, wrong

    run(go())


def test_redirects(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (place, client):
            for path, locations in (
                ("/redirect/3", ["/relative-redirect/2", "/relative-redirect/1", "/get"]),
                ("/redirect/2?absolute=true", [f"{place.url}/absolute-redirect/1", f"{place.url}/get"]),
                ("/absolute-redirect/1", [f"{place.url}/get"]),
            ):
                at = path
                for location in locations:
                    response, _ = await fetch(client, at)
                    assert (response.status, response.headers["Location"]) == (302, location)
                    at = location.removeprefix(place.url)
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
                for code in (301, 303, 307, 308):
                    target = "http://elsewhere.test/é?x=%0A#f"
                    response, _ = await fetch(
                        client, "/redirect-to", method, params={"url": target, "status_code": str(code)}
                    )
                    assert (response.status, response.headers["Location"]) == (code, target)
            response, _ = await fetch(client, "/redirect-to?url=/get&status_code=200")
            assert response.status == 302
            response, _ = await fetch(client, "/redirect-to", "POST", data={"url": "/x", "status_code": "307"})
            assert (response.status, response.headers["Location"]) == (307, "/x")
            for wrong in (
                "/redirect-to",
                "/redirect-to?url=/a%0d%0ab",
                "/redirect/0",
                "/redirect/x",
                "/redirect-to?url=a&status_code=x",
            ):
                assert (await fetch(client, wrong))[0].status == 400, wrong

    run(go())


def test_cookies(tmp_path: Path) -> None:
    async def go() -> None:
        async with (
            room(tmp_path) as (place, _),
            aiohttp.ClientSession(place.url, cookie_jar=aiohttp.CookieJar(unsafe=True)) as client,
        ):
            for path, expected in (
                ("/cookies/set?a=1&b=two+words", {"a": "1", "b": "two words"}),
                ("/cookies/set/c/3", {"a": "1", "b": "two words", "c": "3"}),
                ("/cookies/delete?a", {"b": "two words", "c": "3"}),
            ):
                async with client.get(path) as response:
                    assert (await response.json())["cookies"] == expected
            for wrong in ("/cookies/set?%0d=1", "/cookies/set?a%3bb=1", "/cookies/delete?%20"):
                async with client.get(wrong, allow_redirects=False) as response:
                    assert response.status == 400, wrong
            async with client.get("/cookies", headers={"Cookie": "__utma=1; d=4"}, cookies={}) as response:
                assert "__utma" not in (await response.json())["cookies"]

    run(go())


def test_formats(tmp_path: Path) -> None:
    decoders = {"gzip": gzip.decompress, "deflate": zlib.decompress, "brotli": brotli.decompress}
    flags = {"gzip": "gzipped", "deflate": "deflated", "brotli": "brotli"}

    async def go() -> None:
        async with room(tmp_path) as (_, client):
            for name, decode in decoders.items():
                response, body = await fetch(client, f"/{name}")
                assert response.headers["Content-Encoding"] == {"brotli": "br"}.get(name, name)
                assert json.loads(decode(body))[flags[name]] is True
            for path, kind, piece in (
                ("/html", "text/html", b"<h1>"),
                ("/xml", "application/xml", b"<slideshow"),
                ("/json", "application/json", b'"slideshow"'),
                ("/robots.txt", "text/plain", b"Disallow: /deny"),
                ("/deny", "text/plain", b"CLOSED"),
                ("/encoding/utf8", "text/html", "∀x".encode()),
                ("/forms/post", "text/html", b'action="/post"'),
                ("/image/png", "image/png", b"\x89PNG\r\n"),
                ("/image/jpeg", "image/jpeg", b"\xff\xd8\xff"),
                ("/image/webp", "image/webp", b"WEBP"),
                ("/image/svg", "image/svg+xml", b"<svg"),
            ):
                response, body = await fetch(client, path)
                assert (response.status, response.content_type) == (200, kind)
                assert piece in body
            for accept, kind in (
                ("image/jpeg", "image/jpeg"),
                ("image/webp,image/png;q=0.5", "image/webp"),
                ("image/avif,image/svg+xml,*/*;q=0.8", "image/svg+xml"),
                ("image/*", "image/png"),
                ("*/*", "image/png"),
                ("image/webp;q=0.1, image/jpeg;q=0.2", "image/jpeg"),
            ):
                assert (await fetch(client, "/image", headers={"Accept": accept}))[0].content_type == kind, accept
            assert (await fetch(client, "/image", headers={"Accept": "text/html"}))[0].status == 406

    run(go())


def test_bytes_streams_and_links(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (_, client):
            chance = random.Random(5)
            expected = bytes(chance.randint(0, 255) for _ in range(2000))
            assert (await fetch(client, "/bytes/2000?seed=5"))[1] == expected
            response, body = await fetch(client, "/stream-bytes/2000?seed=5&chunk_size=7")
            assert (body, response.headers["Transfer-Encoding"]) == (expected, "chunked")
            assert len((await fetch(client, "/bytes/999999999"))[1]) == BYTES_LIMIT
            assert (await fetch(client, "/bytes/0"))[1] == b""
            _, body = await fetch(client, "/stream/5")
            assert [json.loads(line)["id"] for line in body.splitlines()] == [0, 1, 2, 3, 4]
            assert len((await fetch(client, "/stream/1000"))[1].splitlines()) == 100
            assert uuid.UUID((await fetch_json(client, "/uuid"))["uuid"]).version == 4
            assert (await fetch(client, "/base64/UG9ydHlhcmQ"))[1] == b"Portyard"
            assert (await fetch(client, "/base64/_w=="))[1] == b"\xff"
            response, _ = await fetch(client, "/links/3")
            assert response.headers["Location"] == "/links/3/0"
            assert (await fetch(client, "/links/3/1"))[1].count(b"<a ") == 2
            for wrong in (
                "/bytes/-1",
                "/bytes/x",
                "/base64/!!!",
                "/bytes/9?seed=x",
                "/stream-bytes/9?chunk_size=x",
                "/links/x/0",
            ):
                assert (await fetch(client, wrong))[0].status == 400, wrong

    run(go())


def test_ranges(tmp_path: Path) -> None:
    letters = (b"abcdefghijklmnopqrstuvwxyz" * 4)[:100]

    async def go() -> None:
        async with room(tmp_path) as (_, client):
            response, body = await fetch(client, "/range/100?chunk_size=9")
            assert (response.status, body, response.headers["ETag"]) == (200, letters, '"range100"')
            for field, piece, shown in (
                ("bytes=0-0", letters[:1], "bytes 0-0/100"),
                ("bytes=30-", letters[30:], "bytes 30-99/100"),
                ("bytes=-5", letters[-5:], "bytes 95-99/100"),
                ("bytes=90-1000", letters[90:], "bytes 90-99/100"),
            ):
                response, body = await fetch(client, "/range/100", headers={"Range": field})
                assert (response.status, body, response.headers["Content-Range"]) == (206, piece, shown)
            response, _ = await fetch(client, "/range/100", headers={"Range": "bytes=100-"})
            assert (response.status, response.headers["Content-Range"]) == (416, "bytes */100")
            for ignored in ("lines=1-2", "bytes=5-2", "bytes=x"):
                assert (await fetch(client, "/range/100", headers={"Range": ignored}))[0].status == 200
            stale = {"Range": "bytes=0-1", "If-Range": '"other"'}
            assert (await fetch(client, "/range/100", headers=stale))[0].status == 200
            assert (await fetch(client, "/range/0"))[0].status == 404
            assert (await fetch(client, f"/range/{BYTES_LIMIT + 1}"))[0].status == 404

    run(go())


def test_delays_and_drips(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (_, client):
            begun = time.monotonic()
            assert (await fetch_json(client, "/delay/0.2", "POST", data="x=1", headers=FORM))["form"] == {"x": "1"}
            assert time.monotonic() - begun >= 0.2
            begun = time.monotonic()
            response, body = await fetch(client, "/drip?numbytes=5&duration=0.2&delay=0.1&code=202")
            assert (response.status, body, response.headers["Content-Length"]) == (202, b"*****", "5")
            assert time.monotonic() - begun >= 0.25
            assert len((await fetch(client, "/drip?numbytes=200000&duration=0"))[1]) == 200_000
            assert (await fetch(client, "/drip?code=204&duration=0"))[0].status == 204
            delays = ["/delay/x", "/delay/-1", "/delay/nan"]
            for wrong in [*delays, "/drip?numbytes=0", "/drip?duration=-1", "/drip?code=100", "/drip?code=700"]:
                assert (await fetch(client, wrong))[0].status == 400, wrong

    run(go())


def test_caching(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (_, client):
            response, _ = await fetch(client, "/cache")
            assert response.headers["Last-Modified"] == "Wed, 02 Jan 2030 03:04:05 GMT"
            assert response.headers["ETag"].startswith('"')
            for condition in ({"If-None-Match": "x"}, {"If-Modified-Since": "x"}):
                assert (await fetch(client, "/cache", headers=condition))[0].status == 304
            assert (await fetch(client, "/cache/60"))[0].headers["Cache-Control"] == "public, max-age=60"
            for field, value, status in (
                ("If-None-Match", '"tag"', 304),
                ("If-None-Match", 'W/"tag"', 304),
                ("If-None-Match", '"a", "tag"', 304),
                ("If-None-Match", "tag", 304),
                ("If-None-Match", "*", 304),
                ("If-None-Match", '"other"', 200),
                ("If-Match", '"tag"', 200),
                ("If-Match", "*", 200),
                ("If-Match", '"other"', 412),
                ("If-Match", 'W/"tag"', 412),
            ):
                response, _ = await fetch(client, "/etag/tag", headers={field: value})
                assert (response.status, response.headers["ETag"]) == (status, '"tag"'), (field, value)

    run(go())


def test_response_headers(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (_, client):
            for method in ("GET", "POST"):
                response, body = await fetch(client, "/response-headers?X-A=1&X-A=2&Content-Type=text/plain", method)
                assert response.headers.getall("X-A") == ["1", "2"]
                assert response.headers.getall("Content-Type") == ["text/plain"]
                shown = json.loads(body)
                assert shown["X-A"] == ["1", "2"]
                assert shown["Content-Length"] == str(len(body)) == response.headers["Content-Length"]
            for wrong in ("Content-Length=5", "transfer-encoding=chunked", "X-A=a%0d%0ab", "a%20b=1", "=1"):
                assert (await fetch(client, f"/response-headers?{wrong}"))[0].status == 400, wrong

    run(go())
