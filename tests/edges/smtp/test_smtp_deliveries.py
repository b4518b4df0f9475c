"""What the MDA knows of deliveries goes once nobody can ask for it any more, and no earlier: each message comes exactly once."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from portyard.commons.accounts.model import Account
from portyard.commons.database.embedded import Schema, SqliteDatabase
from portyard.commons.database.generations import Generations
from portyard.commons.mailstore.schema import MAIL_SCHEMA
from portyard.commons.yard import Yard
from portyard.smtp import spool as spooling
from portyard.smtp.core.model import NULL_PATH, Mailbox, Recipient
from portyard.smtp.core.stores import Arrival
from portyard.smtp.spooled import State, Verdict
from tests.support.asyncio_tests import run
from tests.support.smtp import open_spool
from tests.support.yard import open_yard

ALICE = Mailbox("alice", "portyard.test")
MESSAGE = b"Subject: once\r\n\r\nhello\r\n"


async def deliver(yard: Yard, delivery_id: str) -> tuple[Account, int]:
    """Who got it, and the message's UID."""
    account = await yard.accounts.by_address("default", "alice@portyard.test")
    assert account is not None
    appended = await yard.mail.append(
        account.id, "INBOX", MESSAGE, delivery_id=delivery_id, recipient="alice@portyard.test"
    )
    return account, appended.uid


async def known(yard: Yard) -> list[str]:
    return [str(row[0]) for row in await yard.mail_database.read("SELECT delivery_id FROM deliveries ORDER BY 1")]


async def remove(yard: Yard, delivery_id: str) -> None:
    """Deliver a message, expunge it, and let its octets go."""
    account, uid = await deliver(yard, delivery_id)
    inbox = await yard.mail.mailbox(account.id, "INBOX")
    assert inbox is not None
    assert await yard.mail.expunge(inbox.id, [uid]) == [uid]
    mail: Any = yard.mail
    await mail.sweep(keep_s=0)


async def commit(yard: Yard, hop: str, delivery_id: str) -> spooling.SqlSpool:
    spool = await open_spool(yard, hop)
    taker = Recipient(ALICE, "default", 1)
    await spool.commit(Arrival(delivery_id, NULL_PATH, False, False, [taker], MESSAGE))
    return spool


def test_a_delivery_is_forgotten_when_its_message_is_gone_since_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go() -> None:
        async with open_yard(tmp_path) as yard:
            spool = await open_spool(yard, "mta")
            await deliver(yard, "standing")
            for number in range(5):
                await remove(yard, f"gone{number}")
            await spool.forget_deliveries()
            assert len(await known(yard)) == 6, "their message went just now: somebody may still have it in hand"
            monkeypatch.setattr(spooling, "SPENT_S", 0)
            monkeypatch.setattr(spooling, "SLICE", 2)
            await spool.forget_deliveries()
            assert await known(yard) == ["standing"]
            assert await yard.mail_database.read("SELECT * FROM spent") == []

    run(go())


@pytest.mark.parametrize("hop", ["msa", "mta"])
def test_what_a_hop_may_hand_over_again_stays_known_also_over_a_restart(
    hop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spooling, "SPENT_S", 0)

    async def go() -> None:
        async with open_yard(tmp_path) as yard:
            await commit(yard, hop, "one")
            await remove(yard, "one")
            await (await open_spool(yard, "mta")).forget_deliveries()
        async with open_yard(tmp_path) as yard:
            spool, mta = await open_spool(yard, hop), await open_spool(yard, "mta")
            await mta.forget_deliveries()
            account, _ = await deliver(yard, "one")  # the hop before died before it wrote down that it was taken
            inbox = await yard.mail.mailbox(account.id, "INBOX")
            assert inbox is not None
            assert inbox.messages == 0, "it came twice"
            await spool.settle("one", [Verdict(ALICE, State.DELIVERED, 1)])
            await mta.forget_deliveries()
            assert await known(yard) == []

    run(go())


def test_deliveries_of_an_earlier_version_are_looked_at_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def before() -> None:
        generations = Generations(tmp_path / "generations")
        database = await SqliteDatabase.open(
            tmp_path / "mail.db", Schema("mail", MAIL_SCHEMA.migrations[:1]), generations
        )
        await database.close()
        generations.close()
        with sqlite3.connect(tmp_path / "mail.db") as file:
            file.execute("INSERT INTO deliveries VALUES ('old', 'alice@portyard.test', 1, 1, 7)")
        file.close()

    async def after() -> None:
        async with open_yard(tmp_path) as yard:
            assert await known(yard) == ["old"]
            await (await open_spool(yard, "mta")).forget_deliveries()
            assert await known(yard) == []

    run(before())
    run(after())
