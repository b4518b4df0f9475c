"""Many rules at once: what a pattern can't match without, words found in one pass, and the tables made of both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portyard.commons.scenario.index import Bucket, CompiledRule, Narrowed
from portyard.commons.scenario.literals import MOST_CHOICES, needs_of_glob, needs_of_regex
from portyard.commons.scenario.model import Scalar, StoredRule
from portyard.commons.scenario.needles import Needles, any_of, keys_of
from portyard.commons.scenario.parsing import make_rule
from portyard.commons.scenario.patterns import Regex, fold, parse_pattern
from portyard.commons.scenario.tables import Table


def sets(*texts: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(text.split("|")) for text in texts)


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("*slow*.test", sets("slow", ".test")),
        ("a?b", sets("a", "b")),
        ("*", ()),
        ("*straße*", sets("stra", "e")),
    ],
)
def test_what_a_glob_needs(text: str, needs: object) -> None:
    assert needs_of_glob(text) == needs


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("^user17@.*SLOW", sets("user17@", "slow")),
        (r"a\.b$", sets("a.b")),
        ("a(b)c", sets("abc")),
        ("a(?:bc)+d", sets("a", "bc", "d")),
        ("a(?:bc)?d", sets("a", "d")),
        ("ab{2}c", sets("a", "b", "c")),
        ("x(one|twofold)y", sets("x", "one|twofold", "y")),
        ("x(one|.)y", sets("x", "y")),
        ("(?=ab)c", sets("c")),
        ("(?!ab)c", sets("c")),
        ("[0-9]+", ()),
        ("(?i)Ab", sets("ab")),
        (r"(a)\1b", sets("a", "b")),
        ("naïve", sets("na", "ve")),
        ("(" * 500 + ")" * 500, ()),
    ],
)
def test_what_an_expression_needs(text: str, needs: object) -> None:
    assert needs_of_regex(text) == needs


def test_too_many_choices_are_no_need() -> None:
    words = "|".join(f"{chr(ord('a') + number)}x{number}" for number in range(MOST_CHOICES + 1))
    assert needs_of_regex(f"({words})") == ()


@given(st.sets(st.text("ab.+", min_size=1, max_size=5), max_size=12), st.text("ab.+", max_size=12))
def test_needles_finds_every_word_and_no_other(words: set[str], text: str) -> None:
    bits = {word: 1 << place for place, word in enumerate(sorted(words))}
    assert Needles(bits).find(text) == sum(bit for word, bit in bits.items() if word in text)
    assert bool(any_of(words)(text)) == any(word in text for word in words)


PARTS = st.sampled_from(["nobody", "@nowhere", "body", "a", "7", ""])


@given(
    st.sets(st.tuples(PARTS, st.text("ab17", max_size=2), PARTS).map("".join).filter(bool), max_size=12),
    st.tuples(PARTS, st.text("ab17", max_size=2), PARTS).map("".join),
)
def test_no_word_is_overlooked_for_want_of_a_key(words: set[str], text: str) -> None:
    bits = {word: 1 << place for place, word in enumerate(sorted(words))}
    keys = keys_of(words)
    assert all(any(key in word for key in keys) for word in words)
    assert Needles(bits).find(text) == sum(bit for word, bit in bits.items() if word in text)
    table = Table([(bit, [parse_pattern(f"*{word}*")]) for word, bit in bits.items()])
    assert table.is_silent(text) == (not any(word in text for word in words))


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        ([], ()),
        (["b", "a"], ("b", "a")),
        ([f"nobody{n}" for n in range(1000)], ("nobody",)),
        ([*(f"nobody{n}" for n in range(10)), *(f"@nowhere{n}.test" for n in range(20))], ("@nowhere", "nobody")),
        ([f"type:n{n}" for n in range(9)] + ["any", "x"], ("type:n", "x", "any")),
        ([chr(ord("a") + n) * 5 for n in range(5)], ("",)),
    ],
)
def test_keys_are_what_words_have_in_common(words: list[str], keys: tuple[str, ...]) -> None:
    assert keys_of(words) == keys


def test_a_text_without_a_key_takes_no_expression() -> None:
    table = Table([(1 << n, [parse_pattern(f"*nobody{n}*")]) for n in range(300)])
    with patch("re.compile", side_effect=AssertionError("compiled")):
        assert table.is_silent("x" * 200)
        assert table.find("x" * 2000) == 0
    assert not table.is_silent(f"{'x' * 200}NOBODY17")
    assert table.find(f"{'x' * 200}NOBODY17") == 1 << 17 | 1 << 1
    assert table.is_silent(f"{'x' * 200}nobody")


def test_what_a_long_text_is_or_ends_with_is_found() -> None:
    long = f"{'x' * 600}.test"
    table = Table([(1, [parse_pattern(long)]), (2, [parse_pattern("*.test")]), (4, [parse_pattern("*e.test")])])
    assert (table.find(long), table.find(f"{long}y"), table.find(f"y{long}")) == (3, 0, 2)


def test_nothing_is_folded_into_more_characters() -> None:
    text = "".join(map(chr, range(0x2FFFF)))
    assert len(fold(text)) == len(text)
    assert fold("ΑΣ ΑΣΑ ςſ STRASSE") == "ασ ασα σs strasse"


class Counting(Regex):
    """An expression that counts how often it is tried."""

    tried = 0

    def matches(self, value: object) -> bool:
        type(self).tried += 1
        return bool(re.search(self.text, str(value)))


def test_expressions_that_need_other_text_are_not_tried() -> None:
    table = Table([(1 << number, [Counting(f"^user{number}@.*slow")]) for number in range(1000)])
    assert table.find("user7@quiet.test") == 1 << 7
    assert table.find("somebody@slow.test") == 0
    assert Counting.tried == 0
    alone = Table([(1, [Counting("^[0-9]+$")])])
    assert (alone.find("12"), alone.find("x"), Counting.tried) == (1, 0, 2)


def test_what_stays_after_the_tables_is_held_against_every_condition() -> None:
    wheres = [{"size": f">{n}", "recipient": f"*{n}@*"} for n in range(100)] + [{}, {"recipient": "*x*"}]
    rules = [
        CompiledRule(StoredRule(n, "default", make_rule("mail.rcpt", {"delay": 1}, where=where)))
        for n, where in enumerate(wheres)
    ]
    found = Bucket(rules).find({"recipient": "user42@x.test", "size": 30})
    assert [rule.stored.id for rule in found] == [2, 100, 101]


def test_an_expression_is_compiled_once() -> None:
    assert parse_pattern("/^a+$/") is parse_pattern("/^a+$/")
    assert parse_pattern(1) != parse_pattern(True)


MANY = [f"{chr(ord('a') + number % 26)}{number}" for number in range(300)]


@pytest.mark.parametrize("shape", ["{}", "{}*", "*{}", "*{}*", "/{}/", "/^{}$/i"])
@pytest.mark.parametrize("texts", [["b"], ["ab", "b"], ["bob@x.test"], MANY, [*MANY, "c"]])
def test_who_asks_for_a_value_is_never_overlooked_at_a_glance(shape: str, texts: list[str]) -> None:
    patterns = [parse_pattern(shape.format(text)) for text in texts]
    table = Table([(1 << place, [pattern]) for place, pattern in enumerate(patterns)])
    for value in [
        "",
        "b",
        "B",
        "xb",
        "bx",
        "ab",
        "a26",
        "A26!",
        "!a26",
        "bob@x.test",
        "x.test",
        "c",
        "\u017f",
        "q" * 600,
    ]:
        for _ in range(2):
            meant = any(pattern.matches(value) for pattern in patterns)
            assert not (meant and (value == table.silent or table.is_silent(value)))
    assert table.is_silent("?!")
    assert table.silent == "?!"


def test_a_long_text_is_known_when_it_comes_again_and_a_very_long_one_isnt_kept() -> None:
    table = Table([(1, [parse_pattern("*slow*")])])
    assert table.is_silent("q" * 4096)
    assert table.silent == "q" * 4096
    assert table.is_silent("p" * 4097)
    assert table.silent == "q" * 4096
    assert not table.is_silent("q" * 4092 + "slow")
    assert table.silent == "q" * 4096


def test_an_expression_without_case_is_held_against_what_isnt_ascii() -> None:
    table = Table([(1, [parse_pattern("/abc/i")])])
    assert not table.is_silent("\u017f")
    assert table.is_silent("s")


def test_a_number_that_nobody_takes_stands_for_its_neighbours_and_no_flag() -> None:
    table = Table([(1, [parse_pattern(">100")]), (2, [parse_pattern(7)])])
    assert table.is_silent(20)
    assert table.silent == 20
    assert table.is_silent(99.5)
    assert not table.is_silent(101)
    assert not table.is_silent(7)
    assert table.is_silent(True)
    assert table.silent == 99.5
    flags = Table([(1, [parse_pattern(True)]), (2, [parse_pattern(">3")])])
    assert flags.is_silent(1)
    assert flags.is_silent(False)
    assert flags.silent is None
    assert not flags.is_silent(True)
    texts = Table([(1, [parse_pattern("1?")])])
    assert texts.is_silent(2)
    assert not texts.is_silent(12)
    assert not Table([(1, [parse_pattern("*")])]).is_silent("x")


def narrowed(*wheres: dict[str, object], peer: str = "127.0.0.1") -> Narrowed | None:
    rules = [
        CompiledRule(StoredRule(n, "default", make_rule("mail.rcpt", {"delay": 1}, where=where)))
        for n, where in enumerate(wheres)
    ]
    return Bucket(rules).narrowed({"peer": peer})


class Unasked(str):
    """A value that isn't looked at."""

    def isascii(self) -> bool:
        raise AssertionError("looked at")


def test_a_field_that_tells_all_is_the_only_one_looked_at() -> None:
    looked: list[str] = []

    class Fields(dict[str, object]):
        def get(self, name: str, default: object = None) -> object:  # type: ignore[override]
            looked.append(name)
            return super().get(name, default)

    asked = narrowed(*({"size": f">{n}", "sender": f"*{n}@x"} for n in range(9)), {"sender": "eve@*", "peer": "10.*"})
    assert asked is not None
    assert not asked.may_mean(Fields(size=5, sender="bob@x"))
    assert looked == ["sender"]
    assert asked.may_mean(Fields(size=5, sender="bob4@x"))


def test_a_field_of_which_somebody_is_always_meant_is_looked_at_last() -> None:
    asked = narrowed(*({"recipient": "*.test", "sender": f"*{n}@x"} for n in range(9)))
    assert asked is not None
    assert not asked.may_mean({"recipient": "a@x.test", "sender": "bob@x"})
    assert not asked.may_mean({"recipient": Unasked(), "sender": "eve@x"})
    assert asked.may_mean({"recipient": "a@x.test", "sender": "eve7@x"})


def test_a_field_is_asked_only_for_rules_that_none_before_it_rules_out() -> None:
    """What comes after a sender of whom no rule is told need not be looked at for the rules that want one."""
    asked = narrowed(
        *({"recipient": f"*{n}@*", "sender": f"*{n}@elsewhere"} for n in range(9)),
        *({"sender": f"*list{n}@*"} for n in range(9)),
        *({"recipient": f"*@slow{n}", "size": f">{n}"} for n in range(9)),
    )
    assert asked is not None
    looked: list[dict[str, object]] = []
    weigh = Narrowed._weigh

    def counted(self: Narrowed, fields: Mapping[str, Scalar], meant: str) -> bool:
        looked.append(dict(fields))
        return weigh(self, fields, meant)

    with patch.object(Narrowed, "_weigh", counted):
        for number in range(20):
            assert not asked.may_mean({"recipient": f"a{number}1@quiet", "sender": "me@here", "size": 5})
        assert len(looked) == 1
        assert asked.may_mean({"recipient": "a1@slow3", "sender": "me@here", "size": 5})
        assert not asked.may_mean({"recipient": "a1@slow3", "sender": "me@here", "size": 3})
        assert asked.may_mean({"recipient": "a1@quiet", "sender": "1@elsewhere", "size": 0})
        assert asked.may_mean({"recipient": "a1@quiet", "sender": "list7@here", "size": 0})


def test_a_rule_that_asks_for_nothing_more_is_always_meant() -> None:
    asked = narrowed({"peer": "127.*"}, {"sender": "bob"})
    assert asked is not None
    assert asked.may_mean({})
    assert narrowed({"peer": "10.*"}) is None
