"""An account's files over HTTP: reading, writing, refusing, and never half of anything."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from portyard.commons.settings import Limits
from tests.support.asyncio_tests import LOOPS, run
from tests.support.hosted import Served
from tests.support.http import exchange, room

ALICE = aiohttp.encode_basic_auth("alice", "alice-secret")
CREDENTIALS = f"Authorization: {ALICE}\r\n"


async def ask(
    client: aiohttp.ClientSession, method: str, path: str, *, auth: str | None = ALICE, **more: Any
) -> tuple[aiohttp.ClientResponse, bytes]:
    headers = more.pop("headers", {}) | ({"Authorization": auth} if auth else {})
    url = aiohttp.client.URL(f"/files/{path}", encoded=True)
    async with client.request(method, url, allow_redirects=False, headers=headers, **more) as response:
        return response, await response.read()


def read(place: Served, path: str) -> bytes:
    with root(place).open(path) as file:
        return bytes(file.read())


def root(place: Served) -> Any:
    return place.yard.files.root(place.yard.accounts.known[0])  # type: ignore[attr-defined]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_files_life(tmp_path: Path, loop: str) -> None:
    async def go() -> None:
        async with room(tmp_path) as (place, client):
            created, _ = await ask(client, "PUT", "alice/a/b%20c/d%C3%A9.txt", data=b"one")
            assert (created.status, created.headers["Location"]) == (201, "/files/alice/a/b%20c/d%C3%A9.txt")
            got, body = await ask(client, "GET", "alice/a/b%20c/d%C3%A9.txt")
            assert (got.status, body, got.content_type) == (200, b"one", "text/plain")
            assert got.headers["ETag"] == created.headers["ETag"]
            replaced, _ = await ask(client, "PUT", "alice@portyard.test/a/b%20c/d%C3%A9.txt", data=b"two!")
            assert replaced.status == 204
            assert replaced.headers["ETag"] != created.headers["ETag"]
            head, body = await ask(client, "HEAD", "alice/a/b%20c/d%C3%A9.txt")
            assert (head.status, body, head.headers["Content-Length"]) == (200, b"", "4")
            assert read(place, "/a/b c/dé.txt") == b"two!"
            assert (await ask(client, "DELETE", "alice/a/b%20c"))[0].status == 409
            assert (await ask(client, "DELETE", "alice/a/b%20c/d%C3%A9.txt"))[0].status == 204
            assert (await ask(client, "GET", "alice/a/b%20c/d%C3%A9.txt"))[0].status == 404
            assert (await ask(client, "DELETE", "alice/a/b%20c/"))[0].status == 204
            assert (await ask(client, "DELETE", "alice/"))[0].status == 403
            directions = [
                fields["direction"] for log in place.logs for kind, fields in log.events if kind == "transfer"
            ]
            assert directions == ["in", "out", "in", "out"]
            assert [kind for log in place.logs for kind, _ in log.events].count("auth") == len(place.logs)

    run(go(), loop)


def test_who_may(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (_, client):
            for auth in (None, aiohttp.encode_basic_auth("alice", "wrong"), aiohttp.encode_basic_auth("nobody", "x")):
                refused, _ = await ask(client, "GET", "alice/", auth=auth)
                assert refused.status == 401
                assert refused.headers["WWW-Authenticate"].startswith("Basic realm=")
            assert (
                await ask(
                    client, "GET", "alice/", auth=aiohttp.encode_basic_auth("alice@portyard.test", "alice-secret")
                )
            )[0].status == 200
            for path in ("bob/", "bob/x", "%2e%2e/bob/x", ""):
                assert (await ask(client, "GET", path))[0].status == 403, path
            for method in ("POST", "PATCH"):
                refused, _ = await ask(client, method, "alice/x")
                assert (refused.status, refused.headers["Allow"]) == (405, "DELETE, GET, HEAD, OPTIONS, PUT")

    run(go())


def test_nothing_climbs_out(tmp_path: Path) -> None:
    async def go() -> None:
        secret = tmp_path / "secret.txt"
        secret.write_text("outside")
        (tmp_path / "files").mkdir()
        async with room(tmp_path / "files") as (place, client):
            root(place).symlink(str(secret), "/link")
            for path in (
                "../../secret.txt",
                "%2e%2e/%2e%2e/secret.txt",
                "..%2f..%2fsecret.txt",
                "link",
                "a/../../../secret.txt",
            ):
                answer = await exchange(
                    place,
                    f"GET /files/alice/{path} HTTP/1.1\r\nHost: y\r\n{CREDENTIALS}Connection: close\r\n\r\n".encode(),
                )
                assert answer.split()[1] in (b"404", b"400"), (path, answer)
                assert b"outside" not in answer
            for wrong in ("alice/a%2Fb", "alice/%00"):
                assert (await ask(client, "PUT", wrong, data=b"x"))[0].status == 400
            head = f"PUT /files/alice/../alice/x HTTP/1.1\r\nHost: y\r\n{CREDENTIALS}Content-Length: 1\r\nConnection: close\r\n\r\n1"
            assert (await exchange(place, head.encode())).split()[1] == b"201"
            assert read(place, "/alice/x") == b"1"

    run(go())


async def hold_conditions(client: aiohttp.ClientSession, tag: str, modified: str) -> None:
    """What is asked of big.bin on a condition, while it has this tag and this date."""
    for method, headers, status in (
        ("GET", {"If-None-Match": tag}, 304),
        ("HEAD", {"If-Modified-Since": modified}, 304),
        ("GET", {"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 200),
        ("GET", {"If-Match": '"other"'}, 412),
        ("GET", {"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 412),
        ("GET", {"Range": "bytes=0-1", "If-Range": '"other"'}, 200),
        ("GET", {"Range": "bytes=0-1", "If-Range": modified}, 206),
        ("PUT", {"If-Match": '"other"'}, 412),
        ("PUT", {"If-None-Match": "*"}, 412),
        ("PUT", {"Content-Range": "bytes 0-1/2"}, 400),
        ("PUT", {"Content-Encoding": "compress"}, 415),
        ("DELETE", {"If-Match": '"other"'}, 412),
        ("PUT", {"If-Match": tag}, 204),
    ):
        answer, _ = await ask(client, method, "alice/big.bin", headers=headers)
        assert answer.status == status, (method, headers)
    assert (await ask(client, "PUT", "alice/new", headers={"If-Match": "*"}))[0].status == 412
    assert (await ask(client, "PUT", "alice/new", headers={"If-None-Match": "*"}))[0].status == 201


def test_ranges_and_conditions(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (_, client):
            octets = bytes(range(256)) * 4096
            tag = (await ask(client, "PUT", "alice/big.bin", data=octets))[0].headers["ETag"]
            whole, body = await ask(client, "GET", "alice/big.bin")
            assert body == octets
            for field, expected in (
                ("bytes=5-9", octets[5:10]),
                ("bytes=-3", octets[-3:]),
                ("bytes=1000000-", octets[1000000:]),
            ):
                part, body = await ask(client, "GET", "alice/big.bin", headers={"Range": field, "If-Range": tag})
                assert (part.status, body) == (206, expected)
            parts, body = await ask(client, "GET", "alice/big.bin", headers={"Range": "bytes=0-1,10-12"})
            assert parts.status == 206
            reader = aiohttp.MultipartReader(parts.headers, stream_of(body))
            pieces = [(part.headers["Content-Range"], bytes(await part.read())) async for part in reader]  # type: ignore[union-attr]
            assert pieces == [("bytes 0-1/1048576", b"\0\1"), ("bytes 10-12/1048576", b"\n\v\f")]
            beyond, _ = await ask(client, "GET", "alice/big.bin", headers={"Range": "bytes=1048576-"})
            assert (beyond.status, beyond.headers["Content-Range"]) == (416, "bytes */1048576")
            await hold_conditions(client, tag, whole.headers["Last-Modified"])

    run(go())


def stream_of(octets: bytes) -> aiohttp.StreamReader:
    class Flow:
        _reading_paused = False

        def pause_reading(self) -> None: ...
        def resume_reading(self, resume_parser: bool = True) -> None: ...

    stream = aiohttp.StreamReader(Flow(), 1 << 20, loop=asyncio.get_running_loop())  # type: ignore[arg-type]
    stream.feed_data(octets)
    stream.feed_eof()
    return stream


def test_folders(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (place, client):
            for path in ("alice/d/<b>.txt", "alice/d/sub/x", "alice/d/a:b"):
                await ask(client, "PUT", path.replace("<", "%3C").replace(">", "%3E"), data=b"12345")
            moved, _ = await ask(client, "GET", "alice/d")
            assert (moved.status, moved.headers["Location"]) == (301, "/files/alice/d/")
            _, page = await ask(client, "GET", "alice/d/")
            assert b"&lt;b&gt;.txt" in page
            assert b"<b>" not in page
            assert b'href="./a%3Ab"' in page
            listing, _ = await ask(client, "GET", "alice/d/", headers={"Accept": "application/json"})
            entries = await listing.json()
            assert [(entry["name"], entry["type"], entry["size"]) for entry in entries] == [
                ("<b>.txt", "file", 5),
                ("a:b", "file", 5),
                ("sub", "folder", 0),
            ]
            assert (await ask(client, "GET", "alice/d/", headers={"Accept": "image/png"}))[0].status == 406
            assert (await ask(client, "PUT", "alice/d", data=b""))[0].status == 409
            assert (await ask(client, "PUT", "alice/d/", data=b""))[0].status == 409
            assert (await ask(client, "PUT", "alice/d/a:b/c", data=b""))[0].status == 409
            assert (await ask(client, "GET", "alice/d/a:b/"))[0].status == 404
            assert (await ask(client, "GET", "alice/d/a:b/c"))[0].status == 404
            assert (await ask(client, "PUT", "alice/" + "n" * 300, data=b""))[0].status == 400
            coded = {"data": gzip.compress(b"z"), "headers": {"Content-Encoding": "gzip"}}
            assert (await ask(client, "PUT", "alice/z.txt", **coded))[0].status == 201
            assert read(place, "/z.txt") == b"z"

    run(go())


def test_an_upload_that_breaks_off_leaves_the_old_file(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (place, client):
            await ask(client, "PUT", "alice/keep", data=b"old")
            for framing in ("Content-Length: 100", "Transfer-Encoding: chunked"):
                piece = b"5\r\nhello\r\n" if "chunked" in framing else b"hello"
                head = f"PUT /files/alice/keep HTTP/1.1\r\nHost: y\r\n{CREDENTIALS}{framing}\r\n\r\n".encode()
                _, writer = await asyncio.open_connection("127.0.0.1", place.port)
                writer.write(head + piece)
                await writer.drain()
                writer.close()
                await writer.wait_closed()
                await place.logs[-1].closed.wait()
                assert read(place, "/keep") == b"old"
            broken = await exchange(place, head + b"zz\r\nhello")
            assert b" 400 " in broken[:20]
            assert read(place, "/keep") == b"old"
            assert root(place).list("/") == ["keep"]

    run(go())


def test_media_types(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (_, client):
            for name, kind in (
                ("a.png", "image/png"),
                ("a.tar.gz", "application/gzip"),
                ("a", "application/octet-stream"),
            ):
                await ask(client, "PUT", f"alice/{name}", data=b"x")
                assert (await ask(client, "GET", f"alice/{name}"))[0].content_type == kind

    run(go())


def test_the_upload_limit(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path, Limits(upload=2048)) as (place, client):
            assert (await ask(client, "PUT", "alice/fits", data=bytes(2048)))[0].status == 201
            assert (await ask(client, "PUT", "alice/long", data=bytes(2049)))[0].status == 413

            async def pieces() -> Any:
                for _ in range(30):
                    yield bytes(100)

            assert (await ask(client, "PUT", "alice/chunked", data=pieces()))[0].status == 413
            assert root(place).list("/") == ["fits"]

    run(go())


def test_a_refused_upload_needs_no_body(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path, Limits(upload=2048)) as (place, _):
            for path, fields, status in (
                ("alice/x", "", b"401"),
                ("bob/x", CREDENTIALS, b"403"),
                ("alice/x", f"{CREDENTIALS}Content-Length: 9999\r\n", b"413"),
                ("alice/x", f"{CREDENTIALS}If-Match: *\r\nContent-Length: 1\r\n", b"412"),
                ("alice/x", f"{CREDENTIALS}Expect: magic\r\n", b"417"),
            ):
                expect = "" if "Expect" in fields else "Expect: 100-continue\r\n"
                reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
                writer.write(f"PUT /files/{path} HTTP/1.1\r\nHost: y\r\n{expect}{fields}\r\n".encode())
                assert (await reader.readline()).split()[1] == status
                writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
            head = f"PUT /files/alice/x HTTP/1.1\r\nHost: y\r\nExpect: 100-continue\r\n{CREDENTIALS}Content-Length: 2\r\n\r\n"
            writer.write(head.encode())
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"hi")
            assert (await reader.readline()).startswith(b"HTTP/1.1 201 ")
            writer.close()
            assert read(place, "/x") == b"hi"

    run(go())
