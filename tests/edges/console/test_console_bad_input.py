"""What bad input gets: refused whole, by a problem that names key, value and what is allowed, and everything is as it was before.

Rules go in both their tongues, JSON and TOML.
"""

from __future__ import annotations

import asyncio
import json
import re
import resource
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from portyard.commons.settings import Limits
from portyard.console.problems import names_of
from portyard.console.routes import ROUTES
from portyard.console.shapes import Nothing
from tests.support.asyncio_tests import run
from tests.support.console import Console, console

RULES = "sandboxes/t1/rules"
STANDING = {"name": "standing", "on": "pop3.stat", "then": {"refuse": "-ERR later"}}
GIGABYTE = 1 << 30
PIECE = bytes(1 << 16)
LIMITS = Limits(upload=4 << 20)
SPARE_KIB = 48 << 10  # by which the process may grow while a gigabyte is offered to it
HANG = {"hang_up": True}

# A rule, the key that its problem names, and words of the problem.
RULE_CASES: list[tuple[dict[str, Any], str, str]] = [
    # unknown keys
    ({"on": "pop3.stat", "thne": HANG}, "thne", "did you mean then?"),
    ({"on": "pop3.stat", "then": HANG, "where": {"pear": "x"}}, "where.pear", "did you mean peer?"),
    ({"on": "pop3.stat", "then": {"hangup": True}}, "then.hangup", "did you mean hang_up?"),
    ({"on": "pop3.stat", "then": {"latency": {"delay_s": 1, "jiter_s": 1}}}, "then.latency.jiter_s", "jitter_s?"),
    ({"on": "smtp.noop", "then": {"script": [{"sned": "x"}]}}, "then.script[0].sned", "did you mean send?"),
    # rooms, verbs and actions that aren't there
    ({"on": "gopher.get", "then": HANG}, "on", "no room gopher"),
    ({"on": "imap.retr", "then": HANG}, "on", "imap has no verb retr"),
    ({"on": "pop3", "then": HANG}, "on", "not of this form"),
    ({"on": "ssh.connect", "then": {"tls": "expired"}}, "then.tls", "SSH has no TLS"),
    ({"on": "smtp.receiving", "then": {"refuse": "451 no"}}, "then.refuse", "354 is sent already"),
    ({"on": "smtp.rcpt", "then": {"respond": "x"}}, "then.respond", "can't honour respond"),
    ({"on": "dns.query", "then": {"script": [{"send": "x"}]}}, "then.script[0].send", "no text"),
    # patterns that can't match
    ({"on": "smtp.rcpt", "then": HANG, "where": {"recipient": ""}}, "where.recipient", "matches nothing"),
    ({"on": "smtp.rcpt", "then": HANG, "where": {"recipient": []}}, "where.recipient", "matches nothing"),
    ({"on": "smtp.rcpt", "then": HANG, "where": {"recipient": "bob"}}, "where.recipient", "every value holds '@'"),
    ({"on": "smtp.rcpt", "then": HANG, "where": {"recipient": "/(/"}}, "where.recipient", "no regular expression"),
    ({"on": "smtp.rcpt", "then": HANG, "where": {"recipient": "/(?=a)b/"}}, "where.recipient", "looks ahead"),
    ({"on": "smtp.rcpt", "then": HANG, "where": {"recipient": "*@other sp.test"}}, "where.recipient", "no value"),
    ({"on": "smtp.rcpt", "then": HANG, "where": {"recipient": "[z-a]*@"}}, "where.recipient", "no value"),
    ({"on": "smtp.rcpt", "then": HANG, "where": {"sender": "bob"}}, "where.sender", "every value holds '@'"),
    ({"on": "imap.noop", "then": HANG, "where": {"account": "u1@*@"}}, "where.account", "no value"),
    ({"on": "dns.query", "then": HANG, "where": {"name": "*.t1.test."}}, "where.name", "no value"),
    ({"on": "http.request", "then": HANG, "where": {"path": "/~t1/get"}}, "where.path", "no value"),
    ({"on": "websocket.upgrade", "then": HANG, "where": {"path": "/~*/echo"}}, "where.path", "no value"),
    ({"on": "smtp.rcpt", "then": HANG, "where": {"role": "mtx"}}, "where.role", "did you mean mta?"),
    ({"on": "smtp.rcpt", "then": HANG, "where": {"port": "smtps"}}, "where.port", "did you mean smtp?"),
    ({"on": "imap.fetch", "then": HANG, "where": {"account": "alice"}}, "where.account", "every value holds '@'"),
    ({"on": "smtp.mail", "then": HANG, "where": {"size": "big*"}}, "where.size", "this field is a number"),
    ({"on": "smtp.mail", "then": HANG, "where": {"size": ">5 <3"}}, "where.size", "no number lies between"),
    ({"on": "smtp.mail", "then": HANG, "where": {"size": "<0"}}, "where.size", "no value lies there"),
    ({"on": "http.response", "then": HANG, "where": {"status": "<100"}}, "where.status", "no value lies there"),
    ({"on": "http.request", "then": HANG, "where": {"path": "files/*"}}, "where.path", "begins with"),
    ({"on": "http.request", "then": HANG, "where": {"path": "/api/"}}, "where.path", "a path, or an expression"),
    ({"on": "ftp.retr", "then": HANG, "where": {"path": "report.txt"}}, "where.path", "begins with"),
    ({"on": "imap.fetch", "then": HANG, "where": {"uid": "yes"}}, "where.uid", "this field is a flag"),
    ({"on": "pop3.stat", "then": HANG, "where": {"peer": "localhost"}}, "where.peer", "no value of pop3.stat matches"),
    ({"on": "dns.query", "then": HANG, "where": {"type": "MXX"}}, "where.type", "no value of dns.query matches"),
    ({"on": "pop3.stat", "then": HANG, "where": {"peer": 5}}, "where.peer", "this field is text"),
    # counts
    ({"on": "pop3.stat", "then": HANG, "times": -1}, "times", ">= 1"),
    ({"on": "pop3.stat", "then": HANG, "times": 0}, "times", ">= 1"),
    ({"on": "pop3.stat", "then": HANG, "skip": -1}, "skip", ">= 0"),
    ({"on": "pop3.stat", "then": HANG, "every": 0}, "every", ">= 1"),
    ({"on": "pop3.stat", "then": HANG, "times": 1.5}, "times", "int"),
    ({"on": "pop3.stat", "then": HANG, "chance": 1.5}, "chance", "<= 1"),
    ({"on": "pop3.stat", "then": HANG, "chance": 0}, "chance", "> 0"),
    ({"on": "pop3.greeting", "then": HANG, "times": 1, "per": "account"}, "per", "nobody has logged in"),
    ({"on": "dns.query", "then": HANG, "times": 1, "per": "account"}, "per", "nobody has logged in"),
    ({"on": "imap.login", "then": HANG, "times": 1, "per": "account"}, "per", "nobody has logged in"),
    ({"on": "smtp.auth", "then": HANG, "where": {"role": "mta"}}, "where.role", "no value of smtp.auth"),
    ({"on": "http.request", "then": HANG, "times": 1, "per": "account"}, "per", "nobody has logged in"),
    ({"on": "websocket.message", "then": HANG, "times": 1, "per": "account"}, "per", "nobody has logged in"),
    ({"on": "ssh.auth", "then": HANG, "where": {"account": "u1@*"}}, "where.account", "nobody has logged in"),
    ({"on": "http.request", "then": HANG, "where": {"path": "/api/i"}}, "where.path", "a path, or an expression"),
    (
        {"on": "smtp.rcpt", "then": HANG, "times": 1, "per": "account", "where": {"role": ["mta", "mda"]}},
        "per",
        "nobody has logged in",
    ),
    ({"on": "pop3.stat", "then": HANG, "times": 1, "per": "mailbox"}, "per", "none of"),
    ({"on": "pop3.stat", "then": HANG, "per": "session"}, "per", "there is none of them"),
    # faults that TCP can't do, and faults that aren't any
    ({"on": "pop3.stat", "then": {"loss": 0.1}}, "then.loss", "TCP repairs lost segments"),
    ({"on": "pop3.stat", "then": {"reorder": True}}, "then.reorder", "TCP delivers in order"),
    ({"on": "pop3.stat", "then": {"duplicate": True}}, "then.duplicate", "TCP drops what comes twice"),
    ({"on": "pop3.stat", "then": {"mtu": 576}}, "then.mtu", "slice writes small pieces"),
    ({"on": "pop3.stat", "then": {"reset": {"direction": "both"}}}, "then.reset.direction", "ends both directions"),
    ({"on": "pop3.stat", "then": {"reset": {"direction": "left"}}}, "then.reset.direction", "none of"),
    ({"on": "pop3.stat", "then": {"half_close": {"direction": "both"}}}, "then.half_close.direction", "whole close"),
    ({"on": "pop3.stat", "then": {"cut_after": {"octets": 5, "direction": "both"}}}, "then.cut_after.direction", "one"),
    ({"on": "pop3.stat", "then": {"hang_up": {"direction": "up"}}}, "then.hang_up.direction", "half_close ends one"),
    ({"on": "pop3.stat", "then": {"corrupt": {"direction": "both"}}}, "then.corrupt.direction", "counted one way"),
    ({"on": "pop3.stat", "then": {"corrupt": {"octets": -1}}}, "then.corrupt.octets", ">= 0"),
    ({"on": "pop3.stat", "then": {"corrupt": {"mask": 0}}}, "then.corrupt.mask", ">= 1"),
    ({"on": "pop3.stat", "then": {"corrupt": {"mask": 256}}}, "then.corrupt.mask", "<= 255"),
    ({"on": "pop3.stat", "then": {"corrupt": {"chance": 2}}}, "then.corrupt.chance", "<= 1"),
    ({"on": "pop3.stat", "then": {"corrupt": {"octets": 0}}}, "then.corrupt", "nothing would be changed"),
    ({"on": "pop3.stat", "then": {"bandwidth": 0}}, "then.bandwidth", ">= 1"),
    ({"on": "pop3.stat", "then": {"slice": {"octets": 0}}}, "then.slice.octets", ">= 1"),
    ({"on": "pop3.stat", "then": {"latency": "soon"}}, "then.latency", "not a number of seconds"),
    ({"on": "pop3.stat", "then": {"latency": -1}}, "then.latency", ">= 0"),
    ({"on": "pop3.stat", "then": {"stall": {"for_s": "2 days"}}}, "then.stall.for_s", ""),
    ({"on": "pop3.stat", "then": {"latency": {}}}, "then.latency", ""),
    ({"on": "dns.query", "then": {"reset": True}}, "then.reset", "a datagram has no stream"),
    # what can't be done together, or can't be said
    ({"on": "pop3.stat", "then": {"refuse": "-ERR a", "say": "+OK b"}}, "then", "both the answer"),
    ({"on": "pop3.stat", "then": [HANG, {"delay": 1}]}, "then", "nothing can follow hang_up"),
    ({"on": "pop3.stat", "then": {"refuse": "550 no"}}, "then.refuse", "can't say this"),
    ({"on": "smtp.rcpt", "then": {"refuse": "250 yes"}}, "then.refuse", "can't say this"),
    ({"on": "http.request", "then": {"refuse": 99}}, "then.refuse", "can't say this"),
    ({"on": "http.request", "then": {"respond": {"status": 99}}}, "then.respond.status", "can't say this"),
    ({"on": "http.request", "then": {"respond": {"headers": {"A B": "x"}}}}, "then.respond.headers", "no name"),
    (
        {"on": "http.request", "then": {"respond": {"headers": {"A": "x\r\nB: y"}}}},
        "then.respond.headers.A",
        "no field",
    ),
    ({"on": "http.request", "then": {"script": [{"respond": {"status": 1000}}]}}, "then.script[0].respond.status", ""),
    ({"on": "ssh.exec", "then": {"respond": {"status": 1 << 32}}}, "then.respond.status", "can't say this"),
    ({"on": "http.tls", "then": {"refuse": "unknwon_ca"}}, "then.refuse", "can't say this"),
    ({"on": "http.connect", "then": {"tls": "expird"}}, "then.tls", "did you mean expired?"),
    ({"on": "smtp.rcpt", "then": {"refuse": "550 $recipent"}}, "then.refuse", "did you mean recipient?"),
    ({"on": "pop3.stat", "then": {"script": []}}, "then.script", "nothing is to be done"),
    ({"on": "pop3.stat", "then": {"script": [{"expect": "/(/"}]}}, "then.script[0].expect", "no regular expression"),
]


async def whole_state(client: Console) -> list[object]:
    return [await client.get("sandboxes"), await client.get(RULES), await client.get("sandboxes/t1/accounts")]


async def furnished(client: Console) -> list[object]:
    await client.ask("POST", "sandboxes", 201, {"name": "t1"})
    await client.ask("POST", RULES, 201, STANDING)
    await client.ask("POST", "sandboxes/t1/accounts", 201, {"name": "u1"})
    return await whole_state(client)


def test_rules(tmp_path: Path) -> None:
    """One testbed for them all: each is refused in both tongues, alone, in a list and as a replacement."""

    async def main() -> None:
        async with console(tmp_path) as client:
            before = await furnished(client)
            number = (await client.get(RULES))[0]["id"]
            for rule, key, words in RULE_CASES:
                for problem, at in [
                    (await client.problem("POST", RULES, 422, json=rule), key),
                    (await client.problem("POST", RULES, 422, json=[STANDING | {"name": "x"}, rule]), f"rule[1].{key}"),
                    (await client.problem("PUT", f"{RULES}/{number}", 422, json=rule), key),
                    (await client.problem("POST", RULES, 422, data=toml(rule), headers=TOML), f"rule[0].{key}"),
                ]:
                    assert problem["key"] == at, rule
                    assert words in problem["detail"], (rule, problem)
                    assert problem["allowed"], rule
                    assert "value" in problem or rule_value(rule, key) is None, rule
            assert await whole_state(client) == before

    run(main())


TOML = {"Content-Type": "application/toml"}


def rule_value(rule: object, key: str) -> object:
    """What stands at a key of a rule."""
    for word in key.replace("[", ".").replace("]", "").split("."):
        if isinstance(rule, dict):
            rule = rule.get(word)
        elif isinstance(rule, list) and word.isdecimal():
            rule = rule[int(word)]
    return rule


def toml(rule: dict[str, Any]) -> bytes:
    """The rule in TOML, which writes values as JSON does, but for tables."""

    def value(one: object) -> str:
        if isinstance(one, dict):
            return "{ " + ", ".join(f"{json.dumps(key)} = {value(inner)}" for key, inner in one.items()) + " }"
        if isinstance(one, list):
            return "[" + ", ".join(map(value, one)) + "]"
        return json.dumps(one)

    return ("[[rule]]\n" + "".join(f"{key} = {value(one)}\n" for key, one in rule.items())).encode()


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
