"""Whole errands by stock clients against the HTTP room as it is served: curl and requests, plain and over TLS."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import requests
from requests.auth import HTTPBasicAuth, HTTPDigestAuth

from portyard.http.card import CARD
from tests.support.asyncio_tests import run
from tests.support.yard import Served, open_yard, serve

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
SECRET = "alice-secret"
LIMIT_S = 60


@contextlib.asynccontextmanager
async def room(folder: Path) -> AsyncIterator[Served]:
    async with open_yard(folder) as yard, serve(yard, CARD) as place:
        yield place


async def curl(place: Served, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--cacert", place.ca_file, "--max-time", str(LIMIT_S), *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.mark.client
@needs_curl
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_curl(tmp_path: Path, scheme: str) -> None:
    async def go() -> None:
        async with room(tmp_path / "state") as place:
            base = f"{scheme}://localhost:{place.port(scheme)}"
            seen = json.loads(await curl(place, "--ipv4", f"{base}/get?a=1"))
            assert seen["url"] == f"{base}/get?a=1"
            assert "418" in await curl(place, "--ipv4", "-o", os.devnull, "-w", "%{http_code}", f"{base}/status/418")
            assert json.loads(await curl(place, "--ipv4", "-L", f"{base}/redirect/3"))["url"] == f"{base}/get"
            assert json.loads(await curl(place, "--ipv4", "--compressed", f"{base}/gzip"))["gzipped"] is True
            jar = str(tmp_path / "jar")
            cookies = await curl(place, "--ipv4", "-L", "-c", jar, "-b", jar, f"{base}/cookies/set/k/v")
            assert json.loads(cookies)["cookies"] == {"k": "v"}
            digest = await curl(place, "--ipv4", "--digest", "-u", "u:p", f"{base}/digest-auth/auth/u/p/SHA-256")
            assert json.loads(digest)["authenticated"] is True

            up, down = tmp_path / "up.bin", tmp_path / "down.bin"
            up.write_bytes(os.urandom(3_000_000))
            login = ["--ipv4", "-u", f"alice:{SECRET}"]
            await curl(place, *login, "-f", "-T", str(up), f"{base}/files/alice/a/b/up.bin")
            await curl(place, *login, "-f", "-r", "0-999999", "-o", str(down), f"{base}/files/alice/a/b/up.bin")
            await curl(place, *login, "-f", "-C", "-", "-o", str(down), f"{base}/files/alice/a/b/up.bin")
            assert digest_of(down) == digest_of(up)
            head = await curl(place, *login, "-I", f"{base}/files/alice/a/b/up.bin")
            assert "Content-Length: 3000000" in head
            await curl(place, *login, "-f", "-X", "DELETE", f"{base}/files/alice/a/b/up.bin")
            assert "404" in await curl(place, *login, "-w", "%{http_code}", f"{base}/files/alice/a/b/up.bin")

    run(go())


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_requests(tmp_path: Path, scheme: str) -> None:
    def errand(base: str, ca_file: str) -> None:
        with requests.Session() as session:
            session.verify = ca_file
            session.trust_env = False
            assert session.get(f"{base}/get", params={"a": ["1", "2"]}, timeout=LIMIT_S).json()["args"] == {
                "a": ["1", "2"]
            }
            posted = session.post(
                f"{base}/post", files={"f": ("n", b"\xff\0")}, data={"x": "y"}, timeout=LIMIT_S
            ).json()
            assert posted["files"]["f"].startswith("data:application/octet-stream;base64,")
            assert posted["form"] == {"x": "y"}
            streamed = session.post(f"{base}/post", data=iter([b"a", b"bc"]), timeout=LIMIT_S).json()
            assert streamed["data"] == "abc"
            assert session.get(f"{base}/cookies/set/k/v", timeout=LIMIT_S).json() == {"cookies": {"k": "v"}}
            session.auth = HTTPDigestAuth("u", "p")
            for _ in range(3):
                assert session.get(f"{base}/digest-auth/auth/u/p/MD5/2", timeout=LIMIT_S).status_code == 200
            session.auth = HTTPBasicAuth("bob@portyard.test", "bob-secret")
            url = f"{base}/files/bob/n\u00f6te.txt"
            assert session.put(url, data=b"one", timeout=LIMIT_S).status_code == 201
            assert session.get(url, timeout=LIMIT_S).content == b"one"
            listing = session.get(f"{base}/files/bob/", headers={"Accept": "application/json"}, timeout=LIMIT_S).json()
            assert [entry["name"] for entry in listing] == ["n\u00f6te.txt"]
            assert session.get(f"{base}/files/alice/", timeout=LIMIT_S).status_code == 403

    async def go() -> None:
        async with room(tmp_path) as place:
            await asyncio.to_thread(errand, f"{scheme}://127.0.0.1:{place.port(scheme)}", place.ca_file)
            await place.yard.journal.flush()
            session, *_ = await place.yard.journal.sessions("default", room="http")
            events = await place.yard.journal.events(session.id)
            texts = [str(event.fields.get("text")) for event in events if event.kind in ("command", "reply")]
            assert "GET /get?a=1&a=2 HTTP/1.1" in texts
            assert session.account == "bob@portyard.test"
            assert "bob-secret" not in str(events)

    run(go())
