"""One look at a request tells of all that rules are asked of its exchange: never one too few, whatever came before on its connection."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import Any
from unittest.mock import Mock

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.test_utils import make_mocked_request
from hypothesis import example, given, settings
from hypothesis import strategies as st

from portyard.commons.exchange_outlook import ANSWER, Outlook, is_plain, path_of
from portyard.commons.hosting_parser import DEFAULT_LIMITS, careful_parser
from portyard.commons.scenario.checking import check
from portyard.commons.scenario.engine import Gate, SessionGate
from portyard.commons.scenario.model import RuleError
from portyard.commons.scenario.parsing import make_rule
from portyard.http.core.verbs import VOCABULARY
from tests.support.rules import MemoryRules

TARGETS = st.sampled_from(["/a", "/b", "/ab", "/a?b", "/a?c", "/%61", "/a#b", "/+delay1", "/c"])
PATHS: tuple[object, ...] = ("/a", "/b*", "*b", "/^/a/", "/c")
CONDITIONS: dict[str, dict[str, tuple[object, ...]]] = {
    "request": {"path": PATHS, "method": ("PUT",), "query": ("b",), "host": ("one", "t*")},
    "response": {"path": PATHS, "method": ("PUT",), "status": (200, 404, ">499")},
    "headers": {"path": PATHS, "status": (404, "<300")},
    "body": {"path": PATHS, "status": (404,), "octets": (0, ">100")},
    "*": {"path": PATHS, "account": ("ann@x.test", "?*")},
}
SINGLE = [
    (verb, name, value) for verb, fields in CONDITIONS.items() for name, values in fields.items() for value in values
]
RULES = st.sampled_from(
    [(f"http.{verb}", {name: value}) for verb, name, value in SINGLE]
    + [
        (f"http.{verb}", {name: value, other: another})
        for (verb, name, value), (whose, other, another) in itertools.combinations(SINGLE, 2)
        if verb == whose and name < other
    ]
)
REQUESTS = st.tuples(
    st.sampled_from(["GET", "GET", "PUT"]),
    TARGETS,
    st.sampled_from(["one", "one", "two", "six"]),
    st.sampled_from([200, 200, 404, 500]),
)
STEPS = st.one_of(REQUESTS, REQUESTS, REQUESTS, RULES, st.sampled_from(["clear", "magic", "default", "other"]))


def describe(request: web.Request) -> tuple[str, dict[str, Any]]:
    query = request._message.path.partition("#")[0].partition("?")[2]
    return "request", {
        "method": request.method,
        "path": path_of(request),
        "query": query,
        "host": request.headers["Host"],
    }


class Kept:
    """A kept connection, and the rules that it obeys."""

    def __init__(self) -> None:
        self.book = MemoryRules()
        self.gate = Gate(self.book)
        self.gate.learn(VOCABULARY)
        self.session = self.gate.session("http", session="s", peer="10.0.0.1")
        self.outlook = Outlook(self.session, ("request",), describe)
        self.came: dict[str, object] = {}
        self.host = ""

    def add(self, on: str, where: dict[str, Any]) -> None:
        with contextlib.suppress(RuleError):
            rule = make_rule(on, {"delay": 1}, where=where)
            check(rule, {"http": VOCABULARY})
            self.book.add(rule)

    async def exchange(self, method: str, target: str, host: str, status: int) -> None:
        request = make_mocked_request(method, target, {"Host": host})
        if host != self.host:
            self.host, self.came[host] = host, object()
        outlook, session = self.outlook, self.session
        session.account = "ann@x.test"  # of the request before
        outlook.foreseen = None
        minded = outlook.minds(request, self.came[host])
        foreseen = outlook.foreseen
        assert not session.armed or session.account == ""
        assert not minded or foreseen is None
        if await means(session, "request", describe(request)[1]):
            assert minded
        fields = {"method": method, "path": path_of(request), "status": status}
        if foreseen is not None and foreseen == session.stamp and outlook.status == status:
            assert not [verb for verb in ANSWER if await means(session, verb, of(verb, fields))]
        outlook.status = status

    async def do(self, step: Any) -> None:
        match step:
            case "clear":
                self.book.clear()
            case "magic":
                self.book.magic ^= {"default"}
                self.book.version += 1
            case str():
                self.session.sandbox = step
            case (on, where):
                self.add(on, where)
            case _:
                for _ in range(2):
                    await self.exchange(*step)


def of(verb: str, fields: dict[str, Any]) -> dict[str, Any]:
    return fields | {"octets": 0} if verb == "body" else fields


async def means(session: SessionGate, verb: str, fields: dict[str, Any]) -> bool:
    """What a plain search says: another session's, which remembers nothing."""
    plain = session._gate.session("http", session="t", peer="10.0.0.1")
    plain.sandbox, plain.account = session.sandbox, session.account
    return await session._gate.ask(plain._event(plain.sandbox, verb, fields)) is not None


@settings(max_examples=300)
@given(st.lists(RULES, min_size=1, max_size=3), st.lists(STEPS, min_size=2, max_size=20))
@example([("http.request", {"host": "t*"})], [("GET", "/a", "one", 200), ("GET", "/c", "two", 200)])
@example([("http.response", {"status": 404})], [("GET", "/a", "one", 200), ("GET", "/c", "one", 404)])
def test_what_is_foreseen_is_what_is_asked(rules: list[tuple[str, dict[str, Any]]], steps: list[Any]) -> None:
    async def main() -> None:
        kept = Kept()
        for rule in rules:
            kept.add(*rule)
        for step in steps:
            await kept.do(step)

    asyncio.run(main())


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from([*"/aA.%?#;:@&=+~*\\\"'\u00e9", "%41", "%2F", "%2B", "//", ".."]), min_size=1).map(
        "".join
    ),
    st.sampled_from(["/", "", "http://a/"]),
)
def test_a_target_that_is_a_path_alone_is_the_path_that_rules_see(text: str, before: str) -> None:
    async def main() -> None:
        target = before + text
        protocol = Mock(_reading_paused=False)
        parser = careful_parser(protocol, DEFAULT_LIMITS)
        with contextlib.suppress(HttpProcessingError):
            messages, _, _ = parser.feed_data(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            (message, _), *_ = messages
            assert message.path == target
            assert not is_plain(target) or message.url.path == target

    asyncio.run(main())
