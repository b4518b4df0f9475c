"""What the gate tells beforehand: whether a connection must be ready for faults of bytes, and whether an event need be asked about."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from portyard.commons.scenario.actions import Delay, HangUp, Latency, Refuse, Reset, Script
from portyard.commons.scenario.parsing import make_rule
from portyard.commons.scenario.vocabulary import Field, Verb, Vocabulary
from tests.support.gate import TO_BOB, Talk, refuse


def test_whether_a_connection_must_be_ready_for_bytes() -> None:
    async def main() -> None:
        talk = Talk()
        assert not await talk.gate.asks_for_bytes("mail")
        talk.book.add(refuse())
        assert not await talk.gate.asks_for_bytes("mail")
        talk.book.add(make_rule("*.connect", Latency(1)))
        assert await talk.gate.asks_for_bytes("mail")
        assert await talk.gate.asks_for_bytes("mail", "default")
        assert not await talk.gate.asks_for_bytes("mail", "t1")
        talk.book.clear()
        talk.book.version += 1
        assert not await talk.gate.asks_for_bytes("mail")
        assert not await talk.gate.asks_for_bytes("mail")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("on", "does", "shared", "own"),
    [
        ("mail.rcpt", Reset(), True, True),
        ("ma*.*", Reset(), True, True),
        ("mail.rcpt", Script((Delay(1), Reset())), True, True),
        ("mail.rcpt", Script((Delay(1), HangUp())), False, False),
        ("post.rcpt", Reset(), False, False),
        ("mail.rcpt", Refuse("550"), False, False),
        ("mail.connect", Latency(1), False, True),  # before any sandbox is named: on its own listeners alone
        ("mail.*", Latency(1), True, True),
    ],
)
def test_a_shared_listener_is_ready_for_every_sandbox(on: str, does: Any, shared: bool, own: bool) -> None:
    async def main() -> None:
        talk = Talk()
        talk.book.add(make_rule(on, does), sandbox="t1")
        assert await talk.gate.asks_for_bytes("mail") is shared
        assert await talk.gate.asks_for_bytes("mail", "t1") is own
        assert not await talk.gate.asks_for_bytes("mail", "t2")
        talk.book.clear("t1")
        assert not await talk.gate.asks_for_bytes("mail")

    asyncio.run(main())


def test_magic_of_any_sandbox_counts_where_it_can_reset() -> None:
    deaf = Vocabulary("deaf", {"vrfy": Verb("", {"recipient": Field("")}, frozenset({"delay"}), magic="recipient")})

    async def main() -> None:
        talk = Talk()
        talk.gate.learn(deaf)
        talk.book.magic.add("t1")
        talk.book.version += 1
        for sandbox, ready in ((None, True), ("t1", True), ("t2", False)):
            assert await talk.gate.asks_for_bytes("mail", sandbox) is ready
            assert not await talk.gate.asks_for_bytes("deaf", sandbox)
            assert not await talk.gate.asks_for_bytes("unknown", sandbox)

    asyncio.run(main())


def test_the_book_is_asked_once_a_change_however_many_sandboxes_there_are() -> None:
    async def main() -> None:
        talk = Talk()
        for number in range(50):
            talk.book.add(make_rule("mail.rcpt", Reset()), sandbox=f"t{number}")
        for _ in range(3):
            assert await talk.gate.asks_for_bytes("mail")
            assert not await talk.gate.asks_for_bytes("other")
        assert talk.book.asked == {"carried": 1}
        talk.book.add(make_rule("other.rcpt", Reset()), sandbox="t1")
        assert await talk.gate.asks_for_bytes("other")
        assert talk.book.asked == {"carried": 2}

    asyncio.run(main())


def test_fields_are_made_where_a_rule_may_look_at_them() -> None:
    async def go() -> None:
        session = Talk(refuse({"recipient": "bob@*"}), refuse({"peer": "10.9.*"})).session()
        made: list[str] = []

        def fields() -> dict[str, Any]:
            made.append("once")
            return {"recipient": "eve@x.test"}

        assert session.heeds("rcpt", fields)  # the rules aren't read yet
        assert not made
        await session.ask("rcpt", **TO_BOB)
        assert not session.heeds("rcpt", fields)
        assert made == ["once"]
        assert session.heeds("rcpt", lambda: TO_BOB)
        assert not session.heeds("vrfy", fields)  # no rule is about it
        await session.ask_in("empty", "rcpt", TO_BOB)
        assert not session.heeds("rcpt", fields, "empty")  # nor about any there
        assert made == ["once"]

    asyncio.run(go())


def test_what_looks_like_a_pattern_and_isnt_meant_need_not_be_asked_about() -> None:
    async def main() -> None:
        close = (
            refuse({"peer": "/^0\\.0/"}),
            refuse({"recipient": "/bob@.*bob/"}),
        )  # 127.0.0.1 and bob@x.test hold what these need
        session = Talk(*close).session()
        await session.ask("rcpt", **TO_BOB)
        assert not session.heeds("rcpt", TO_BOB)
        assert session.heeds("rcpt", {"recipient": "bob@bob.test"})
        assert not session.heeds("rcpt", {})
        alone = Talk(close[0]).session()
        await alone.ask("rcpt", **TO_BOB)
        assert not alone.asks("rcpt")

    asyncio.run(main())


def test_an_event_that_comes_again_is_looked_at_again_once_it_may_mean_something_else() -> None:
    async def main() -> None:
        talk = Talk(refuse({"recipient": "eve@*"}), refuse({"account": "ann@*"}))
        session = talk.session()
        made: list[str] = []

        def fields() -> dict[str, Any]:
            made.append("once")
            return TO_BOB

        def heeds(sandbox: str | None = None) -> bool:
            return session.heeds("rcpt", fields, sandbox, event=b"RCPT")

        await session.ask("rcpt", **TO_BOB)
        assert not heeds()
        assert not heeds()
        assert made == ["once"]
        session.account = "ann@x.test"
        assert heeds()
        session.account = ""
        assert not heeds()
        talk.book.add(refuse({"recipient": "bob@*"}), sandbox="t1")
        assert heeds("t1")  # the rules aren't read yet
        await session.ask_in("t1", "rcpt", TO_BOB)
        assert heeds("t1")
        await session.ask("rcpt", **TO_BOB)
        assert not heeds()
        talk.book.add(refuse({"recipient": "b*"}))
        assert heeds()
        for number in range(100):  # more than are remembered
            session.heeds("rcpt", {"recipient": "x"}, event=number)
        assert heeds()
        session.end()
        assert not heeds()

    asyncio.run(main())


def test_one_look_tells_that_none_of_several_verbs_is_meant() -> None:
    async def main() -> None:
        rules = refuse({"recipient": "eve@*"}), make_rule("mail.vrfy", Delay(1), where={"recipient": "bob@*"})
        session = Talk(*rules).session()
        both = ("rcpt", "vrfy")
        assert session.heeds(both, TO_BOB)  # the rules aren't read yet
        await session.ask("rcpt", **TO_BOB)
        assert session.heeds(both, TO_BOB)
        assert session.heeds(both, {"recipient": "eve@x.test"})
        assert not session.heeds(both, {"recipient": "ann@x.test"})
        assert not session.heeds(("rcpt", "connect"), TO_BOB)

    asyncio.run(main())


def test_magic_of_any_of_several_verbs_is_heard() -> None:
    async def main() -> None:
        talk = Talk()
        talk.book.magic.add("default")
        session = talk.session()
        await session.ask("rcpt", **TO_BOB)
        assert session.heeds(("connect", "vrfy"), {"recipient": "bob+delay-1s@x.test"})
        assert not session.heeds(("connect", "vrfy"), TO_BOB)

    asyncio.run(main())


def test_events_with_long_values_are_looked_at_each_time() -> None:
    async def main() -> None:
        session = Talk(refuse({"recipient": "*@slow.test"})).session()
        await session.ask("rcpt", **TO_BOB)
        for _ in range(2):
            assert not session.heeds("rcpt", {"recipient": "b" * 5000})
            assert session.heeds("rcpt", {"recipient": "b" * 5000 + "@slow.test"})

    asyncio.run(main())
