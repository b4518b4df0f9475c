"""Retries, failures, resets and other processes: the spool and its relay, against servers that are played."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from portyard.commons.database.engine import StorageFullError
from portyard.commons.directory import Endpoint
from portyard.commons.locks import Locks
from portyard.commons.opening import open_yard as open_real_yard
from portyard.commons.sandbox.sql import put
from portyard.commons.yard import Yard
from portyard.smtp import relay as relaying
from portyard.smtp.backlog import HOLD_S, Backlog
from portyard.smtp.core.model import Mailbox, PeerError, Recipient, reply
from portyard.smtp.core.stores import Arrival
from portyard.smtp.courier import OUTSIDE, Courier, MxCourier, Route
from portyard.smtp.outlet import Address, Destination, Outlets
from portyard.smtp.relay import Plan, Relay
from portyard.smtp.resolver import RefusedError
from portyard.smtp.spool import Entry, Queued, SqlSpool, queue
from tests.support.asyncio_tests import run
from tests.support.mail_chain import queue_changes, settled
from tests.support.ports import unused
from tests.support.yard import settings_for

BOB, EVE = Mailbox("bob", "b.test"), Mailbox("eve", "b.test")


class HandClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2030, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class PlayedServer:
    """A server that answers RCPT and the end of data as it is told, and notes what it took.

    Attributes:
        answers: For each end of data, in order; then 250.
        taken: (recipients, octets) of each message that was answered 250.
    """

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.refused: dict[str, str] = {}
        self.taken: list[tuple[tuple[str, ...], bytes]] = []
        self.mails: list[str] = []
        self.connections = 0
        self.drop_after_data = 0

    @contextlib.asynccontextmanager
    async def listen(self, ours: bool = True) -> AsyncIterator[Destination]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            yield Destination((Address("127.0.0.1", port, "mta", ours=ours),))

    @staticmethod
    def away() -> Destination:
        """Where nobody listens."""
        return Destination((Address("127.0.0.1", unused()[0], "mta", ours=True),))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.write(b"220 played\r\n")
        recipients: list[str] = []
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                line = (await reader.readuntil(b"\r\n")).decode()[:-2]
                verb = line[:4]
                answer = "250 ok"
                if verb == "EHLO":
                    answer = "250-played\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8"
                elif verb == "MAIL":
                    self.mails.append(line)
                    recipients = []
                elif verb == "RCPT":
                    answer = self.refused.get(line, "250 ok")
                    recipients += [line] if answer == "250 ok" else []
                elif verb == "DATA" and not recipients:
                    answer = "503 nobody"
                elif verb == "DATA":
                    writer.write(b"354 go\r\n")
                    octets = await reader.readuntil(b"\r\n.\r\n")
                    answer = self.answers.pop(0) if self.answers else "250 taken"
                    if answer.startswith("250"):
                        self.taken.append((tuple(recipients), octets[:-3]))
                    if self.drop_after_data:
                        self.drop_after_data -= 1
                        break
                elif verb == "QUIT":
                    break
                writer.write(answer.encode() + b"\r\n")
        writer.close()


class FixedCourier:
    def __init__(self, route: Route) -> None:
        self.fixed = route

    async def route(self, recipient: Queued) -> Route:
        return self.fixed


class Hop:
    """A spool with its relay in a yard."""

    def __init__(self, yard: Yard, clock: HandClock, spool: SqlSpool) -> None:
        self.yard, self.clock, self.spool = yard, clock, spool

    async def commit(
        self, delivery_id: str = "one", *mailboxes: Mailbox, octets: bytes = b"x\r\n", generation: int = 1
    ) -> None:
        recipients = tuple(Recipient(mailbox, "default", generation) for mailbox in mailboxes or (BOB,))
        await self.spool.commit(Arrival(delivery_id, Mailbox("a", "a.test"), False, False, recipients, octets))

    async def until(self, check: Callable[[Sequence[Entry]], bool]) -> Sequence[Entry]:
        async for _ in queue_changes(self.yard):
            found = await queue(self.yard.mail_database)
            if check(found):
                return found
        raise AssertionError


@contextlib.asynccontextmanager
async def hop_of(
    state: Path, courier: Courier, schedule_s: Sequence[float] = (10.0, 100.0), name: str = "mta"
) -> AsyncIterator[Hop]:
    clock = HandClock()
    async with open_real_yard(settings_for(state), (), clock) as yard:
        plan = Plan(name, yard.secret, lambda _: clock.now().timestamp(), schedule_s)
        relay = Relay(plan, courier, Outlets("me.test", yard.tls), yard.sandboxes, Locks(state / "locks"))
        spool = await SqlSpool.open(yard.mail_database, name, state / "spool", plan.now, relay.backlog, relay.wake)
        task = asyncio.create_task(relay.run(spool))
        try:
            yield Hop(yard, clock, spool)
        finally:
            task.cancel()
            await asyncio.wait((task,))


def attempted(times: int) -> Callable[[Sequence[Entry]], bool]:
    return lambda entries: bool(entries) and all(entry.attempts == times for entry in entries)


def test_a_transient_refusal_is_tried_again_when_the_clock_says_so(tmp_path: Path) -> None:
    async def go() -> None:
        server = PlayedServer("451 4.7.1 later", "452 4.3.1 still later")
        async with server.listen() as destination, hop_of(tmp_path, FixedCourier(destination)) as hop:
            await hop.commit()
            (entry,) = await hop.until(attempted(1))
            assert (entry.state, entry.reason) == ("queued", "451 4.7.1 later")
            assert entry.due == hop.clock.now().timestamp() + 10
            hop.clock.advance(9.9)
            hop.clock.advance(0.2)
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


def test_a_repeat_is_answered_and_changes_nothing(tmp_path: Path) -> None:
    async def go() -> None:
        server = PlayedServer()
        async with server.listen() as destination, hop_of(tmp_path, FixedCourier(destination)) as hop:
            await hop.commit("one", BOB)
            await hop.commit("one", BOB, octets=b"y" * 100_000 + b"\r\n")
            assert await settled(hop.yard) == []
            await hop.commit("one", BOB)
            await hop.commit("one", Mailbox("bob", "B.TEST"))
            await hop.commit("two", BOB)
            await hop.until(lambda entries: len(server.taken) == 2)
            assert [octets for _, octets in server.taken] == [b"x\r\n", b"x\r\n"]
        assert list((tmp_path / "spool").iterdir()) == []

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
        courier = FixedCourier(server.away())
        async with hop_of(tmp_path, courier) as hop:
            await hop.commit("one")
            await hop.commit("two")
            async with server.listen() as courier.fixed:
                assert await settled(hop.yard) == []
                assert len(server.taken) == 2
                assert hop.clock.now() == HandClock().now()

    run(go())


def test_mail_of_a_sandbox_that_was_reset_is_dropped(tmp_path: Path) -> None:
    async def go() -> None:
        server = PlayedServer("451 4.7.1 later")
        async with server.listen() as destination, hop_of(tmp_path, FixedCourier(destination)) as hop:
            await hop.commit("one")
            await hop.until(attempted(1))
            sandbox = await hop.yard.sandboxes.get("default")
            assert sandbox is not None
            await hop.yard.control_database.write(lambda work: put(work, replace(sandbox, generation=2)))
            hop.clock.advance(11)
            assert await settled(hop.yard) == []
            assert server.taken == []

    run(go())


def test_another_process_commit_is_heard_and_only_one_relays(tmp_path: Path) -> None:
    async def go() -> None:
        server = PlayedServer()
        async with (
            server.listen() as destination,
            hop_of(tmp_path, FixedCourier(destination)) as first,
            hop_of(tmp_path, FixedCourier(destination)) as second,
        ):
            for number in range(5):
                await second.commit(f"id{number}")
            await first.until(lambda entries: len(server.taken) == 5)
            assert not second.spool._desk.leading  # type: ignore[attr-defined]
            assert server.connections <= 4

    run(go())


def test_what_the_last_process_had_in_hand_is_taken_up(tmp_path: Path) -> None:
    async def go() -> None:
        server = PlayedServer()
        courier = FixedCourier(server.away())
        async with hop_of(tmp_path, courier) as hop:
            await hop.commit("one", BOB, EVE)
        async with server.listen() as courier.fixed, hop_of(tmp_path, courier) as hop:
            assert await settled(hop.yard) == []
            assert [recipients for recipients, _ in server.taken] == [("RCPT TO:<bob@b.test>", "RCPT TO:<eve@b.test>")]

    run(go())


@pytest.mark.parametrize("what", ["recover", "turns", "forget", "forget_deliveries"])
def test_a_spool_that_fails_for_a_while_strands_nothing(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: Callable[[SqlSpool], Coroutine[Any, Any, object]] = getattr(SqlSpool, what)
    failures = iter((StorageFullError("no room to write"), StorageFullError("no room to write")))
    failed = asyncio.Event()

    async def failing(spool: SqlSpool) -> object:
        if (failure := next(failures, None)) is not None:
            failed.set()
            raise failure
        return await asked(spool)

    monkeypatch.setattr(relaying, "AGAIN_S", 0.001)
    monkeypatch.setattr(SqlSpool, what, failing)

    async def go() -> None:
        server = PlayedServer()
        async with server.listen() as destination, hop_of(tmp_path, FixedCourier(destination)) as hop:
            await failed.wait()
            await hop.commit("one")
            assert await settled(hop.yard) == []
            assert len(server.taken) == 1

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


class FakeResolver:
    def __init__(self, found: object) -> None:
        self.found = found

    async def exchanges(self, domain: str) -> Sequence[tuple[str, Sequence[str]]]:
        if isinstance(self.found, Exception):
            raise self.found
        assert isinstance(self.found, list)
        return self.found


class FakeDirectory:
    entries = (
        Endpoint("mta", "smtp", "127.0.0.1", 40025, "127.0.0.1", 40025, "upgrade", "tcp"),
        Endpoint("pop3", "pop3", "192.0.2.7", 110, "127.0.0.1", 3110, "upgrade", "tcp"),
    )

    def find(self, service: str, port: str) -> Endpoint | None:
        return next((entry for entry in self.entries if (entry.service, entry.port) == (service, port)), None)

    def all(self) -> Sequence[Endpoint]:
        return self.entries


MTA = Address("127.0.0.1", 40025, "mta", ours=True)


@pytest.mark.parametrize(
    ("found", "route"),
    [
        ([("mta.b.test", ["127.0.0.1"])], Destination((MTA,))),
        ([("other", ["198.51.100.1"]), ("mta.b.test", ["127.0.0.1"])], Destination((MTA,))),
        ([("other", ["198.51.100.1"])], OUTSIDE),
        ([("pop3.b.test", ["192.0.2.7"])], Destination((Address("192.0.2.7", 25, "pop3.b.test", ours=False),))),
        ([("x", ["203.0.113.5"])], Destination((Address("203.0.113.5", 2525, "x", ours=False),))),
        ([("sink.test", ["203.0.113.6"])], Destination((Address("203.0.113.6", 26, "sink.test", ours=False),))),
        ([("y", ["2001:db8::25"])], Destination((Address("2001:db8::25", 25, "y", ours=False),))),
        ([("z", ["2001:db8::26"])], Destination((Address("2001:db8::26", 2626, "z", ours=False),))),
        ([("plain.test", ["203.0.113.8"])], Destination((Address("203.0.113.8", 25, "plain.test", ours=False),))),
        (PeerError(reply(550, "5.1.2", "no")), reply(550, "5.1.2", "no")),
        (RefusedError("b.test"), Destination((MTA,))),
    ],
)
def test_only_the_testbed_and_the_users_list_are_connected_to(found: object, route: Route, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_real_yard(settings_for(tmp_path)) as yard:
            courier = MxCourier(
                FakeDirectory(),  # type: ignore[arg-type]
                FakeResolver(found),
                yard.sandboxes,
                ("203.0.113.5:2525", "Sink.Test:26", "[2001:DB8::25]", "[2001:db8::26]:2626", "plain.test"),
            )
            assert await courier.route(Queued("one", BOB, "default", 1, 0)) == route

    run(go())


def test_address_literals_and_strict_sandboxes(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_real_yard(settings_for(tmp_path, capture="own")) as yard:
            courier = MxCourier(FakeDirectory(), FakeResolver(RefusedError("b.test")), yard.sandboxes)  # type: ignore[arg-type]

            async def route(domain: str) -> Route:
                return await courier.route(Queued("one", Mailbox("bob", domain), "default", 1, 0))

            assert await route("[127.0.0.1]") == Destination((MTA,))
            assert await route("[198.51.100.1]") == OUTSIDE
            nonsense, refused = await route("[nonsense]"), await route("b.test")
            assert not isinstance(nonsense, Destination)
            assert not isinstance(refused, Destination)
            assert (nonsense.enhanced, refused.enhanced) == ("5.1.2", "5.7.1")

    run(go())


def test_a_spool_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    """It knew no time of acceptance and no takers; what lies in it is handed over."""

    async def go() -> None:
        server = PlayedServer()
        async with server.listen() as destination:
            async with hop_of(tmp_path, FixedCourier(reply(450, "4.2.0", "later"))) as hop:
                await hop.commit()
                await hop.until(attempted(1))
                for column in ("since", "taker", "taker_generation"):
                    sql = f"ALTER TABLE spool_recipients DROP COLUMN {column}"
                    await hop.yard.mail_database.write(lambda work, sql=sql: work.execute(sql))
            async with hop_of(tmp_path, FixedCourier(destination)) as hop:
                hop.clock.advance(1000)
                assert await settled(hop.yard) == []
                assert len(server.taken) == 1

    run(go())
