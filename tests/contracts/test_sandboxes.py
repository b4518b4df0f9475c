"""The contract of sandboxes: made, reset and deleted; nothing of the older generation ever shows."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from portyard.commons.clock import SystemClock
from portyard.commons.database.control import CONTROL_SCHEMA
from portyard.commons.database.embedded import Schema, SqliteDatabase
from portyard.commons.database.engine import Transaction
from portyard.commons.database.generations import Generations
from portyard.commons.filestore.disk import DiskFilestore
from portyard.commons.journal.schema import SCHEMA
from portyard.commons.journal.store import StoredJournal
from portyard.commons.mailstore.model import NoSuchMailboxError
from portyard.commons.mailstore.writing import Body
from portyard.commons.records.sql import SqlRecords
from portyard.commons.sandbox.model import (
    DomainTakenError,
    NoSuchSandboxError,
    Sandbox,
    SandboxError,
    SandboxTakenError,
)
from portyard.commons.sandbox.sweeping import LATE_S, Sweeper
from portyard.commons.scenario.parsing import make_rule
from portyard.commons.stores import Stores
from tests.contracts.engines import LARGE, MESSAGE, NOON, opened
from tests.contracts.test_processes import child, go, line_of
from tests.support.asyncio_tests import run


async def uids(stores: Stores, account_id: int) -> list[int]:
    box = await stores.mail.mailbox(account_id, "INBOX")
    assert box is not None
    return [entry.uid for entry in await stores.mail.entries(box.id)]


def folders(state: Path) -> set[str]:
    """Every folder's name under `files/`."""
    return {path.name for path in (state / "files").rglob("*")}


def test_a_sandbox_owns_its_domains_and_is_known_everywhere(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as one, opened(engine, tmp_path) as other:
            made = await one.sandboxes.create(
                "t1", domains=("Mail.Example.", "t1.test"), capture="own", default_password="x"
            )
            assert made == Sandbox("t1", 2, "own", ("t1.test", "mail.example"), "x")
            assert await other.sandboxes.get("t1") == await other.sandboxes.owner("mail.example") == made
            assert other.sandboxes.generation_now("t1") == 2
            assert other.sandboxes.generation_now("t2") == 0
            plain = await other.sandboxes.create("a" * 63)
            assert plain == Sandbox("a" * 63, 3, "any", (f"{'a' * 63}.test",))
            changed = await one.sandboxes.change(
                "t1", capture="any", domains=("b.example",), default_password="y", magic=True
            )
            assert changed == Sandbox("t1", 2, "any", ("t1.test", "b.example"), "y", magic=True)
            assert await other.sandboxes.owner("mail.example") is None
            assert await other.sandboxes.change("t1") == changed

    run(main())


@pytest.mark.parametrize(
    ("fields", "error", "key"),
    [
        ({"name": "t1"}, SandboxTakenError, "name"),
        ({"name": "default"}, SandboxTakenError, "name"),
        ({"name": "localhost"}, SandboxTakenError, "name"),
        ({"name": "expired"}, SandboxTakenError, "name"),
        ({"name": "tls13-only"}, SandboxTakenError, "name"),
        ({"name": "portyard"}, DomainTakenError, "domains"),
        ({"name": "t2", "domains": ("t1.test",)}, DomainTakenError, "domains"),
        ({"name": "t2", "domains": ("PORTYARD.test",)}, DomainTakenError, "domains"),
        *(
            ({"name": name}, SandboxError, "name")
            for name in ("", "T2", "-a", "a-", "a_b", "a.b", "a" * 64, "a b", "ä", "a\n", "../x", "٣")
        ),
        *(
            ({"name": "t2", "domains": (domain,)}, SandboxError, "domains")
            for domain in (
                "",
                ".",
                "a b",
                "-a.test",
                "a..b",
                "x" * 64 + ".test",
                "a." * 130 + "b",
                "*.test",
                "ä.test",
                "127.0.0.1",
                "mail.7",
                "10",
                "localhost",
                "LOCALHOST.",
                "expired.test",
                "Wrong-Host.mail.example.",
                "stalled.t2.test",
                "revoked",
            )
        ),
        ({"name": "t2", "domains": ("a.test",) * 1001}, SandboxError, "domains"),
        ({"name": "t2", "capture": "all"}, SandboxError, "capture"),
        ({"name": "t2", "default_password": ""}, SandboxError, "default_password"),
    ],
)
def test_what_can_not_be_made(
    fields: dict[str, object], error: type[SandboxError], key: str, engine: str, tmp_path: Path
) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            await stores.sandboxes.create("t1")
            before = await stores.sandboxes.list()
            with pytest.raises(error) as caught:
                await stores.sandboxes.create(**fields)  # type: ignore[arg-type]
            assert caught.value.key == key
            assert caught.value.allowed
            assert await stores.sandboxes.list() == before

    run(main())


def test_what_is_not_there_can_not_be_changed(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            for attempt in (stores.sandboxes.change("t1"), stores.sandboxes.reset("t1"), stores.sandboxes.delete("t1")):
                with pytest.raises(NoSuchSandboxError):
                    await attempt
            with pytest.raises(SandboxError, match="always exists"):
                await stores.sandboxes.delete("default")
            with pytest.raises(NoSuchSandboxError):
                await stores.accounts.create("t1", "u@t1.test", "pw")
            with pytest.raises(DomainTakenError):
                await stores.sandboxes.change((await stores.sandboxes.create("t1")).name, domains=("portyard.test",))

    run(main())


def test_the_same_local_part_lives_in_many_sandboxes(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            await asyncio.gather(*(stores.sandboxes.create(f"t{n}") for n in range(20)))
            made = await asyncio.gather(
                *(stores.accounts.create(f"t{n}", f"u@t{n}.test", f"pw{n}") for n in range(20)),
                *(stores.accounts.create(f"t{n}", "u@mail.example", f"foreign{n}") for n in range(20)),
            )
            assert len({account.id for account in made}) == 40
            for n in range(20):
                assert await stores.accounts.verify(f"u@t{n}.test", f"pw{n}") == made[n]
                assert await stores.accounts.verify(f"u@t{n}.test", f"pw{n + 1}") is None
                assert await stores.accounts.find(f"t{n}/u@mail.example") == made[20 + n]
            assert await stores.accounts.find("u@mail.example") is None
            assert await stores.accounts.find("u") is None

    run(main())


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


def test_a_state_directory_of_before_goes_on(tmp_path: Path) -> None:
    """Only files know older versions of themselves."""

    async def main() -> None:
        generations = Generations(tmp_path / "generations")
        first = Schema("control", CONTROL_SCHEMA.migrations[:1])
        database = await SqliteDatabase.open(tmp_path / "control.db", first, generations)
        await database.write(
            lambda work: work.execute(
                "INSERT INTO sandboxes (name, generation, capture, default_password) VALUES ('t1', 7, 'own', 'pw')"
            )
        )
        await database.close()
        generations.close()
        async with opened("sqlite", tmp_path) as stores:
            assert await stores.sandboxes.get("t1") == Sandbox("t1", 7, "own", (), "pw")
            assert (await stores.sandboxes.create("t2")).generation == 8
            assert (await stores.sandboxes.reset("t1")).generation == 9
            await stores.rules.add("t1", make_rule("mail.rcpt", {"refuse": "550"}))

    run(main())


def test_rules_of_before_are_taken_to_mean_every_room(tmp_path: Path) -> None:
    """Which rooms they ask for faults of bytes is told by their `on`, which SQL doesn't read."""

    async def main() -> None:
        generations = Generations(tmp_path / "generations")
        database = await SqliteDatabase.open(
            tmp_path / "control.db", Schema("control", CONTROL_SCHEMA.migrations[:3]), generations
        )
        rules = [
            ("plain", '{"on":"mail.rcpt","then":[{"refuse":{"reply":"550"}}]}'),
            ("fault", '{"on":"mail.rcpt","then":[{"cut_after":{"octets":3}}]}'),
        ]

        def job(work: Transaction) -> None:
            for number, (name, rule) in enumerate(rules, 1):
                work.execute("INSERT INTO rules (id, sandbox, name, rule) VALUES (?, 't1', ?, ?)", (number, name, rule))

        await database.write(job)
        await database.close()
        generations.close()
        async with opened("sqlite", tmp_path) as stores:
            assert await stores.rules.carried() == (frozenset({"*"}), False)
            assert await stores.rules.delete("t1", 2)
            assert await stores.rules.carried() == (frozenset(), False)

    run(main())
