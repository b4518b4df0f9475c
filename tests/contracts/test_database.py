"""The contract of a Database."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from portyard.commons.database.embedded import Schema, SqliteDatabase
from portyard.commons.database.engine import (
    ConstraintError,
    StateDirectoryError,
    StorageError,
    StorageFullError,
    Transaction,
)
from portyard.commons.database.generations import Generations, slot
from tests.contracts.engines import opened
from tests.support.asyncio_tests import run

ADD = "INSERT INTO sandboxes (name, capture, default_password) VALUES (?, 'any', 'x')"
NAMES = "SELECT name FROM sandboxes WHERE name <> 'default' ORDER BY name"


def test_a_write_is_read_once_it_is_answered(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            database = stores.control_database
            assert await database.write(lambda work: work.execute(ADD + " RETURNING name", ("one",))) == [("one",)]
            assert await database.read(NAMES) == [("one",)]

    run(main())


def test_a_job_that_raises_is_rolled_back_alone(engine: str, tmp_path: Path) -> None:
    def failing(work: Transaction) -> None:
        work.execute(ADD, ("half",))
        work.bump("half")
        raise LookupError("no")

    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            database = stores.control_database
            before = database.generation("half")
            outcomes = await asyncio.gather(
                *(database.write(lambda work, n=n: work.execute(ADD, (f"n{n}",))) for n in range(3)),
                database.write(failing),
                *(database.write(lambda work, n=n: work.execute(ADD, (f"n{n}",))) for n in range(3, 6)),
                return_exceptions=True,
            )
            assert [type(outcome) for outcome in outcomes] == [list] * 3 + [LookupError] + [list] * 3
            assert await database.read(NAMES) == [(f"n{n}",) for n in range(6)]
            assert database.generation("half") == before

    run(main())


def test_a_job_that_ruins_the_transaction_takes_no_other_with_it(engine: str, tmp_path: Path) -> None:
    def ruinous(work: Transaction) -> None:
        work.execute(ADD, ("half",))
        work.execute("ROLLBACK")
        raise LookupError("no")

    def ending(work: Transaction) -> None:
        work.execute("COMMIT")

    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            database = stores.control_database
            jobs = [lambda work, n=n: work.execute(ADD, (f"n{n}",)) for n in range(4)]
            outcomes = await asyncio.gather(
                *(database.write(job) for job in (jobs[0], ruinous, jobs[1], ending, jobs[2])), return_exceptions=True
            )
            assert [type(outcome) for outcome in outcomes] == [list, LookupError, list, StorageError, list]
            await database.write(jobs[3])
            assert await database.read(NAMES) == [("n0",), ("n1",), ("n2",), ("n3",)]

    run(main())


def test_a_job_without_room_takes_no_other_with_it(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            database = stores.control_database
            ((pages,),) = await database.read("PRAGMA page_count")
            await database.write(lambda work: work.execute(f"PRAGMA max_page_count = {pages + 5}"))
            outcomes = await asyncio.gather(
                *(
                    database.write(lambda work, n=n: work.execute(ADD, ("x" * 10 ** (n % 6) + str(n),)))
                    for n in range(12)
                ),
                return_exceptions=True,
            )
            assert [type(outcome) for outcome in outcomes] == ([list] * 5 + [StorageFullError]) * 2
            assert len(await database.read(NAMES)) == 10

    run(main())


def test_a_job_may_meet_a_constraint(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            database = stores.control_database
            await database.write(lambda work: work.execute(ADD, ("one",)))
            with pytest.raises(ConstraintError):
                await database.write(lambda work: work.execute(ADD, ("one",)))
            with pytest.raises(StorageError, match="no such table"):
                await database.read("SELECT 1 FROM absent")

    run(main())


def test_counters_move_before_the_answer_and_not_without_a_bump(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            database = stores.control_database
            before = database.generation("zones")
            await database.write(lambda work: work.execute(ADD, ("one",)))
            assert database.generation("zones") == before
            await database.write(lambda work: work.bump("zones"))
            assert database.generation("zones") != before

    run(main())


def test_actions_run_after_the_commit_alone(engine: str, tmp_path: Path) -> None:
    done: list[str] = []

    def failing(work: Transaction) -> None:
        work.after_commit(lambda: done.append("never"))
        raise LookupError

    def good(work: Transaction) -> None:
        work.after_commit(lambda: done.append("after"))
        done.append("in")

    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            with pytest.raises(LookupError):
                await stores.control_database.write(failing)
            await stores.control_database.write(good)

    run(main())
    assert done == ["in", "after"]


def test_a_cancelled_writer_disturbs_nobody(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            task = asyncio.ensure_future(stores.control_database.write(lambda work: work.execute(ADD, ("one",))))
            await asyncio.sleep(0)
            task.cancel()
            await stores.control_database.write(lambda work: work.execute(ADD, ("two",)))
            assert ("two",) in await stores.control_database.read(NAMES)
            assert task.cancelled()

    run(main())


def test_closing_finishes_the_writes_under_way(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            write = stores.control_database.write
            tasks = [asyncio.ensure_future(write(lambda work, n=n: work.execute(ADD, (f"{n:02}",)))) for n in range(20)]
            await asyncio.sleep(0)
            await stores.control_database.close()
            await asyncio.gather(*tasks)
            with pytest.raises(StorageError, match="closed"):
                await write(lambda work: work.execute(ADD, ("late",)))
        async with opened(engine, tmp_path) as stores:
            assert len(await stores.control_database.read(NAMES)) == 20

    run(main())


def test_many_may_open_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        generations = Generations(tmp_path / "generations")
        schema = Schema("t", ("CREATE TABLE t (n INTEGER)", "INSERT INTO t VALUES (1)"))
        databases = await asyncio.gather(
            *(SqliteDatabase.open(tmp_path / "t.db", schema, generations) for _ in range(8))
        )
        assert [await database.read("SELECT n FROM t") for database in databases] == [[(1,)]] * 8
        for database in databases:
            await database.close()
        generations.close()

    run(main())


def test_what_is_dropped_from_a_file_that_nobody_scrubs_is_not_written_once_more(tmp_path: Path) -> None:
    async def main() -> None:
        generations = Generations(tmp_path / "generations")
        body, kept = b"w" * 8000, 400
        grown = {}
        for scrubbed in (True, False):
            path = tmp_path / f"{scrubbed}.db"
            schema = Schema("t", ("CREATE TABLE t (body BLOB)",), scrubbed=scrubbed)
            database = await SqliteDatabase.open(path, schema, generations)
            if scrubbed:  # as some builds have it from the start
                await database.write(lambda work: work.execute("PRAGMA secure_delete = ON"))
            await database.write(lambda work: work.execute_many("INSERT INTO t VALUES (?)", [(body,)] * kept))
            written = path.with_name(f"{path.name}-wal").stat().st_size
            await database.write(lambda work: work.execute("DELETE FROM t"))
            grown[scrubbed] = path.with_name(f"{path.name}-wal").stat().st_size - written
            assert await database.read("PRAGMA page_size") == [(8192,)]
            await database.close()
        assert grown[True] > kept * len(body)
        assert grown[False] < kept * len(body) // 10
        generations.close()

    run(main())


def test_a_later_schema_migrates_and_a_newer_file_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        generations = Generations(tmp_path / "generations")
        first = "CREATE TABLE t (n INTEGER)"
        for schema in (Schema("t", (first,)), Schema("t", (first, "ALTER TABLE t ADD COLUMN m INTEGER DEFAULT 7"))):
            database = await SqliteDatabase.open(tmp_path / "t.db", schema, generations)
            await database.write(lambda work: work.execute("INSERT INTO t (n) VALUES (1)"))
            rows = await database.read("SELECT * FROM t")
            await database.close()
        assert rows == [(1, 7), (1, 7)]
        with pytest.raises(StateDirectoryError, match=r"t\.db: made by a newer"):
            await SqliteDatabase.open(tmp_path / "t.db", Schema("t", (first,)), generations)
        generations.close()

    run(main())


@pytest.mark.parametrize("name", ["mail.db", "control.db"])
def test_a_file_that_is_no_database_is_named(name: str, engine: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"not a database at all, but long enough to look at" * 50)

    async def main() -> None:
        with pytest.raises(StateDirectoryError, match=f"{name}: .*set `state`"):
            async with opened(engine, tmp_path):
                pass

    run(main())


def test_a_state_directory_that_cannot_be_one_is_named(engine: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    async def main() -> None:
        with pytest.raises(StateDirectoryError, match=r"file/state: not a directory; .*set `state`"):
            async with opened(engine, tmp_path / "file" / "state"):
                pass

    run(main())


def test_counters_have_the_same_slot_in_every_process_and_their_values_never_look_alike(tmp_path: Path) -> None:
    one, other = Generations(tmp_path / "g"), Generations(tmp_path / "g")
    assert slot("mailbox:1") != slot("mailbox:2")
    assert slot("accounts") < 64 <= slot("mailbox:448")
    seen = {one.read("accounts")}
    for _ in range(100):
        for page in (one, other):
            page.bump("accounts")
            assert one.read("accounts") == other.read("accounts")
            assert other.read("accounts") not in seen
            seen.add(one.read("accounts"))
    untouched = one.read("mailbox:5")
    one.bump_all()
    assert other.read("mailbox:5") != untouched
    one.close()
    other.close()
