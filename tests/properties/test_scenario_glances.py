"""What a session sees at a glance is what a plain search finds, whatever came before and whoever asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portyard.commons.scenario import glance, narrowing
from portyard.commons.scenario.engine import Gate, SessionGate
from portyard.commons.scenario.glance import Glance
from portyard.commons.scenario.index import CompiledRule
from portyard.commons.scenario.model import RuleError, StoredRule
from portyard.commons.scenario.parsing import make_rule
from portyard.commons.scenario.vocabulary import Field, FieldKind, Verb, Vocabulary
from tests.support.rules import MemoryRules

LETTERS = "abAB@.\u00df\u017f\u0130"
TEXTS = st.text(LETTERS, max_size=2)
PATTERNS = st.one_of(
    st.text(LETTERS + "?", min_size=1, max_size=3),
    st.sampled_from(["/a/", "/^B/i", "/[ab]$/", "/a.b/", "a*", "*b", "*ab*"]),
)
PATHS, ACCOUNTS, SANDBOXES = ("/a", "/b"), ("", "ann", "bob"), ("default", "other")
CONDITIONS = {
    "text": st.one_of(PATTERNS, st.lists(PATTERNS, min_size=1, max_size=2)),
    "path": st.sampled_from(["/a", "/*", "*b"]),
    "size": st.sampled_from([1, "<1"]),
    "account": st.sampled_from(["ann", "b*"]),
    "peer": st.sampled_from(["10.*", "192.*"]),
    "role": st.just("chat"),
}
WHERE = st.one_of(  # mostly of some texts alone, lest everything is meant
    st.fixed_dictionaries({"text": CONDITIONS["text"]}),
    st.fixed_dictionaries({"text": CONDITIONS["text"]}),
    st.fixed_dictionaries({}, optional=CONDITIONS).filter(bool),
)
RULES = st.lists(WHERE, min_size=1, max_size=3)
SESSIONS = 2
WHO = st.integers(0, SESSIONS - 1)
EVENTS = st.tuples(st.just("events"), WHO, st.lists(st.tuples(TEXTS, st.integers(0, 1)), min_size=2, max_size=6))
STEPS = st.one_of(
    EVENTS,
    EVENTS,
    EVENTS,
    st.tuples(st.just("account"), WHO, st.sampled_from(ACCOUNTS)),
    st.tuples(st.just("sandbox"), WHO, st.sampled_from(SANDBOXES)),
    st.tuples(st.just("rules"), st.sampled_from(SANDBOXES), RULES),
    st.tuples(st.just("clear"), st.sampled_from(SANDBOXES), st.none()),
    st.tuples(st.just("trust"), WHO, st.none()),
)
Event = tuple[str, int]


def fields_on(path: str) -> Callable[[Event], dict[str, Any]]:
    return lambda event: {"path": path, "text": event[0], "size": event[1]}


class Chat:
    """Sessions that look at events at a glance, and the rules to hold them against."""

    def __init__(self, verb: str | tuple[str, ...]) -> None:
        self.book = MemoryRules()
        self.gate = Gate(self.book)
        self.rules: dict[str, list[CompiledRule]] = {}
        self.sessions = [self.gate.session("chat", session=str(number), peer="10.0.0.1") for number in range(SESSIONS)]
        self.paths = [PATHS[number] for number in range(SESSIONS)]
        self.trusted: set[int] = set()
        self.glances = [
            Glance(session, verb, "text", path, fields_on(path))
            for session, path in zip(self.sessions, self.paths, strict=True)
        ]

    def add(self, sandbox: str, wheres: list[dict[str, Any]]) -> None:
        for where in wheres:
            with contextlib.suppress(RuleError):
                rule = make_rule("chat.say", {"delay": 1}, where=where)
                self.book.add(rule, sandbox=sandbox)
                self.rules.setdefault(sandbox, []).append(CompiledRule(StoredRule(0, sandbox, rule)))

    def clear(self, sandbox: str) -> None:
        self.book.clear(sandbox)
        self.rules.pop(sandbox, None)

    def means(self, number: int, event: Event) -> bool:
        session = self.sessions[number]
        values = {
            **fields_on(self.paths[number])(event),
            "role": "chat",
            "peer": "10.0.0.1",
            "account": session.account,
        }
        return any(
            rule.matches(values) and (rule.inside or number not in self.trusted)
            for rule in self.rules.get(session.sandbox, ())
        )

    async def hears(self, number: int, event: Event) -> None:
        session, looked = self.sessions[number], self.glances[number]
        if self.means(number, event):
            assert looked.heeds(event, event[0], event[1])
        await session.ask("say", **fields_on(self.paths[number])(event))  # from now on the rules are read
        for _ in range(2):
            assert looked.heeds(event, event[0], event[1]) == self.means(number, event)

    async def do(self, kind: str, whom: Any, what: Any) -> None:
        match kind:
            case "events":
                for event in what:
                    await self.hears(whom, event)
            case "account":
                self.sessions[whom].account = what
            case "sandbox":
                self.sessions[whom].sandbox = what
            case "rules":
                self.add(whom, what)
            case "clear":
                self.clear(whom)
            case _:
                self.sessions[whom].trust()
                self.trusted.add(whom)


@settings(max_examples=300)
@given(
    st.sampled_from(["say", ("say", "shout")]),
    RULES,
    st.lists(STEPS, min_size=3, max_size=20),
    st.sampled_from([1, 2, 64]),
)
def test_a_glance_never_overlooks_a_rule_and_never_sees_one_that_isnt_meant(
    verb: str | tuple[str, ...], wheres: list[dict[str, Any]], steps: list[tuple[str, Any, Any]], kept: int
) -> None:
    async def main() -> None:
        chat = Chat(verb)
        chat.add("default", wheres)
        for step in steps:
            await chat.do(*step)

    with patch.object(glance, "_RESTS", kept), patch.object(narrowing, "_GLANCES", kept):
        asyncio.run(main())


TALK = Vocabulary(
    "chat",
    {"say": Verb("", {"text": Field(""), "size": Field("", FieldKind.NUMBER)}, frozenset({"delay"}), magic="text")},
)


def gate_over(*wheres: dict[str, Any]) -> tuple[SessionGate, MemoryRules]:
    book = MemoryRules()
    book.add(*(make_rule("chat.say", {"delay": 1}, where=where) for where in wheres))
    gate = Gate(book)
    gate.learn(TALK)
    return gate.session("chat", session="s", peer="10.0.0.1"), book


def test_texts_that_never_came_are_known_without_their_fields() -> None:
    async def main() -> None:
        session, book = gate_over({"text": "*slow*"}, {"size": ">9"})
        made: list[str] = []

        def fields(text: str) -> dict[str, Any]:
            made.append(text)
            return {"text": text, "size": len(text)}

        looked = Glance(session, "say", "text", None, fields)
        await session.ask("say", text="", size=0)
        for text in ("a1", "a2", "a3", "fast", "slow", "last", "long beyond measure"):
            assert looked.heeds(text, text, len(text)) == (text in ("slow", "long beyond measure"))
        assert made == ["a1", "fast", "slow", "long beyond measure"]
        other = Glance(session, "say", "text", None, fields)
        for text in ("b1", "bold", "cold"):
            assert not other.heeds(text, text, len(text))
        assert made[4:] == ["b1"]  # then it has what others saw
        book.add(make_rule("chat.say", {"delay": 1}, where={"text": "a*"}))
        await session.ask("say", text="", size=0)
        assert looked.heeds("a4", "a4", 2)
        session.end()
        assert not looked.heeds("a4", "a4", 2)

    asyncio.run(main())


def test_what_was_seen_is_true_of_one_sandbox_account_and_peer_alone() -> None:
    async def main() -> None:
        session, book = gate_over({"account": "ann@*"})
        book.add(make_rule("chat.say", {"delay": 1}), sandbox="other")
        book.add(make_rule("chat.say", {"delay": 1}, where={"role": "chat", "text": "b"}))
        looked = Glance(session, "say", "text", None, lambda text: {"text": text})
        for sandbox, account, meant in [
            ("default", "", False),
            ("other", "", True),
            ("default", "", False),
            ("default", "ann@x.test", True),
            ("default", "eve", False),
        ]:
            session.sandbox, session.account = sandbox, account
            await session.ask("say", text="a")
            for _ in range(2):
                assert looked.heeds("a", "a", "") == meant
        session.account = "ann@x.test"
        session.trust()
        for _ in range(2):
            assert not looked.heeds("a", "a", "")
            assert looked.heeds("b", "b", "")

    asyncio.run(main())


def test_where_there_is_no_rule_no_fields_are_made() -> None:
    async def main() -> None:
        session, book = gate_over()

        def none(_: str) -> dict[str, Any]:
            raise AssertionError("made")

        looked = Glance(session, "say", "text", None, none)
        await session.ask("say", text="a")
        for _ in range(2):
            assert not looked.heeds("a", "a", 1)
        book.add(make_rule("chat.other", {"delay": 1}))
        await session.ask("say", text="a")
        for text in ("a", "b"):
            assert not looked.heeds(text, text, 1)

    asyncio.run(main())


@pytest.mark.parametrize("where", [{}, {"recipient": "eve"}, {"text": "eve"}])
@pytest.mark.parametrize("varies", ["text", "size"])
def test_magic_is_seen_wherever_it_stands(where: dict[str, Any], varies: str) -> None:
    """In the text that differs, and in what else there is of an event."""

    async def main() -> None:
        session, book = gate_over(*[where] * bool(where))
        book.magic.add("default")

        def fields(text: str) -> dict[str, Any]:
            return {"text": text, "size": "x"}

        looked = Glance(session, "say", varies, None, fields)
        await session.ask("say", text="")
        for text in ("bob", "bob+delay-1s", "ann", "ann+delay-1s", "joe", "bob"):
            for _ in range(2):
                assert looked.heeds(text, fields(text)[varies], "" if varies == "text" else text) == ("+" in text)

    asyncio.run(main())
