"""When the relay tries, tries again and gives up, and the connections that it keeps, against servers that are played."""

from __future__ import annotations

import asyncio
from pathlib import Path

from portyard.smtp.backlog import HOLD_S, Backlog
from portyard.smtp.spool import Queued, queue
from tests.support.asyncio_tests import run
from tests.support.mail_chain import settled
from tests.support.smtp_relay import BOB, EVE, FixedCourier, PlayedServer, attempted, hop_of


def test_a_transient_refusal_is_tried_again_when_the_clock_says_so(tmp_path: Path) -> None:
    async def go() -> None:
        server = PlayedServer("451 4.7.1 later", "452 4.3.1 still later")
        async with server.listen() as destination, hop_of(tmp_path, FixedCourier(destination)) as hop:
            await hop.commit()
            (entry,) = await hop.until(attempted(1))
            assert (entry.state, entry.reason) == ("queued", "451 4.7.1 later")
            assert entry.due == hop.clock.now().timestamp() + 10
            hop.clock.advance(10)
            (entry,) = await hop.until(attempted(2))
            assert entry.due == hop.clock.now().timestamp() + 100
            hop.clock.advance(101)
            assert await settled(hop.yard) == []
            assert len(server.taken) == 1
            assert len(server.mails) == 3

    run(go())


def test_a_clock_that_is_set_back_does_not_strand_a_retry(tmp_path: Path) -> None:
    async def go() -> None:
        server = PlayedServer("451 4.7.1 later")
        async with server.listen() as destination, hop_of(tmp_path, FixedCourier(destination)) as hop:
            await hop.commit()
            await hop.until(attempted(1))
            hop.clock.advance(-1_000_000)
            assert await settled(hop.yard) == []
            assert len(server.taken) == 1

    run(go())


def test_it_gives_up_when_the_schedule_is_over(tmp_path: Path) -> None:
    async def go() -> None:
        server = PlayedServer(*["451 4.7.1 never"] * 9)
        async with server.listen() as destination, hop_of(tmp_path, FixedCourier(destination), (1.0,)) as hop:
            await hop.commit()
            await hop.until(attempted(1))
            hop.clock.advance(2)
            (entry,) = await settled(hop.yard)
            assert (entry.state, entry.attempts, entry.reason) == ("failed", 2, "451 4.7.1 never")

    run(go())


def test_a_permanent_refusal_is_not_tried_again_and_spares_the_others(tmp_path: Path) -> None:
    async def go() -> None:
        server = PlayedServer()
        server.refused["RCPT TO:<eve@b.test>"] = "550 5.1.1 who"
        async with server.listen() as destination, hop_of(tmp_path, FixedCourier(destination)) as hop:
            await hop.commit("one", BOB, EVE)
            (entry,) = await settled(hop.yard)
            assert (entry.recipient, entry.state, entry.reason) == ("eve@b.test", "failed", "550 5.1.1 who")
            assert server.taken == [(("RCPT TO:<bob@b.test>",), b"x\r\n")]
            hop.clock.advance(1_000_000)
            await hop.commit("two", BOB)
            await hop.until(lambda entries: len(server.taken) == 2)
            assert len(server.mails) == 2

    run(go())


def test_the_connection_is_kept_and_several_run_at_once(tmp_path: Path) -> None:
    async def go() -> None:
        server = PlayedServer()
        async with server.listen() as destination, hop_of(tmp_path, FixedCourier(destination)) as hop:
            await asyncio.gather(*(hop.commit(f"id{number}") for number in range(100)))
            await hop.until(lambda entries: len(server.taken) == 100)
            assert 1 <= server.connections <= 4

    run(go())


def test_a_kept_connection_that_was_closed_is_opened_again(tmp_path: Path) -> None:
    async def go() -> None:
        server = PlayedServer()
        server.drop_after_data = 1
        async with server.listen() as destination, hop_of(tmp_path, FixedCourier(destination)) as hop:
            await hop.commit("one")
            (entry,) = await hop.until(attempted(1))
            assert entry.reason == "451 4.4.2 the connection was lost"
            hop.clock.advance(11)
            await settled(hop.yard)
            assert [mail.split("=")[-1].split(":")[0] for mail in server.mails] == ["one", "one"]

    run(go())


def test_the_private_parameter_goes_to_our_own_only(tmp_path: Path) -> None:
    async def go() -> None:
        server = PlayedServer()
        async with server.listen(ours=False) as destination, hop_of(tmp_path, FixedCourier(destination)) as hop:
            await hop.commit()
            assert await settled(hop.yard) == []
            assert server.mails == ["MAIL FROM:<a@a.test>"]

    run(go())


def test_a_service_of_ours_that_is_down_costs_no_attempt(tmp_path: Path) -> None:
    async def go() -> None:
        server = PlayedServer()
        with server.away() as nowhere:
            courier = FixedCourier(nowhere)
            async with hop_of(tmp_path, courier) as hop:
                await hop.commit("one")
                await hop.commit("two")
                await courier.until_asked(4)  # each was tried, and more than once in all
                assert [entry.attempts for entry in await queue(hop.yard.mail_database)] == [0, 0]
                async with server.listen() as courier.fixed:
                    assert await settled(hop.yard) == []
                    assert len(server.taken) == 2

    run(go())


def test_the_backlog_probes_with_one_and_releases_all_when_it_flows() -> None:
    backlog = Backlog()
    assert not backlog.reserve("early"), "who doesn't relay keeps nothing in hand"
    backlog.leading = True
    for number in range(3):
        assert backlog.reserve(str(number))
        backlog.take(str(number), (Queued(str(number), BOB, "default", 1, 0),), None)
    assert not backlog.reserve("0")
    for _ in range(3):
        job = backlog.next()
        assert job is not None
        backlog.hold(job)
    backlog.ripen(1.0)
    probe = backlog.next()
    assert probe is not None
    assert backlog.next() is None
    backlog.ripen(1.0 + HOLD_S / 2)
    assert backlog.next() is None
    backlog.done(probe)
    backlog.ripen(1.0 + HOLD_S)
    assert backlog.next() is not None
    assert backlog.next() is not None
    assert backlog.in_hand == 2
