"""What bad input gets: refused whole, by a problem that names key, value and what is allowed, and everything is as it was before."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlencode

import pytest

from portyard.console.problems import names_of
from portyard.console.routes import ROUTES
from portyard.console.shapes import Nothing
from tests.support.asyncio_tests import run
from tests.support.console import console
from tests.support.console_refusals import RULES, STANDING, furnished, whole_state


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "key"),
    [
        ("POST", "sandboxes", {"name": "t1"}, 409, "name"),
        ("POST", "sandboxes", {"name": "T1"}, 422, "name"),
        ("POST", "sandboxes", {"name": "a b"}, 422, "name"),
        ("POST", "sandboxes", {"name": "../x"}, 422, "name"),
        ("POST", "sandboxes", {"name": "x" * 64}, 422, "name"),
        ("POST", "sandboxes", {"name": 5}, 422, "name"),
        ("POST", "sandboxes", {}, 400, "name"),
        ("POST", "sandboxes", {"name": "x", "capture": "no"}, 422, "capture"),
        ("POST", "sandboxes", {"name": "t2", "domains": ["t1.test"]}, 409, "domains"),
        ("GET", "sandboxes/t1/messages/wait", None, 400, "timeout"),
        ("GET", "sandboxes/t1/messages/wait?timeout=inf", None, 422, "timeout"),
        ("GET", "sandboxes/t1/messages/wait?timeout=-1", None, 422, "timeout"),
        ("GET", "sandboxes/t1/messages/wait?timeout=1e9", None, 422, "timeout"),
        ("GET", "sandboxes/t1/messages/wait?timeout=1&count=-1", None, 422, "count"),
        ("GET", "sandboxes/t1/messages/wait?timeout=1&subject=/(/", None, 422, "subject"),
        ("GET", "sandboxes/t1/events/wait", None, 400, "timeout"),
        ("GET", "sandboxes/t1/events/wait?timeout=nan", None, 422, "timeout"),
        ("GET", "sandboxes/t1/events/wait?timeout=1&kin=fault", None, 400, "kin"),
        ("DELETE", "sandboxes/default", None, 409, "sandbox"),
        ("POST", "sandboxes/t1/accounts", {"name": "u1"}, 409, "name"),
        ("POST", "sandboxes/t1/accounts", {"name": "a b"}, 422, "name"),
        ("POST", "sandboxes/t1/accounts", {"name": "u3", "password": ""}, 422, "password"),
        ("POST", "sandboxes/t1/accounts", {"name": "u2", "public_keys": ["junk"]}, 422, "public_keys[0]"),
        ("POST", "sandboxes/nowhere/rules", STANDING, 404, "sandbox"),
        ("POST", RULES, STANDING, 409, "name"),
        ("PUT", "sandboxes", {}, 405, "method"),
        ("GET", "sandbox", None, 404, "path"),
    ],
)
def test_everything_else(tmp_path: Path, method: str, path: str, body: object, status: int, key: str) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            before = await furnished(client)
            problem = await client.problem(method, path, status, **({} if body is None else {"json": body}))
            assert problem["key"] == key
            assert problem["detail"]
            assert problem["allowed"]
            assert await whole_state(client) == before

    run(main())


# Every query parameter of every operation that can be malformed, with values that are.
QUERY_CASES = {
    "sandboxes/t1/sessions": {
        "room": ["telnet", ""],
        "limit": ["0", "1001", "many", ""],
        "before": ["nonsense", "", "0" * 23],
    },
    "sandboxes/t1/messages": {
        "limit": ["0", "1001", "1.5"],
        "cursor": ["nonsense", "", "5"],
        "to": ["/(/"],
        "from": ["/[/"],
        "subject": ["/*/"],
    },
    "sandboxes/t1/messages/export": {"to": ["/(/"], "from": ["/[/"], "subject": ["/*/"]},
    "sandboxes/t1/messages/wait?timeout=0": {
        "count": ["-1", "1001", "x"],
        "to": ["/(/"],
        "from": ["/[/"],
        "subject": ["/*/"],
    },
    "sandboxes/t1/events": {
        "room": ["telnet"],
        "kind": ["commands"],
        "session": ["nonsense", ""],
        "text": ["/(/"],
        "since": ["yesterday", "2030-01-02", "2030-01-02T03:04:05", "null", "NULL"],
        "limit": ["0", "10001"],
        "after": ["nonsense", "", "0.0"],
    },
    "sandboxes/t1/events.jsonl": {"room": ["telnet"], "kind": ["x"], "session": ["x"], "text": ["/(/"], "since": ["x"]},
    "sandboxes/t1/events/stream": {
        "room": ["telnet"],
        "kind": ["x"],
        "session": ["x"],
        "text": ["/(/"],
        "since": ["x", "null"],
    },
    "sandboxes/t1/events/wait?timeout=0": {
        "count": ["-1", "1001", "x"],
        "room": ["telnet"],
        "kind": ["x"],
        "session": ["x"],
        "text": ["/(/"],
        "since": ["x", "null"],
    },
    "sandboxes/t1/export": {"format": ["gif", ""], "room": ["telnet"], "session": [""], "limit": ["0", "x", "null"]},
    "ca.p12": {"password": ["short", "p\u00e4ssword"]},
    "ca.jks": {"password": ["short", "p\u00e4ssword"]},
}


def test_every_query_parameter_that_is_malformed(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await furnished(client)
            for path, parameters in QUERY_CASES.items():
                for key, values in parameters.items():
                    for value in values:
                        target = f"{path}{'&' if '?' in path else '?'}{urlencode({key: value})}"
                        problem = await client.problem("GET", target, 422)
                        assert (problem["key"], problem["value"]) == (key, value), target
                        assert problem["allowed"], target

    run(main())


def test_no_query_parameter_is_left_out() -> None:
    described = {
        route.path.replace("{sandbox}", "t1").lstrip("/"): set(names_of(route.query)) - {"timeout"}
        for route in ROUTES
        if route.query is not Nothing and "{id}" not in route.path
    }
    assert {path.partition("?")[0]: set(parameters) for path, parameters in QUERY_CASES.items()} == described


@pytest.mark.parametrize(
    ("path", "body", "allowed"),
    [
        ("sandboxes", {"name": "x", "capture": "no"}, "any, own"),
        ("sandboxes/t1/clock", {"freeze": "yesterday"}, "a moment such as 2030-01-02T03:04:05Z, true"),
        ("sandboxes/t1/clock", {"real": False}, "true"),
        ("sandboxes/t1/clock", {"advance": True}, 'a number of seconds, or text such as "150ms", "2s", "1h30m"'),
        ("sandboxes/t1/clock", {"advance": [1]}, 'a number of seconds, or text such as "150ms", "2s", "1h30m"'),
        ("sandboxes/t1/accounts", {"name": 5}, "text"),
        ("sandboxes/t1/records", {"name": "t1.test", "type": "A", "values": "x"}, "a list"),
        (
            "sandboxes/t1/records",
            {"name": "t1.test", "type": "A", "values": ["x"], "ttl": -1},
            "a number from 0 to 2147483647",
        ),
        ("sandboxes/t1/messages/wait?timeout=-1", None, "a number from 0 to 300"),
        ("sandboxes/t1/messages/wait", None, "a number from 0 to 300"),
        ("sandboxes/t1/events/wait?timeout=1&since=never", None, "a moment such as 2030-01-02T03:04:05Z"),
        ("sandboxes/t1/export?format=pcap", None, "talk, test, jsonl, har, pcapng"),
        ("sandboxes/t1/sessions?before=nonsense", None, "A session's id: 24 hexadecimal digits."),
    ],
)
def test_what_is_allowed_is_told_in_words(tmp_path: Path, path: str, body: object, allowed: str) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await furnished(client)
            method, status = ("GET", 400 if path.endswith("wait") else 422) if body is None else ("POST", 422)
            problem = await client.problem(method, path, status, **({} if body is None else {"json": body}))
            assert problem["allowed"] == allowed
            assert "`" not in problem["detail"]
            assert not re.search(r"\b(str|int|bool|float|datetime|enum|array|False|True)\b", problem["detail"])

    run(main())


# ── who may ask ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("headers", "status", "key"),
    [
        ({"Host": "rebound.evil.test"}, 421, "Host"),
        ({"Host": "127.0.0.1.evil.test"}, 421, "Host"),
        ({"Host": "169.254.169.254"}, 421, "Host"),
        ({"Host": ""}, 421, "Host"),
        ({"Origin": "https://evil.test"}, 403, "Origin"),
        ({"Origin": "null"}, 403, "Origin"),
        ({"Origin": "http://localhost:1"}, 403, "Origin"),
        ({"Sec-Fetch-Site": "cross-site"}, 403, "Origin"),
        ({"Sec-Fetch-Site": "same-site"}, 403, "Origin"),
        ({"Authorization": ""}, 401, "Authorization"),
        ({"Authorization": "Bearer wrong"}, 401, "Authorization"),
        ({"Authorization": "Digest token"}, 401, "Authorization"),
        ({"Authorization": "Bearer s\u00e9cret"}, 401, "Authorization"),
    ],
)
def test_who_may_not_ask(tmp_path: Path, headers: dict[str, str], status: int, key: str) -> None:
    async def main() -> None:
        async with console(tmp_path, token="sesame") as client:
            client.http.headers["Authorization"] = "Bearer sesame"
            before = await furnished(client)
            problem = await client.problem("POST", RULES, status, json=STANDING | {"name": "x"}, headers=headers)
            assert problem["key"] == key
            assert problem["allowed"]
            assert await whole_state(client) == before

    run(main())
