"""The contract of resets and deletions: nothing of a sandbox's older generation ever shows."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from portyard.commons.clock import SystemClock
from portyard.commons.database.embedded import SqliteDatabase
from portyard.commons.filestore.disk import DiskFilestore
from portyard.commons.journal.schema import SCHEMA
from portyard.commons.journal.store import StoredJournal
from portyard.commons.mailstore.model import NoSuchMailboxError
from portyard.commons.mailstore.writing import Body
from portyard.commons.records.sql import SqlRecords
from portyard.commons.sandbox.model import Sandbox
from portyard.commons.sandbox.sweeping import LATE_S, Sweeper
from portyard.commons.scenario.parsing import make_rule
from portyard.commons.stores import Stores
from tests.contracts.children import child, go, line_of
from tests.contracts.engines import LARGE, MESSAGE, NOON, opened
from tests.support.asyncio_tests import run


async def uids(stores: Stores, account_id: int) -> list[int]:
    box = await stores.mail.mailbox(account_id, "INBOX")
    assert box is not None
    return [entry.uid for entry in await stores.mail.entries(box.id)]


def folders(state: Path) -> set[str]:
    """Every folder's name under `files/`."""
    return {path.name for path in (state / "files").rglob("*")}


def test_a_reset_empties_and_keeps_accounts_and_domains(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores, opened(engine, tmp_path) as other:
            files = DiskFilestore(tmp_path / "files")
            made = await stores.sandboxes.create("t1", domains=("mail.example",), magic=True)
            before = [await stores.accounts.create("t1", f"{name}@t1.test", name, ("key",)) for name in ("a", "b")]
            for account in before:
                await stores.mail.append(account.id, "INBOX", MESSAGE)
                files.root(account).mkdir("/old")
            await stores.rules.add("t1", make_rule("mail.rcpt", {"refuse": "550"}))
            await stores.rules.add("default", make_rule("mail.rcpt", {"refuse": "550"}))
            await stores.clocks.freeze("t1", datetime(2030, 1, 2, tzinfo=UTC))
            assert await other.accounts.find("a@t1.test") == before[0]

            reset = await stores.sandboxes.reset("t1")
            assert reset == Sandbox("t1", made.generation + 1, "any", made.domains, magic=True)
            assert await other.sandboxes.get("t1") == reset
            assert other.sandboxes.generation_now("t1") == reset.generation
            after = await other.accounts.list("t1")
            assert [(a.address, a.password, a.public_keys, a.generation) for a in after] == [
                (a.address, a.password, a.public_keys, reset.generation) for a in before
            ]
            assert await other.accounts.find("a@t1.test") == after[0]
            assert not {account.id for account in before} & {account.id for account in after}
            for account in after:
                assert await uids(other, account.id) == []
                assert files.root(account).list("/") == []
            assert await other.rules.list("t1") == []
            assert len(await other.rules.list("default")) == 1
            assert other.clocks.now("t1") == NOON

    run(main())


def test_late_traffic_of_an_old_session_never_shows_and_is_swept(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            files = DiskFilestore(tmp_path / "files")
            account = (await stores.accounts.list("default"))[0]
            await stores.mail.append(account.id, "INBOX", LARGE)
            root = files.root(account)
            root.mkdir("/old")
            await stores.sandboxes.reset("default")
            await stores.sweeper.sweep()
            assert not await stores.mail_database.read("SELECT 1 FROM mailboxes WHERE account_id = ?", (account.id,))
            assert account.address not in folders(tmp_path)

            await stores.mail.append(account.id, "INBOX", MESSAGE)  # a session that logged in before the reset
            files.root(account).mkdir("/late")
            (new,) = [found for found in await stores.accounts.list("default") if found.address == account.address]
            assert await uids(stores, new.id) == []
            assert files.root(new).list("/") == []
            await stores.mail.append(new.id, "INBOX", MESSAGE)

            later = Sweeper(stores.control_database, stores.mail, files, now_s=lambda: 1e11 + LATE_S)
            assert await later.sweep() == 2
            assert await later.sweep() == 0
            assert not await stores.mail_database.read("SELECT 1 FROM mailboxes WHERE account_id = ?", (account.id,))
            assert await uids(stores, new.id) == [1]
            assert files.root(new).list("/") == []

    run(main())


def test_octets_of_earlier_resets_go_with_the_next_sweep(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            account = (await stores.accounts.list("default"))[0]
            await asyncio.gather(*(stores.mail.append(account.id, "INBOX", octets) for octets in (MESSAGE, LARGE)))
            await stores.sandboxes.reset("default")
            await stores.sweeper.sweep()
            assert await stores.mail_database.read("SELECT count(*) FROM bodies") == [(2,)]
            await stores.mail_database.write(lambda work: work.execute("UPDATE garbage SET since = since - 301"))
            await stores.sweeper.sweep()
            assert await stores.mail_database.read("SELECT count(*) FROM bodies") == [(0,)]

    run(main())


def test_a_deletion_takes_all_and_a_namesake_begins_anew(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            files = DiskFilestore(tmp_path / "files")
            records = await SqlRecords.prepare(stores.control_database)
            first = await stores.sandboxes.create("t1", domains=("mail.example",))
            account = await stores.accounts.create("t1", "u@t1.test", "pw")
            await stores.mail.append(account.id, "INBOX", MESSAGE)
            files.root(account).mkdir("/old")
            await stores.rules.add("t1", make_rule("mail.rcpt", {"refuse": "550"}))
            await records.replace("t1", "t1.test", "TXT", 5, ["x"])
            await stores.sandboxes.delete("t1")
            assert await stores.sandboxes.get("t1") is None
            assert await stores.sandboxes.owner("mail.example") is None
            assert await stores.accounts.find("u@t1.test") is None
            assert await stores.rules.list("t1") == []
            again = await stores.sandboxes.create("t1")
            assert again.generation > first.generation
            same = await stores.accounts.create("t1", "u@t1.test", "pw")
            assert await uids(stores, same.id) == []
            assert files.root(same).list("/") == []
            assert await records.of("t1") == ()
            await stores.sweeper.sweep()
            assert files.root(same).list("/") == []

    run(main())


@pytest.mark.parametrize("stored_before", [1, 25])
def test_a_late_delivery_of_another_process_never_shows_after_a_reset(
    stored_before: int, engine: str, tmp_path: Path
) -> None:
    """Whatever the other process stored in the race lies under the account's old number."""

    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            await stores.sandboxes.create("t1")
            old = await stores.accounts.create("t1", "u@t1.test", "pw")
            async with child("deliver-late", engine, tmp_path) as process:
                go(process)
                for _ in range(stored_before):
                    assert await line_of(process) == "stored"
                await stores.sandboxes.reset("t1")
                account = await stores.accounts.by_address("t1", "u@t1.test")
                assert account is not None
                assert account.id != old.id
                assert await uids(stores, account.id) == []
                after = "stored"
                while after in ("stored", "gone"):  # those under way
                    after = await line_of(process)
                assert after == "dropped"
                assert {await line_of(process) for _ in range(20)} == {"dropped"}
            assert await uids(stores, account.id) == []
            await stores.sweeper.sweep()
            assert await uids(stores, account.id) == []

    run(main())


def test_a_delivery_that_a_sweep_overtakes_stores_nothing(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account's INBOX stood when the delivery looked, and another process's sweep took it before the delivery wrote."""

    async def main() -> None:
        async with opened(engine, tmp_path) as one, opened(engine, tmp_path) as other:
            account = (await one.accounts.list("default"))[0]
            await one.mail.append(account.id, "INBOX", MESSAGE)
            prepared = one.mail._body

            async def overtaken(octets: bytes) -> Body:
                body = await prepared(octets)
                await other.mail.forget(account.id)
                return body

            monkeypatch.setattr(one.mail, "_body", overtaken)
            with pytest.raises(NoSuchMailboxError):
                await one.mail.append(account.id, "INBOX", LARGE)
            monkeypatch.undo()
            assert not list((tmp_path / "bodies").iterdir())
            assert await uids(one, account.id) == []

    run(main())


def test_many_lives_at_once(engine: str, tmp_path: Path) -> None:
    async def life(stores: Stores, name: str) -> None:
        await stores.sandboxes.create(name)
        account = await stores.accounts.create(name, f"u@{name}.test", "pw")
        await stores.mail.append(account.id, "INBOX", MESSAGE)
        generation = (await stores.sandboxes.reset(name)).generation
        (account,) = await stores.accounts.list(name)
        assert (await uids(stores, account.id), account.generation) == ([], generation)
        await stores.sandboxes.delete(name)

    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            await asyncio.gather(*(life(stores, f"t{n}") for n in range(100)))
            assert [sandbox.name for sandbox in await stores.sandboxes.list()] == ["default"]
            await stores.sweeper.sweep()
            assert await stores.mail_database.read("SELECT count(*) FROM mailboxes") == [(0,)]

    run(main())


def test_the_journal_shows_the_present_generation(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            database = await SqliteDatabase.open(tmp_path / "journal.db", SCHEMA, stores.generations)
            journal = StoredJournal(database, SystemClock(), 1000, 1 << 20, stores.sandboxes.generation_now)
            await stores.sandboxes.create("t1")
            peer = {"room": "mail", "service": "mail", "peer": "p", "local": "l", "port": "in"}
            early, late = journal.open_session(**peer), journal.open_session(**peer)
            early.join("t1")
            await journal.flush()
            assert [found.id for found in await journal.sessions("t1")] == [early.id]
            late.join("t1")  # noted, and not yet written when the reset comes
            await stores.sandboxes.reset("t1")
            early.event("command", text="late")
            await journal.flush()
            assert await journal.sessions("t1") == []
            assert await journal.session(early.id) is None
            late.join("t1")  # a new claim, on a kept connection
            late.event("command", text="new")
            fresh = journal.open_session(**peer)
            await journal.flush()
            assert [found.id for found in await journal.sessions("t1")] == [late.id]
            assert [found.id for found in await journal.sessions("default")] == [fresh.id]
            for log in (early, late, fresh):
                log.close()
            await journal.close()
            await database.close()

    run(main())
