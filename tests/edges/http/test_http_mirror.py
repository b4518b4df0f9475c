"""The mirror: each endpoint that says back what a client sent, as the client meets it, and what holds for every route."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from pathlib import Path

import aiohttp
import brotli
import pytest

from portyard.http.edge import GROUPS
from portyard.http.routes.common import BODY_LIMIT
from tests.support.asyncio_tests import LOOPS, run
from tests.support.http import exchange, fetch, fetch_json, room

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize("path", ["get", "anything/\xff"])
def test_octets_in_a_target_that_should_have_been_encoded(tmp_path: Path, path: str) -> None:
    async def go() -> None:
        async with room(tmp_path) as (place, _):
            asked = f"GET /{path}?a=\xff&\xe9=1&\xc3\xa9=2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            answer = await exchange(place, asked.encode("latin-1"))
            assert answer.startswith(b"HTTP/1.1 200 ")
            seen = json.loads(answer.partition(b"\r\n\r\n")[2])
            assert seen["args"] == {"a": "\N{REPLACEMENT CHARACTER}", "\N{REPLACEMENT CHARACTER}": "1", "é": "2"}
            assert seen["url"] == f"http://x/{path}?a=%FF&%E9=1&é=2".replace("\xff", "%FF")

    run(go())


@pytest.mark.parametrize("loop", LOOPS)
def test_get(tmp_path: Path, loop: str) -> None:
    async def go() -> None:
        async with room(tmp_path) as (place, client):
            url = aiohttp.client.URL("/get?a=1&b=&a=2&%C3%A9=%20x&bad=%FF", encoded=True)
            headers = {"x-lower-case": "yes", "X-Request-Id": "7", "X-Forwarded-For": "10.1.2.3"}
            seen = await fetch_json(client, url, headers=headers)
            assert seen["args"] == {"a": ["1", "2"], "b": "", "é": " x", "bad": "\N{REPLACEMENT CHARACTER}"}
            assert seen["url"] == f"{place.url}/get?a=1&b=&a=2&%C3%A9=%20x&bad=%FF"
            assert seen["origin"] == "10.1.2.3"
            assert seen["headers"]["X-Lower-Case"] == "yes"
            assert "X-Request-Id" not in seen["headers"]
            assert set(seen) == {"args", "headers", "origin", "url"}
            shown = await fetch_json(client, "/get?show_env=1", headers=headers)
            assert shown["headers"]["X-Request-Id"] == "7"
            proxied = await fetch_json(client, "/get", headers={"X-Forwarded-Proto": "https"})
            assert proxied["url"].startswith("https://127.0.0.1:")

    run(go(), loop)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_bodies(tmp_path: Path, method: str) -> None:
    async def go() -> None:
        async with room(tmp_path) as (_, client):
            path = f"/{method.lower()}"
            seen = await fetch_json(client, path, method, data="x=1&y=2&x=3", headers=FORM)
            assert (seen["form"], seen["data"], seen["json"]) == ({"x": ["1", "3"], "y": "2"}, "", None)
            seen = await fetch_json(client, path, method, json={"n": [1, "ü"]})
            assert (seen["json"], seen["data"], seen["form"]) == ({"n": [1, "ü"]}, '{"n": [1, "\\u00fc"]}', {})
            seen = await fetch_json(client, path, method, data=b"\xff\0")
            assert seen["data"] == "data:application/octet-stream;base64,/wA="
            form = aiohttp.FormData({"a": "b"})
            form.add_field("f", b"text", filename="f.txt", content_type="text/plain")
            form.add_field("f", b"\x89PNG\xff", filename="f.png", content_type="image/png")
            seen = await fetch_json(client, path, method, data=form)
            assert seen["form"] == {"a": "b"}
            assert seen["files"] == {"f": ["text", "data:image/png;base64,iVBOR/8="]}
            for coding, coded in (
                ("gzip", gzip.compress(b"{}")),
                ("deflate", zlib.compress(b"{}")),
                ("br", brotli.compress(b"{}")),
            ):
                seen = await fetch_json(client, path, method, data=coded, headers={"Content-Encoding": coding})
                assert (seen["data"], seen["json"]) == ("{}", {}), coding

    run(go())


def test_anything(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (place, client):
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
                seen = await fetch_json(client, "/anything/a%2Fb/c?x=1", method)
                assert (seen["method"], seen["url"]) == (method, f"{place.url}/anything/a%2Fb/c?x=1")
            assert b'"method": "TRACE"' in await exchange(
                place, b"TRACE /anything HTTP/1.1\r\nHost: y\r\nConnection: close\r\n\r\n"
            )
            assert (await fetch_json(client, "/ip"))["origin"] == "127.0.0.1"
            assert await fetch_json(client, "/user-agent", headers={"User-Agent": "me/1"}) == {"user-agent": "me/1"}
            assert (await fetch_json(client, "/headers", headers={"X-A": "1"}))["headers"]["X-A"] == "1"

    run(go())


def test_every_route_is_listed_and_answers_head_and_options(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (_, client):
            _, page = await fetch(client, "/")
            spec = await fetch_json(client, "/spec.json")
            for group in GROUPS:
                for route in group.routes:
                    plain = route.path.replace(":.*", "")
                    assert plain.encode() in page
                    assert {method.lower() for method in route.methods} <= set(spec["paths"][plain])
                    path = plain.replace("{seconds}", "0")
                    for name in ("n", "codes", "offset"):
                        path = path.replace(f"{{{name}}}", "200")
                    response, body = await fetch(client, path, "OPTIONS")
                    assert response.status == 200, path
                    assert set(route.methods) <= set(response.headers["Allow"].split(", "))
                    if "GET" in route.methods:
                        response, body = await fetch(client, path, "HEAD")
                        assert body == b""
                        assert response.status != 405

    run(go())


def test_head_says_what_get_says(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (_, client):
            for path in ("/get", "/range/50", "/stream/2", "/image/png", "/drip?duration=0", "/status/503"):
                got, _ = await fetch(client, path)
                head, body = await fetch(client, path, "HEAD")
                assert (head.status, body) == (got.status, b"")
                assert head.headers.get("Content-Length") in (got.headers.get("Content-Length"), None)
                assert head.content_type == got.content_type

    run(go())


def test_cross_origin(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (_, client):
            response, _ = await fetch(client, "/status/404", headers={"Origin": "https://a.test"})
            assert response.headers["Access-Control-Allow-Origin"] == "https://a.test"
            assert (await fetch(client, "/nowhere"))[0].headers["Access-Control-Allow-Origin"] == "*"
            asked = {"Access-Control-Request-Headers": "X-A, X-B", "Access-Control-Request-Method": "PUT"}
            response, _ = await fetch(client, "/put", "OPTIONS", headers=asked)
            assert response.headers["Access-Control-Allow-Headers"] == "X-A, X-B"
            assert "PUT" in response.headers["Access-Control-Allow-Methods"]
            assert (await fetch(client, "/post"))[0].headers["Allow"] == "OPTIONS, POST"

    run(go())


def test_body_limits(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (_, client):
            response, _ = await fetch(client, "/post", "POST", data=io.BytesIO(bytes(BODY_LIMIT + 1)))
            assert response.status == 413
            bomb = gzip.compress(bytes(BODY_LIMIT + 1))
            response, _ = await fetch(client, "/post", "POST", data=bomb, headers={"Content-Encoding": "gzip"})
            assert response.status == 413
            response, _ = await fetch(client, "/post", "POST", data=b"not gzip", headers={"Content-Encoding": "gzip"})
            assert response.status == 400
            response, _ = await fetch(
                client,
                "/post",
                "POST",
                data=b"--x\r\nbroken",
                headers={"Content-Type": "multipart/form-data; boundary=x"},
            )
            assert response.status == 400

    run(go())
