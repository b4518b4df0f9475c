"""Rules: parse and print are inverses, the index finds what a plain search finds, counts are exact."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from portyard.commons.durations import parse_duration
from portyard.commons.scenario import index, narrowing, tables
from portyard.commons.scenario.actions import ACTIONS
from portyard.commons.scenario.counting import chance, due
from portyard.commons.scenario.engine import Gate
from portyard.commons.scenario.index import Bucket, CompiledRule
from portyard.commons.scenario.magic import parse_magic
from portyard.commons.scenario.model import Rule, RuleError, StoredRule
from portyard.commons.scenario.parsing import make_rule, parse_json, parse_rule, parse_toml, print_rule, rule_fields
from portyard.commons.scenario.templates import fill
from tests.support.rules import MemoryRules

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
SECONDS = st.floats(0, 86400)
WORDS = st.sampled_from(["a", "b", "ab", "A", "a@x", "b@x.y", "*", "a*", "*x", "*@x", "a?x", "/a/", "/^B/i", "*a*", ""])
# Few letters, so that much matches; among them those that Unicode folds in ways of their own.
LETTERS = "abAB@.\u00df\u017f\u0130\u0131\u03a3\u03c2\u212aksi"
SHORT = st.text(LETTERS, max_size=6)
GLOBS = st.text(LETTERS + "*?", min_size=1, max_size=7)
ATOMS = st.one_of(
    st.text(LETTERS.replace(".", ""), min_size=1, max_size=4),
    st.sampled_from([".", "[ab]", "[^a]", r"\w", "^", "$", r"\b", "(?=a)", "a{2}", "(?:)", r"\."]),
)
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})"),
        inner.map(lambda one: f"({one})"),
        inner.map(lambda one: f"(?i:{one})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,1}", "*?", "+?"])).map(
            lambda x: f"(?:{x[0]}){x[1]}"
        ),
    ),
    max_leaves=8,
).flatmap(lambda text: st.sampled_from([f"/{text}/", f"/{text}/i", f"/(?i){text}/"]))
PLAIN: dict[str, st.SearchStrategy[Any]] = {
    "refuse": TEXT,
    "say": TEXT,
    "silence": st.just(True),
    "delay": st.one_of(SECONDS, st.fixed_dictionaries({"delay_s": SECONDS, "jitter_s": SECONDS})),
    "hang_up": st.just(True),
    "respond": st.fixed_dictionaries(
        {},
        optional={"status": st.integers(0, 999), "headers": st.dictionaries(TEXT, TEXT), "body": TEXT, "stderr": TEXT},
    ),
    "script": st.lists(
        st.one_of(TEXT.map(lambda text: {"send": text}), SECONDS.map(lambda s: {"delay": s})), min_size=1
    ),
    "persona": TEXT,
    "latency": st.fixed_dictionaries(
        {"delay_s": SECONDS}, optional={"direction": st.sampled_from(["up", "down", "both"])}
    ),
    "bandwidth": st.integers(1, 1 << 40),
    "slice": st.fixed_dictionaries({"octets": st.integers(1, 1 << 20)}, optional={"gap_s": SECONDS}),
    "stall": st.fixed_dictionaries({}, optional={"for_s": st.one_of(st.none(), SECONDS)}),
    "cut_after": st.integers(0, 1 << 40),
    "reset": st.just(True),
    "half_close": st.just(True),
    "corrupt": st.fixed_dictionaries({}, optional={"mask": st.integers(1, 255), "chance": st.floats(0, 1)}),
    "tls": st.sampled_from(["expired", "wrong-host"]),
}
PATTERNS = st.one_of(
    WORDS.filter(bool), st.integers(-5, 5), st.booleans(), st.sampled_from(["<3", ">=1 <4", "=2"]), st.floats(-5, 5)
)
RULES = st.fixed_dictionaries(
    {
        "on": st.sampled_from(["mail.rcpt", "*.connect", "web.*", "*"]),
        "then": st.sampled_from(sorted(PLAIN)).flatmap(lambda name: PLAIN[name].map(lambda value: {name: value})),
    },
    optional={
        "name": st.text("abc-", min_size=1, max_size=5),
        "where": st.dictionaries(
            st.sampled_from(["recipient", "size", "flag"]),
            st.one_of(PATTERNS, st.lists(PATTERNS, min_size=1, max_size=3)),
        ),
        "times": st.integers(1, 9),
        "skip": st.integers(0, 9),
        "every": st.integers(1, 9),
        "chance": st.floats(0, 1, exclude_min=True),
    },
)
VALUES = st.dictionaries(
    st.sampled_from(["recipient", "size", "flag"]),
    st.one_of(WORDS, st.integers(-5, 5), st.booleans(), st.floats(-5, 5)),
)


def test_every_action_is_tried() -> None:
    assert set(PLAIN) == {name for name, spec in ACTIONS.items() if spec.kind != "step"}


@given(RULES)
def test_parse_and_print_are_inverses(values: dict[str, Any]) -> None:
    rule = parse_rule(values)
    assert parse_rule(rule_fields(rule)) == rule
    assert parse_json(print_rule(rule)) == (rule,)
    assert parse_json(json.dumps(values)) == (rule,)
    assert print_rule(parse_rule(rule_fields(rule))) == print_rule(rule)
    assert make_rule(rule.on, list(rule.then), **{k: v for k, v in values.items() if k not in ("on", "then")}) == rule


@given(
    st.recursive(
        st.one_of(
            st.none(), st.booleans(), st.integers(), st.just(10**400), st.floats(), st.text(max_size=5)
        ),  # a JSON number may be longer than any of Python's own
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(["on", "then", "where", "times", "delay", "script", "latency", "delay_s", "a.b", "x"]),
                inner,
                max_size=4,
            ),
        ),
        max_leaves=12,
    )
)
def test_nothing_but_a_rule_error_comes_of_any_data(values: object) -> None:
    for attempt in (values, {"on": "a.b", "then": values}, {"on": "a.b", "then": {"hang_up": True}, "where": values}):
        with contextlib.suppress(RuleError):
            assert isinstance(parse_rule(attempt), Rule)


@given(st.text(max_size=60))
def test_nothing_but_a_rule_error_comes_of_any_text(text: str) -> None:
    for parse in (parse_toml, parse_json):
        with contextlib.suppress(RuleError):
            parse(text)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["recipient", "size", "flag"]),
            st.one_of(PATTERNS, st.lists(PATTERNS, min_size=1, max_size=3)),
        ),
        max_size=12,
    ),
    st.lists(VALUES, min_size=1, max_size=6),
)
def test_the_index_finds_what_a_plain_search_finds(wheres: list[dict[str, Any]], events: list[dict[str, Any]]) -> None:
    found(wheres, events)


def found(wheres: list[dict[str, Any]], events: list[dict[str, Any]]) -> None:
    """Hold the index against a plain search."""
    rules = [
        CompiledRule(StoredRule(number, "default", make_rule("mail.rcpt", {"delay": 1}, where=where)))
        for number, where in enumerate(wheres)
    ]
    bucket = Bucket(rules)
    for values in [*events, *events]:
        assert bucket.find(values) == [rule for rule in rules if rule.matches(values)]


NAMES = ["peer", "account", "recipient", "sender"]
TEXTS = st.sampled_from(["a", "A", "ab", "a@x", "b@x.y", "10.2.3.4", "110.2", ""])
TEXT_PATTERNS = st.sampled_from(["a", "b", "a*", "*x", "*@x", "a?x", "/a/", "/^B/i", "*a*", "/^10\\.2/", "*b*.y", "*"])


@settings(max_examples=300)
@given(
    st.lists(
        st.fixed_dictionaries(
            {}, optional={**dict.fromkeys(NAMES, TEXT_PATTERNS), "size": st.sampled_from([1, "<3", ">=1 <4", ">9"])}
        ),
        max_size=12,
    ),
    st.fixed_dictionaries({"peer": TEXTS, "account": TEXTS}),
    st.lists(
        st.fixed_dictionaries({}, optional={"recipient": TEXTS, "sender": TEXTS, "size": st.integers(0, 10)}),
        min_size=1,
        max_size=6,
    ),
)
def test_a_session_is_asked_about_the_events_that_a_rule_means_and_no_others(
    wheres: list[dict[str, Any]], stays: dict[str, Any], events: list[dict[str, Any]]
) -> None:
    rules = [
        CompiledRule(StoredRule(number, "default", make_rule("mail.rcpt", {"delay": 1}, where=where)))
        for number, where in enumerate(wheres)
    ]
    bucket = Bucket(rules)
    narrowed = bucket.narrowed(stays)
    for values in [*events, *events]:
        meant = any(rule.matches({**stays, **values}) for rule in rules)
        assert (narrowed is not None and narrowed.may_mean(values)) == meant


ASKED = st.one_of(TEXT_PATTERNS, GLOBS, EXPRESSIONS, st.lists(st.one_of(GLOBS, EXPRESSIONS), min_size=1, max_size=3))
EVENT = st.fixed_dictionaries(
    {},
    optional={
        "recipient": st.one_of(TEXTS, SHORT),
        "sender": st.one_of(TEXTS, SHORT),
        "size": st.one_of(st.integers(0, 10), st.just("1")),
        "flag": st.booleans(),
    },
)


@settings(max_examples=300)
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "peer": TEXT_PATTERNS,
                "recipient": ASKED,
                "sender": ASKED,
                "size": st.sampled_from([1, "<3", ">=1 <4", ">9", "1*"]),
                "flag": st.booleans(),
            },
        ),
        max_size=10,
    ),
    st.lists(st.fixed_dictionaries({"peer": TEXTS}), min_size=1, max_size=2),
    st.lists(EVENT, min_size=1, max_size=8),
    st.lists(st.integers(0, 15), max_size=40),
    st.tuples(st.integers(1, 3), st.sampled_from([0, 256]), st.sampled_from([0, 32]), st.sampled_from([0, 2, 256])),
)
def test_what_came_before_never_hides_a_rule(
    wheres: list[dict[str, Any]],
    sessions: list[dict[str, Any]],
    events: list[dict[str, Any]],
    order: list[int],
    limits: tuple[int, int, int, int],
) -> None:
    """However little is remembered, and however the rules are filed, sessions that take turns are asked about the right events."""
    rules = []
    for where in wheres:
        with contextlib.suppress(RuleError):
            rule = make_rule("mail.rcpt", {"delay": 1}, where=where)
            rules.append(CompiledRule(StoredRule(len(rules), "default", rule)))
    remembered, glanced, small, few = limits
    with (
        patch.object(narrowing, "_EVENTS", remembered),
        patch.object(narrowing, "_TURNS", (remembered - 1) * 4),
        patch.object(narrowing, "_FEW", few),
        patch.object(narrowing, "_TABLES", remembered),
        patch.object(tables, "_REMEMBERED", remembered),
        patch.object(tables, "_GLANCED", glanced),
        patch.object(index, "_SMALL", small),
        patch.object(index, "_PARTS", small),
    ):
        bucket = Bucket(rules)
        for number in [*range(len(events)), *order]:
            for stays in sessions:
                values, left = events[number % len(events)], bucket.narrowed(stays)
                wanted = any(rule.matches({**stays, **values}) for rule in rules)
                assert (left is not None and left.may_mean(values)) == wanted


@settings(max_examples=400)
@given(
    st.lists(st.one_of(GLOBS, EXPRESSIONS, st.lists(st.one_of(GLOBS, EXPRESSIONS), min_size=1)), max_size=40),
    st.lists(SHORT, min_size=1, max_size=12),
)
def test_the_index_finds_what_any_glob_or_expression_means(patterns: list[Any], values: list[str]) -> None:
    kept = []
    for pattern in patterns:
        with contextlib.suppress(RuleError):
            make_rule("mail.rcpt", {"delay": 1}, where={"recipient": pattern})
            kept.append({"recipient": pattern})
    found(kept, [{"recipient": value} for value in values])


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9), st.sampled_from(["<", "<="])), max_size=120),
    st.lists(st.one_of(st.integers(-10, 10), st.floats(-10, 10)), min_size=1),
)
def test_the_index_finds_numbers_between_any_bounds(
    bounds: list[tuple[float, float, str]], values: list[float]
) -> None:
    wheres = []
    for low, high, sign in bounds:
        low, high = round(low, 2), round(high, 2)
        wheres.append({"size": f">{low}"} if low >= high else {"size": f">={low} {sign}{high}"})
        wheres.append({"size": f"{sign}{high}", "flag": True})
    found(wheres, [{"size": value, "flag": True} for value in values])


@settings(max_examples=50)
@given(
    st.integers(1, 6),
    st.integers(0, 5),
    st.integers(1, 4),
    st.floats(0, 1, exclude_min=True),
    st.integers(0, 9),
    st.integers(1, 40),
)
def test_counts_are_exact(times: int, skip: int, every: int, share: float, seed: int, events: int) -> None:
    rule = make_rule("mail.rcpt", {"delay": 1}, name="x", times=times, skip=skip, every=every, chance=share)
    wanted, fired = [], 0
    for count in range(1, events + 1):
        fires = fired < times and due(rule, count, chance(seed, "x", 0, count))
        fired += fires
        wanted.append(fires)

    async def main() -> list[bool]:
        book = MemoryRules(seed)
        book.add(rule)
        session = Gate(book, seed).session("mail", session="s", peer="p")
        return [await session.ask("rcpt") is not None for _ in range(events)]

    assert asyncio.run(main()) == wanted


@given(st.text(max_size=30), st.dictionaries(st.text("abc", min_size=1, max_size=2), st.text(max_size=5)))
def test_text_without_a_dollar_stays_and_no_value_begins_a_line(text: str, values: dict[str, str]) -> None:
    if "$" not in text:
        assert fill(text, values) == text
    filled = fill("$a$b$c", {**dict.fromkeys("abc", ""), **values}, line=True)
    assert not set(filled) & {"\r", "\n", "\0"}


@given(st.text(max_size=30))
def test_any_name_may_be_looked_at_for_magic(text: str) -> None:
    magic = parse_magic(text, "a.b")
    assert magic is None or ("+" in text and magic.rule.then)


@given(st.integers(0, 86400000))
def test_durations_in_milliseconds(count: int) -> None:
    assert abs(parse_duration(f"{count}ms") - count / 1000) < 1e-6
