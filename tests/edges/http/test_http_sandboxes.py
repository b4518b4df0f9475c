"""Which sandbox a request is in, by each means and in their order, and that sandboxes don't meet."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import requests

from portyard.commons.naming import FIELD, domains_of, split_prefix
from portyard.http.card import CARD
from tests.support.asyncio_tests import run
from tests.support.hosted import Ruled, ruled_room
from tests.support.http import exchange


@pytest.mark.parametrize(
    ("host", "domains"),
    [
        ("t1.test", ("t1.test",)),
        ("Mail.T1.test:3080", ("mail.t1.test", "t1.test")),
        ("a.b.t1.test.", ("a.b.t1.test", "b.t1.test", "t1.test")),
        ("localhost:3080", ()),
        ("127.0.0.1:3080", ()),
        ("[::1]:3080", ()),
        ("a..test", ()),
        ("", ()),
    ],
)
def test_domains_of_a_host(host: str, domains: tuple[str, ...]) -> None:
    assert domains_of(host) == domains


@pytest.mark.parametrize(
    ("target", "split"),
    [
        ("/get", ("/get", "")),
        ("/~t1/get?a=/~t2/", ("/get?a=/~t2/", "/~t1")),
        ("/~t1/", ("/", "/~t1")),
        ("/~t1", ("/", "/~t1")),
        ("/~t1?a=b", ("/?a=b", "/~t1")),
        ("/~t1//x", ("//x", "/~t1")),
        ("/%7Et1/get", ("/get", "/%7Et1")),
        ("/%7et1", ("/", "/%7et1")),
        ("/%7F/get", ("/%7F/get", "")),
        ("*", ("*", "")),
    ],
)
def test_a_prefix_of_a_target(target: str, split: tuple[str, str]) -> None:
    assert split_prefix(target) == split


@asynccontextmanager
async def two_sandboxes(folder: Path) -> AsyncIterator[Ruled]:
    """`t1` and `t2`, where every GET is answered with the sandbox's name."""
    async with ruled_room(folder, CARD) as place:
        yard = place.place.yard
        for name in ("t1", "t2"):
            await yard.sandboxes.create(name, domains=(f"{name}.example",))
            await yard.accounts.create(name, f"u@{name}.test", "pw")
            await place.rule("http.request", {"respond": name}, sandbox=name, where={"method": "GET"})
        yield place


BASIC = {"Authorization": aiohttp.encode_basic_auth("u@t2.test", "pw")}


@pytest.mark.parametrize(
    ("path", "headers", "sandbox"),
    [
        ("/get", {}, ""),
        ("/get", {"Host": "t1.test"}, "t1"),
        ("/get", {"Host": "anything.T1.test:3080"}, "t1"),
        ("/get", {"Host": "www.t1.example"}, "t1"),
        ("/get", {"Host": "t9.test"}, ""),
        ("/get", {FIELD: "t1"}, "t1"),
        ("/get", {FIELD: "T1 "}, "t1"),
        ("/~t1/get", {}, "t1"),
        ("/~T1/get", {}, "t1"),
        ("/%7Et1/get", {}, "t1"),
        ("/%7et1/get", {}, "t1"),
        ("/~t1/get", {"Host": "t2.test"}, "t1"),
        ("/~t1/get", {FIELD: "t2"}, "t2"),
        ("/get", {"Host": "t1.test", FIELD: "t2"}, "t2"),
        ("/get", {"Host": "t1.test", FIELD: "default"}, ""),
        ("/~default/get", {"Host": "t1.test"}, ""),
        ("/files/u/", BASIC, "t2"),
        ("/files/u/", {"Host": "t1.test", **BASIC}, "t2"),
        ("/files/u/", {FIELD: "t1", **BASIC}, "t1"),
        ("/basic-auth/u/pw", {**BASIC}, ""),
    ],
)
def test_the_sandbox_of_a_request(tmp_path: Path, path: str, headers: dict[str, str], sandbox: str) -> None:
    async def go() -> None:
        async with two_sandboxes(tmp_path) as place:
            head = "".join(f"{name}: {value}\r\n" for name, value in ({"Host": "127.0.0.1"} | headers).items())
            octets = f"GET {path} HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode()
            answer = await exchange(place, octets)
            body = answer.partition(b"\r\n\r\n")[2].decode()
            assert (body if body in ("t1", "t2") else "") == sandbox
            await place.place.yard.journal.flush()
            assert len(await place.place.yard.journal.sessions(sandbox or "default")) == 1

    run(go())


@pytest.mark.parametrize(
    ("path", "headers", "key"),
    [
        ("/get", {FIELD: "t9"}, FIELD),
        ("/~t9/get", {}, "path"),
        ("/%7Et9/get", {}, "path"),
        ("/get", {FIELD: ""}, FIELD),
    ],
)
def test_an_unknown_sandbox_is_a_problem(tmp_path: Path, path: str, headers: dict[str, str], key: str) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place, aiohttp.ClientSession() as client:
            answer = await client.get(place.url + path, headers=headers)
            assert (answer.status, answer.content_type) == (404, "application/problem+json")
            problem = await answer.json(content_type=None)
            assert (problem["status"], problem["key"], problem["allowed"]) == (404, key, "a sandbox that exists")
            assert problem["value"] == headers.get(FIELD, "t9")
            assert answer.headers["Access-Control-Allow-Origin"] == "*"

    run(go())


def test_the_sandbox_of_a_tls_connection(tmp_path: Path) -> None:
    async def go() -> None:
        async with two_sandboxes(tmp_path) as place:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            async with aiohttp.ClientSession() as client:
                url = f"https://127.0.0.1:{place.place.port('https')}/get"
                for name, sandbox in (("t1.test", "t1"), ("a.t2.test", "t2")):
                    answer = await client.get(url, ssl=context, server_hostname=name, headers={"Connection": "close"})
                    assert await answer.text() == sandbox
                named = await client.get(url, ssl=context, server_hostname="t1.test", headers={"Host": "t2.test"})
                assert await named.text() == "t2", "the request's own word comes first"

    run(go())


def test_a_connection_may_visit_several(tmp_path: Path) -> None:
    async def go() -> None:
        async with two_sandboxes(tmp_path) as place:
            ask = b"GET %b HTTP/1.1\r\nHost: a\r\n%b\r\n"
            octets = (
                ask % (b"/~t1/get", b"") + ask % (b"/~t2/get", b"") + ask % (b"/status/204", b"Connection: close\r\n")
            )
            answer = await exchange(place, octets)
            assert [piece in answer for piece in (b"\r\n\r\nt1HTTP", b"\r\n\r\nt2HTTP", b"HTTP/1.1 204 ")] == [True] * 3

    run(go())


def test_a_kept_connection_shows_each_sandbox_its_own_requests(tmp_path: Path) -> None:
    """As an HTTP client's pool does that several tests use."""

    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place, aiohttp.ClientSession(place.url) as client:
            yard = place.place.yard
            for name in ("t1", "t2"):
                await yard.sandboxes.create(name)
            for path in ("/~t1/get?1", "/~t2/get?2", "/~t9/get?3", "/~t1/get?4", "/get?5", "/~t1/get?6"):
                await (await client.get(path)).read()
            await yard.sandboxes.reset("t1")
            for path in ("/~t1/get?7", "/~t2/get?8"):
                await (await client.get(path)).read()
            await yard.journal.flush()
            seen = {}
            for name in ("t1", "t2", "default"):
                (session,) = await yard.journal.sessions(name, room="http")
                found = await yard.journal.events(session.id, 0, session.shown)
                seen[name] = [str(event.fields["text"]) for event in found if event.kind == "command"]
                assert [event.kind for event in found][:2] == ["opened", "command"]
                assert [event.kind for event in found].count("reply") == len(seen[name])
            asked = {name: "".join(line.partition("?")[2][0] for line in lines) for name, lines in seen.items()}
            assert asked == {"t1": "7", "t2": "28", "default": "35"}

    run(go())


def test_a_prefix_holds_along_redirects_links_and_digests(tmp_path: Path) -> None:
    def errand(url: str) -> None:
        with requests.Session() as client:
            arrived = client.get(f"{url}/~t1/redirect/3?x=1")
            assert arrived.url == f"{url}/~t1/get"
            assert arrived.json()["url"] == f"{url}/~t1/get"
            assert client.get(f"{url}/~t1/absolute-redirect/2").url == f"{url}/~t1/get"
            exact = client.get(f"{url}/~t1/redirect-to?url=/get", allow_redirects=False)
            assert exact.headers["Location"] == "/get", "who asks for a Location gets that one"
            assert 'href="/~t1/links/2/1"' in client.get(f"{url}/~t1/links/2/0").text
            assert 'href="/~t1/spec.json"' in client.get(f"{url}/~t1/").text
            auth = requests.auth.HTTPDigestAuth("u", "p")
            assert client.get(f"{url}/~t1/digest-auth/auth/u/p", auth=auth).status_code == 200
            assert client.get(f"{url}/~t1/get?a=b%20c").json()["args"] == {"a": "b c"}

    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            await place.place.yard.sandboxes.create("t1")
            await asyncio.to_thread(errand, place.url)

    run(go())


def test_cookies_stay_below_the_prefix_that_they_were_set_at(tmp_path: Path) -> None:
    def errand(url: str) -> None:
        with requests.Session() as client:
            assert client.get(f"{url}/~t1/cookies/set?a=1&b=2").json() == {"cookies": {"a": "1", "b": "2"}}
            led = client.get(f"{url}/~t1/cookies/set?a=1", allow_redirects=False)
            assert (led.headers["Location"], led.text) == ("/~t1/cookies", "The way goes on at /~t1/cookies\n")
            assert client.get(f"{url}/~t2/cookies/set/a/3").json() == {"cookies": {"a": "3"}}
            assert client.get(f"{url}/cookies").json() == {"cookies": {}}
            assert client.get(f"{url}/cookies/set/c/4").json() == {"cookies": {"c": "4"}}
            assert client.get(f"{url}/~t1/cookies/delete?a").json() == {"cookies": {"b": "2", "c": "4"}}
            assert client.get(f"{url}/~t2/cookies").json() == {"cookies": {"a": "3", "c": "4"}}
        with requests.Session() as client:
            auth = requests.auth.HTTPDigestAuth("u", "p")
            assert client.get(f"{url}/~t1/digest-auth/auth/u/p?require-cookie=1", auth=auth).status_code == 200
            assert {(cookie.name, cookie.path) for cookie in client.cookies} == {
                ("fake", "/~t1/"),
                ("stale_after", "/~t1/"),
            }

    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            for name in ("t1", "t2"):
                await place.place.yard.sandboxes.create(name)
            await asyncio.to_thread(errand, place.url)

    run(go())


def test_files_of_another_sandbox_are_unknown_in_this_one(tmp_path: Path) -> None:
    async def go() -> None:
        async with two_sandboxes(tmp_path) as place, aiohttp.ClientSession(place.url) as client:
            ask = {"Authorization": "Basic " + base64.b64encode(b"u@t2.test:pw").decode()}
            assert (await client.put("/files/u/a", data=b"x", headers=ask)).status == 201
            assert (await client.put("/files/u/a", data=b"x", headers={**ask, FIELD: "t1"})).status == 401
            made = await client.put("/~t2/files/u/b", data=b"x", headers=ask)
            assert (made.status, made.headers["Location"]) == (201, "/~t2/files/u/b")

    run(go())


def test_sandboxes_keep_their_rules_and_journals_apart(tmp_path: Path) -> None:
    async def go() -> None:
        async with two_sandboxes(tmp_path) as place, aiohttp.ClientSession(place.url) as client:
            await place.rule("http.request", {"refuse": "503"}, sandbox="t1", where={"method": "POST"})
            assert (await client.post("/~t1/post")).status == 503
            assert (await client.post("/~t2/post")).status == 200
            assert (await client.post("/post")).status == 200
            assert await place.hits("t1") == [0, 1]

    run(go())


def test_a_talk_shows_the_target_as_it_was_sent(tmp_path: Path) -> None:
    async def go() -> None:
        async with two_sandboxes(tmp_path) as place:
            await exchange(place, b"GET /~t1/get HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            events = await place.talk("t1")
            assert [fields["text"] for kind, fields in events if kind in ("command", "reply")] == [
                "GET /~t1/get HTTP/1.1",
                "HTTP/1.1 200 OK",
            ]

    run(go())
