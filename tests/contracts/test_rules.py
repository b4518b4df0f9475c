"""The contract of the rule book: kept whole, counted once for every process, in force when the call returns."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from pathlib import Path

import pytest

from portyard.commons.sandbox.model import NoSuchSandboxError
from portyard.commons.scenario.counting import chance, due
from portyard.commons.scenario.engine import SessionGate
from portyard.commons.scenario.model import Rule, RuleError
from portyard.commons.scenario.parsing import make_rule
from portyard.commons.stores import Stores
from tests.contracts.children import child, go, line_of
from tests.contracts.engines import NOON, opened
from tests.support.asyncio_tests import run

TO_BOB = {"recipient": "bob@x.test"}


def refuse(name: str = "", **fields: object) -> Rule:
    return make_rule("mail.rcpt", {"refuse": "550"}, name=name, **fields)


def session(stores: Stores, name: str = "s1", peer: str = "10.0.0.1") -> SessionGate:
    return stores.gate.session("mail", session=name, peer=peer)


async def fired(gate: SessionGate, count: int) -> list[str]:
    verdicts = [await gate.ask("rcpt", **TO_BOB) for _ in range(count)]
    return [verdict.rule if verdict else "" for verdict in verdicts]


def test_who_looks_for_a_hit_again_and_again_lets_it_come(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            await stores.rules.add("default", refuse(times=1))
            asking = asyncio.ensure_future(fired(session(stores), 1))
            looks = 0
            while not (await stores.rules.list("default"))[0].hits:
                looks += 1
                assert looks < 100_000, "nobody else has had a turn"
            assert await asking

    run(main())


def test_a_rule_that_is_none_any_more_keeps_no_other_from_being_read(
    engine: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A state directory lives longer than a version: what one took the next may refuse."""

    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            await stores.rules.add("default", refuse("old"), refuse("new", times=1))
            await stores.control_database.write(
                lambda work: work.execute(
                    "UPDATE rules SET rule = ? WHERE name = 'old'",
                    (r'{"on":"mail.rcpt","where":{"recipient":"/(?=a)b/"},"then":{"refuse":"551"}}',),
                )
            )
        async with opened(engine, tmp_path) as stores:
            assert [stored.rule.name for stored in await stores.rules.list("default")] == ["new"]
            assert await fired(session(stores), 2) == ["new", ""]
            assert await stores.rules.clear("default") == 2

    run(main())
    assert "looks ahead or behind" in caplog.text


def test_rules_come_back_as_they_were_in_their_order(engine: str, tmp_path: Path) -> None:
    rules = [
        refuse(
            "greylist", where={"recipient": ["*@a.test", "/^b/"], "size": [">=10 <20", 5]}, times=2, skip=1, per="peer"
        ),
        make_rule(
            "*.connect", [{"delay": "150ms"}, {"script": [{"say": "ünï"}, {"expect": "/x/"}]}], chance=0.25, every=2
        ),
    ]

    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            added = await stores.rules.add("default", *rules)
            assert [stored.rule for stored in added] == rules
        async with opened(engine, tmp_path) as stores:
            listed = await stores.rules.list("default")
            assert listed == added
            assert [(stored.hits, stored.matched, stored.last_at, stored.spent) for stored in listed] == [
                (0, 0, None, False)
            ] * 2
            assert await stores.rules.get("default", added[1].id) == added[1]
            assert await stores.rules.get("t1", added[1].id) is None

    run(main())


def test_hits_are_told_counted_or_not(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            await stores.rules.add("default", refuse("twice", times=2), refuse("ever"), refuse("never"))
            gate = session(stores)
            assert await fired(gate, 4) == ["twice", "twice", "ever", "ever"]
            twice, ever, never = await stores.rules.list("default")
            assert (twice.hits, twice.matched, twice.spent) == (2, 2, True)
            assert (ever.hits, ever.matched, ever.spent) == (2, 2, False)
            assert (ever.last_session, ever.last_at) == (twice.last_session, twice.last_at) == ("s1", NOON)
            assert (never.hits, never.last_session) == (0, None)
            await stores.clocks.advance("default", timedelta(hours=1))
            await fired(gate, 1)
            assert (await stores.rules.list("default"))[1].last_at == NOON + timedelta(hours=1)

    run(main())


def test_hits_are_written_behind_and_at_the_end(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores, opened(engine, tmp_path) as other:
            await stores.rules.add("default", refuse())
            await fired(session(stores), 3)
            assert (await stores.rules.list("default"))[0].hits == 3  # its own it writes before it lists
            assert (await other.rules.list("default"))[0].hits == 3
            await fired(session(other), 2)
        async with opened(engine, tmp_path) as stores:
            assert (await stores.rules.list("default"))[0].hits == 5

    run(main())


def test_another_process_obeys_at_its_next_event(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as one, opened(engine, tmp_path) as other:
            gate = session(other)
            assert await fired(gate, 1) == [""]
            assert not other.gate.armed
            (stored,) = await one.rules.add("default", refuse("x", times=3))
            assert other.gate.armed
            assert await fired(gate, 1) == ["x"]
            assert await fired(session(one), 1) == ["x"]
            assert await fired(gate, 3) == ["x", "", ""]
            assert await fired(session(one), 1) == [""]
            replaced = await one.rules.replace("default", stored.id, refuse("y", times=1))
            assert replaced is not None
            assert (replaced.id, replaced.hits, replaced.revision) == (stored.id, 0, 1)
            assert await fired(gate, 2) == ["y", ""]
            assert await one.rules.delete("default", stored.id)
            assert await fired(gate, 1) == [""]
            assert not other.gate.armed

    run(main())


def test_a_claim_for_a_rule_that_went_fires_nothing(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            old, gone = await stores.rules.add("default", refuse("a", times=1), refuse("b", times=1))
            await stores.rules.replace("default", old.id, refuse("a", times=5))
            await stores.rules.delete("default", gone.id)
            for stored in (old, gone):
                claim = await stores.rules.claim(stored, "x", "", "s")
                assert (claim.fires, claim.spent) == (False, True)
            assert (await stores.rules.list("default"))[0].matched == 0

    run(main())


def test_each_scope_counts_for_itself_in_all_processes_together(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as one, opened(engine, tmp_path) as other:
            await one.rules.add("default", refuse("x", times=2, per="peer"))
            assert await fired(session(one, peer="p1"), 1) == ["x"]
            assert await fired(session(other, peer="p1"), 2) == ["x", ""]
            assert await fired(session(other, peer="p2"), 3) == ["x", "x", ""]
            (stored,) = await one.rules.list("default")
            assert (stored.hits, stored.spent) == (4, False)

    run(main())


@pytest.mark.parametrize("per", [None, "session", "peer", "account"])
def test_all_counts_together_are_what_the_language_says(engine: str, tmp_path: Path, per: str | None) -> None:
    """Skip, every, chance and times at once, asked in turn by three sessions of two peers and two accounts, in two processes' stores."""
    asking = [("s1", "p1", "a@x.test"), ("s2", "p1", "b@x.test"), ("s3", "p2", "a@x.test")]
    matched: dict[str, int] = {}
    hits: dict[str, int] = {}

    def wanted(who: tuple[str, str, str]) -> bool:
        rule = refuse("x", skip=2, every=2, chance=0.6, times=2, per=per)
        scope = dict(zip(("session", "peer", "account"), who, strict=True)).get(per or "", "")
        if hits.get(scope, 0) == 2:
            return False
        matched[scope] = matched.get(scope, 0) + 1
        ordinal = list(matched).index(scope) + 1 if per else 0
        fires = due(rule, matched[scope], chance(0, "x", ordinal, matched[scope]))
        hits[scope] = hits.get(scope, 0) + fires
        return fires

    async def main() -> None:
        async with opened(engine, tmp_path) as one, opened(engine, tmp_path) as other:
            await one.rules.add("default", refuse("x", skip=2, every=2, chance=0.6, times=2, per=per))
            gates = [session(stores, who[0], who[1]) for stores, who in zip((one, other, one), asking, strict=True)]
            for gate, who in zip(gates, asking, strict=True):
                gate.account = who[2]
            for _ in range(20):
                for gate, who in zip(gates, asking, strict=True):
                    assert (await fired(gate, 1) == ["x"]) is wanted(who)
            (stored,) = await one.rules.list("default")
            assert (stored.matched, stored.hits) == (sum(matched.values()), sum(hits.values()))
            assert stored.hits >= 2

    run(main())


def test_what_may_fire_so_often_fires_so_often_whoever_asks(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            await stores.rules.add("default", refuse("x", times=37, skip=5))
            async with contextlib.AsyncExitStack() as stack:
                children = [await stack.enter_async_context(child("ask-hundred", engine, tmp_path)) for _ in range(2)]
                for process in children:
                    go(process)
                told = [int((await line_of(process)).removeprefix("fired ")) for process in children]
            assert sum(told) == 37
            (stored,) = await stores.rules.list("default")
            assert stored.hits == 37
            assert stored.matched == 42

    run(main())


def test_names_are_taken_once_and_a_set_is_added_whole_or_not(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores, opened(engine, tmp_path) as other:
            await stores.sandboxes.create("t1")
            (x,) = await stores.rules.add("default", refuse("x"))
            await stores.rules.add("t1", refuse("x"))
            with pytest.raises(RuleError, match="taken") as caught:
                await stores.rules.add("default", refuse("y"), refuse("x"))
            assert caught.value.key == "name"
            assert [stored.rule.name for stored in await stores.rules.list("default")] == ["x"]
            await stores.rules.add("default", refuse(), refuse(), refuse("y"))
            with pytest.raises(RuleError, match="taken"):
                await stores.rules.replace("default", x.id, refuse("y"))
            assert (await stores.rules.replace("default", x.id, refuse("x", times=1))) is not None
            assert await stores.rules.replace("t1", x.id, refuse("z")) is None
            assert not await stores.rules.delete("t1", x.id)
            with pytest.raises(NoSuchSandboxError):
                await stores.rules.add("t2", refuse())
            with pytest.raises(RuleError, match="too many"):
                await stores.rules.add("default", *[refuse()] * 10_000)
            gate = session(other)
            assert await fired(gate, 1) == ["x"]
            assert await stores.rules.clear("default") == 4
            assert await fired(gate, 1) == [""]
            assert await stores.rules.list("default") == []
            assert len(await stores.rules.list("t1")) == 1

    run(main())


def test_magic_is_counted_for_all_processes(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as one, opened(engine, tmp_path) as other:
            assert await one.rules.state("default") == (0, False)
            await one.sandboxes.change("default", magic=True)
            assert (await other.rules.state("default"))[1]
            assert await other.rules.anything()
            taken = [
                await stores.rules.claim_magic("default", "rcpt a+451x2@x", 2) for stores in (one, other, one, other)
            ]
            assert taken == [True, True, False, False]
            assert await one.rules.claim_magic("default", "rcpt b+451x2@x", 2)
            await one.sandboxes.reset("default")
            assert await other.rules.claim_magic("default", "rcpt a+451x2@x", 2)

    run(main())


def test_what_a_shared_listener_has_to_be_ready_for(engine: str, tmp_path: Path) -> None:
    reset = {"reset": True}

    async def main() -> None:
        async with opened(engine, tmp_path) as stores, opened(engine, tmp_path) as other:
            await stores.sandboxes.create("t1")
            assert await other.rules.carried() == (frozenset(), False)
            (rule, *_) = await stores.rules.add("t1", refuse(), make_rule("mail.connect", reset))
            assert await other.rules.carried() == (frozenset(), False)
            await stores.rules.add("default", make_rule("post.connect", reset))
            await stores.rules.replace("t1", rule.id, make_rule("*.rcpt", [{"script": [{"reset": True}]}]))
            assert await other.rules.carried() == (frozenset({"post", "*"}), False)
            assert await other.gate.asks_for_bytes("mail")
            await stores.rules.replace("t1", rule.id, refuse())
            await stores.sandboxes.change("t1", magic=True)
            assert await other.rules.carried() == (frozenset({"post"}), True)
            await stores.rules.clear("default")
            await stores.sandboxes.delete("t1")
            assert await other.rules.carried() == (frozenset(), False)
            assert not await other.gate.asks_for_bytes("mail")

    run(main())
