"""What the journal lets go: the oldest when a bound is passed, and what a disk doesn't take."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from portyard.commons.database.embedded import SqliteDatabase
from portyard.commons.database.engine import StorageFullError
from portyard.commons.journal import pen as noting
from portyard.commons.journal import writing
from portyard.commons.journal.pages import PLACES
from portyard.commons.journal.pen import Pen
from portyard.commons.journal.store import StoredJournal
from tests.support.asyncio_tests import run
from tests.support.journal_store import journal_in, opened


def spoken(journal: StoredJournal, lines: int = 8) -> Pen:
    """A session that has ended, of so many events and two."""
    pen = opened(journal)
    for _ in range(lines):
        pen.command("x")
    pen.close()
    return pen


def test_the_oldest_go_when_a_bound_is_passed_and_who_talks_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "PRUNE_EVENTS", 10)

    async def go() -> None:
        async with journal_in(tmp_path, events=40) as journal:
            talking = opened(journal)
            talking.join("t1")
            talking.join("t2", also=True)
            ended = []
            for _ in range(20):
                ended.append(spoken(journal))
                await journal.flush()
            kept = [record.id for record in await journal.sessions("default")]
            assert kept == [pen.id for pen in reversed(ended[-3:])]
            assert len(await journal.events(ended[-1].id)) == 10
            assert await journal.events(ended[0].id) == []
            talking.command("still here")
            await journal.flush()
            assert [event.kind for event in await journal.events(talking.id)] == ["opened", "command"]
            for sandbox in ("t1", "t2"):
                assert [record.id for record in await journal.sessions(sandbox)] == [talking.id]

    run(go())


def test_of_one_who_talks_without_end_the_middle_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "PRUNE_EVENTS", 10)

    async def go() -> None:
        async with journal_in(tmp_path, events=40) as journal:
            other, talking = opened(journal), opened(journal)
            for number in range(30):
                for word in range(5):
                    talking.command(f"C{number}.{word}")
                await journal.flush()
            found = await journal.events(talking.id)
            assert len(found) <= 50
            assert [event.seq for event in found][:2] == [1, 2]
            assert found[0].kind == "opened"
            assert found[-1].fields["text"] == "C29.4"
            assert found[-1].seq == 151 == (await journal.standing("default"))[talking.id]
            assert [event.seq for event in await journal.events(talking.id, 149)] == [150, 151]
            assert len(await journal.events(other.id)) == 1
            talking.close()
            for _ in range(6):
                spoken(journal)
                await journal.flush()
            assert await journal.session(talking.id) is None
            assert await journal.session(other.id) is not None

    run(go())


def test_what_killed_processes_left_open_goes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "PRUNE_EVENTS", 10)

    async def go() -> None:
        async with journal_in(tmp_path, events=40) as journal:
            left = [opened(journal) for _ in range(60)]
            await journal.flush()
            left[0].command("I live")
            for number in range(10):
                left[0].command(f"and talk {number}")
                await journal.flush()
            assert await journal.session(left[0].id) is not None
            assert await journal.session(left[1].id) is None
            assert await journal.session(left[-1].id) is not None
            assert len(await journal.sessions("default")) <= 41
            left[1].command("I live, too")  # its events' numbers go on
            await journal.flush()
            assert [(event.seq, event.kind) for event in await journal.events(left[1].id)] == [(2, "command")]
            assert (await journal.standing("default"))[left[1].id] == 2

    run(go())


@pytest.mark.parametrize(("events", "octets"), [(1000, 1 << 30), (1 << 30, 1 << 20)])
def test_small_bounds_hold(tmp_path: Path, events: int, octets: int) -> None:
    async def go() -> None:
        async with journal_in(tmp_path, events=events, octets=octets) as journal:
            for _ in range(40):
                pen = opened(journal)
                for _ in range(100):
                    pen.command(secrets.token_urlsafe(750))  # 1,000 octets that nothing compresses
                pen.close()
                await journal.flush()
            kept = [await journal.events(record.id) for record in await journal.sessions("default", limit=1000)]
            assert 0 < sum(map(len, kept)) < min(1.5 * events, 1.5 * octets / 1000)
            assert (await journal.tallies())[0].events >= 40  # whatever is dropped

    run(go())


def test_octets_are_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "PRUNE_OCTETS", 5000)

    async def go() -> None:
        async with journal_in(tmp_path, octets=10_000) as journal:
            for _ in range(20):
                pen = opened(journal)
                pen.command(secrets.token_urlsafe(1500))
                pen.close()
                await journal.flush()
            assert len(await journal.sessions("default")) <= 6

    run(go())


def test_what_a_slow_disk_cant_take_is_dropped_but_the_end_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writing, "QUEUE_LIMIT", 5)
    monkeypatch.setattr(noting, "_LEAF_PLACES", PLACES)

    async def go() -> None:
        async with journal_in(tmp_path) as journal:
            pen = opened(journal)
            for _ in range(10):
                pen.command("x")
            pen.close("done")
            await journal.flush()
            assert len(await journal.events(pen.id)) == 5
            record = await journal.session(pen.id)
            assert record is not None
            assert record.closed_at is not None

    run(go())
    assert "dropped 7 events" in caplog.text


@pytest.mark.parametrize("goes_on", [True, False])
def test_what_a_failed_write_took_with_it_has_ended_all_the_same(
    goes_on: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that stayed open would be the last to make room."""

    async def go() -> None:
        async with journal_in(tmp_path) as journal:
            early = opened(journal)
            await journal.flush()
            with monkeypatch.context() as full:
                full.setattr(SqliteDatabase, "write", no_room)
                late = opened(journal)
                for pen in (early, late):
                    pen.close("done")
                await journal.flush()
            if goes_on:
                opened(journal).close("done")
                await journal.flush()
            else:
                await journal.close()
            for pen in (early, late):
                record = await journal.session(pen.id)
                assert record is not None
                assert record.closed_at is not None
            assert [event.kind for event in await journal.events(early.id)] == ["opened"]

    run(go())


async def no_room(database: SqliteDatabase, job: object) -> None:
    raise StorageFullError("no room to write")
