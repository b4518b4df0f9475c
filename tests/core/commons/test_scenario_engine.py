"""The gate: which rule fires at which event, and what it costs when none does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from portyard.commons.scenario.actions import (
    Delay,
    HangUp,
    Latency,
    Persona,
    Refuse,
    Reset,
    Respond,
    Say,
    Script,
    Silence,
    Tls,
)
from portyard.commons.scenario.counting import chance, due
from portyard.commons.scenario.engine import SessionGate
from portyard.commons.scenario.model import Event
from portyard.commons.scenario.parsing import make_rule
from tests.support.gate import TO_BOB, Talk, refuse


def test_without_rules_nobody_asks_the_book_twice() -> None:
    talk = Talk()
    assert talk.gate.armed
    assert talk.fires(3) == [False] * 3
    assert not talk.gate.armed
    assert talk.book.asked == {"anything": 1, "state": 1, "load": 1}


def test_a_rule_is_in_force_at_the_next_event() -> None:
    talk = Talk()
    assert talk.fires(1) == [False]
    talk.book.add(refuse())
    assert talk.fires(2) == [True, True]
    assert talk.book.asked["load"] == 2
    talk.book.clear()
    assert talk.fires(2) == [False, False]


def test_the_first_that_fires_wins_and_later_ones_are_not_counted() -> None:
    talk = Talk(refuse(name="one", times=1), refuse(name="two", times=2), refuse({"recipient": "*"}, name="three"))
    verdicts = talk.ask(*[TO_BOB] * 5)
    assert [verdict.rule for verdict in verdicts if verdict] == ["one", "two", "two", "three", "three"]
    assert talk.book.hits == {"one": 1, "two": 2, "three": 2}


@pytest.mark.parametrize(
    ("fields", "fired"),
    [
        ({"times": 2}, "xx------"),
        ({"skip": 2}, "--xxxxxx"),
        ({"skip": 1, "times": 2}, "-xx-----"),
        ({"every": 3}, "--x--x--"),
        ({"every": 3, "skip": 1, "times": 1}, "---x----"),
        ({"chance": 1e-9}, "--------"),
        ({"chance": 1.0}, "xxxxxxxx"),
    ],
)
def test_counts(fields: dict[str, Any], fired: str) -> None:
    assert "".join("x" if fires else "-" for fires in Talk(refuse(**fields)).fires(8)) == fired


def test_a_spent_rule_is_not_claimed_again() -> None:
    talk = Talk(refuse(times=2))
    talk.fires(10)
    assert talk.book.asked["claim"] == 2


def test_counted_by_session_peer_and_account() -> None:
    async def main() -> None:
        for per, name in (("session", "session"), ("peer", "peer"), ("account", "account")):
            talk = Talk(refuse(times=1, per=per))

            def one(value: str, talk: Talk = talk, name: str = name) -> SessionGate:
                session = (
                    talk.session("s", peer="p")
                    if name == "account"
                    else talk.session(**{"name" if name == "session" else name: value})
                )
                session.account = value if name == "account" else ""
                return session

            fired = [await one(value).ask("rcpt", **TO_BOB) is not None for value in ("a", "a", "b", "b", "a", "")]
            assert fired == [True, False, True, False, False, False], per

    asyncio.run(main())


def test_chance_depends_on_seed_rule_and_count_alone() -> None:
    alone = Talk(refuse(name="x", chance=0.3), seed=7).fires(200)
    behind = Talk(refuse({"recipient": "*@other.test"}, chance=0.5), refuse(name="x", chance=0.3), seed=7).fires(200)
    assert alone == behind
    assert alone != Talk(refuse(name="x", chance=0.3), seed=8).fires(200)
    assert alone != Talk(refuse(name="y", chance=0.3), seed=7).fires(200)
    assert 30 < sum(alone) < 90
    assert 0 <= chance(0, "", 0, 0) < 1
    assert not due(refuse(skip=3), 3, 0.0)


def test_each_session_has_its_own_luck() -> None:
    async def main() -> None:
        talk = Talk(refuse(name="x", chance=0.5, per="session"))
        runs = []
        for number in range(8):
            session = talk.session(f"s{number}")
            runs.append(tuple([await session.ask("rcpt", **TO_BOB) is not None for _ in range(16)]))
        assert len(set(runs)) > 4

    asyncio.run(main())


def test_internal_peers_are_seen_only_by_rules_with_a_role() -> None:
    talk = Talk(refuse(name="outside", times=1), refuse({"role": "mta"}, name="hop"))
    assert [verdict.rule for verdict in talk.ask(TO_BOB, TO_BOB, internal=True) if verdict] == ["hop", "hop"]
    assert [verdict.rule for verdict in talk.ask(TO_BOB, TO_BOB) if verdict] == ["outside", "hop"]

    async def main() -> None:
        session = Talk(refuse()).session()
        assert await session.ask("rcpt", **TO_BOB) is not None
        session.trust()
        assert await session.ask("rcpt", **TO_BOB) is None
        assert not session.asks("rcpt"), "a rule without a role can't mean it, and isn't looked at"

        hop = Talk(refuse(name="outside"), refuse({"role": "mta"}, name="hop")).session()
        told = await hop.ask("rcpt", **TO_BOB)
        assert told is not None
        assert told.rule == "outside"
        hop.trust()
        told = await hop.ask("rcpt", **TO_BOB)
        assert told is not None
        assert told.rule == "hop"

    asyncio.run(main())


def test_sandboxes_never_meet() -> None:
    async def main() -> None:
        talk = Talk()
        talk.book.add(refuse(), sandbox="t1")
        session = talk.session()
        assert await session.ask("rcpt", **TO_BOB) is None
        assert await session.ask_in("t1", "rcpt", TO_BOB) is not None
        session.sandbox = "t1"
        assert await session.ask("rcpt", **TO_BOB) is not None
        session.sandbox = "t2"
        assert await session.ask("rcpt", **TO_BOB) is None

    asyncio.run(main())


@pytest.mark.parametrize(
    "where",
    [
        {"recipient": "bob@x.test"},
        {"recipient": "BOB@*"},
        {"recipient": "*@x.test"},
        {"recipient": "*o*@*"},
        {"recipient": "/^b/"},
        {"recipient": ["nobody@x.test", "bob@x.test"]},
        {"recipient": ["nobody@x.test", "/^b/"]},
        {"recipient": "*"},
        {"role": "mta", "recipient": "b*"},
        {"peer": "10.*", "port": "in"},
        {"size": ">=10", "recipient": "bob@x.test"},
        {"size": 10},
        {"size": "10"},
        {"flag": True},
        {},
    ],
)
def test_every_shape_of_pattern_is_found_among_many(where: dict[str, Any]) -> None:
    others = [refuse({"recipient": f"user{n}@*", "size": f">{n}"}) for n in range(50)]
    others += [refuse({"recipient": f"*@y{n}.test"}) for n in range(50)] + [
        refuse({"size": n + 100}) for n in range(50)
    ]
    talk = Talk(*others, refuse(where, name="it"), *others, vocabulary=None)
    event = {**TO_BOB, "size": 10, "flag": True}
    assert [verdict.rule for verdict in talk.ask(event, event) if verdict] == ["it", "it"]


@pytest.mark.parametrize(
    "where", [{"recipient": "bob@x.tes"}, {"recipient": "*@x.tes"}, {"missing": "*"}, {"size": "<10"}, {"flag": False}]
)
def test_what_does_not_match(where: dict[str, Any]) -> None:
    talk = Talk(refuse(where), vocabulary=None)
    assert talk.ask({**TO_BOB, "size": 10, "flag": True}) == [None]


def test_equal_numbers_and_flags_are_not_confused() -> None:
    talk = Talk(refuse({"size": 1}, name="number"), refuse({"size": True}, name="flag"), vocabulary=None)
    verdicts = talk.ask({"size": True}, {"size": 1}, {"size": True})
    assert [verdict.rule for verdict in verdicts if verdict] == ["flag", "number", "flag"]


def test_stars_in_on_cover_what_can_be_obeyed() -> None:
    talk = Talk(make_rule("*", Refuse("550"), name="all"))
    assert talk.ask({}, verb="connect") == [None]
    assert talk.ask({}, verb="nonsense") == [None]
    assert talk.fires(1) == [True]


def test_a_verdict_says_all_that_is_to_be_done() -> None:
    then = [Delay(1), Delay(0.5), {"say": "250 <$recipient> $role $peer"}, HangUp()]
    (verdict,) = Talk(make_rule("mail.rcpt", then, name="x")).ask(TO_BOB)
    assert verdict is not None
    assert (verdict.delay_s, verdict.say, verdict.hang_up, verdict.answers) == (
        1.5,
        "250 <bob@x.test> mta 10.0.0.1",
        True,
        True,
    )
    bytes_ = [Latency(1), Reset(5)]
    (verdict,) = Talk(make_rule("mail.connect", [Tls("expired"), Persona("old"), *bytes_])).ask({}, verb="connect")
    assert verdict is not None
    assert (verdict.recipe, verdict.persona, verdict.faults, verdict.answers, verdict.rule) == (
        "expired",
        "old",
        tuple(bytes_),
        False,
        "1",
    )
    for action, field in (
        (Silence(), "silence"),
        (Respond(404), "respond"),
        (Script((Say("x"),)), "script"),
        (Refuse("5"), "refuse"),
    ):
        (verdict,) = Talk(make_rule("mail.rcpt", action), vocabulary=None).ask(TO_BOB)
        assert verdict is not None
        assert verdict.answers
        assert getattr(verdict, field)


def test_jitter_is_seeded_and_within_its_bounds() -> None:
    def delays(seed: int) -> list[float]:
        verdicts = Talk(make_rule("mail.rcpt", Delay(1, 0.5)), seed=seed).ask(*[TO_BOB] * 20)
        return [verdict.delay_s for verdict in verdicts if verdict]

    assert delays(1) == delays(1) != delays(2)
    assert len(set(delays(1))) == 20
    assert all(1 <= delay_s < 1.5 for delay_s in delays(1))


def test_magic_is_heard_where_it_is_switched_on() -> None:
    talk = Talk()
    to = {"recipient": "a+451x2@x.test"}
    assert talk.ask(to) == [None]
    talk.book.magic.add("default")
    talk.book.version += 1
    verdicts = talk.ask(to, to, to)
    assert [verdict and verdict.refuse for verdict in verdicts] == ["451 as the address asks"] * 2 + [None]
    assert verdicts[0] is not None
    assert verdicts[0].rule == "+451x2"
    assert talk.ask({"recipient": "a+450@x.test"}, internal=True) == [None]
    assert talk.ask({"recipient": "a+450@x.test"}, verb="vrfy") == [None]
    assert talk.ask({"recipient": "a+delay3+450@x.test"}, verb="vrfy")[0].delay_s == 3  # type: ignore[union-attr]
    assert talk.ask({"recipient": "a+450@x.test"}, verb="nonsense") == [None]
    talk.book.add(refuse(name="rule"))
    assert talk.ask({"recipient": "a+450@x.test"})[0].rule == "rule"  # type: ignore[union-attr]


def test_a_whole_event_can_be_asked_about() -> None:
    async def main() -> None:
        talk = Talk(refuse({"account": "bob*"}))
        event = Event("mail", "rcpt", account="bob@x.test")
        assert await talk.gate.ask(event) is not None
        assert await talk.gate.ask(Event("web", "rcpt", account="bob@x.test")) is None

    asyncio.run(main())
