"""What lies in the spool: repeats, resets, other processes and earlier versions, and a disk that fails for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from portyard.commons.database.engine import StorageFullError
from portyard.commons.sandbox.sql import put
from portyard.smtp import relay as relaying
from portyard.smtp.core.model import Mailbox, reply
from portyard.smtp.spool import SqlSpool
from tests.support.asyncio_tests import run
from tests.support.mail_chain import settled
from tests.support.smtp_relay import BOB, EVE, FixedCourier, PlayedServer, attempted, hop_of


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
        with server.away() as nowhere:
            courier = FixedCourier(nowhere)
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
