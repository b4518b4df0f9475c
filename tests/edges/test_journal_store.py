"""The journal's pages: order, guests, what a sandbox sees of them, and how they are written and read."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from portyard.commons.database.embedded import Schema, SqliteDatabase
from portyard.commons.database.engine import Row, Transaction
from portyard.commons.database.generations import Generations
from portyard.commons.journal import pen as noting
from portyard.commons.journal import reading
from portyard.commons.journal.packing import unpacked
from portyard.commons.journal.pages import LONG, PLACES, as_json, form
from portyard.commons.journal.pen import PAGE_EVENTS
from portyard.commons.journal.schema import SCHEMA
from tests.support.asyncio_tests import run
from tests.support.journal_store import journal_in, opened

_CAME = form("data", {"octets": 0, "text": "TEXT"}, veiled=True)
_SENT = form("data", {"octets": 0, "text": "TEXT"}, skip=2)


@pytest.mark.parametrize("leaf", [1, 2, 32])
def test_events_come_back_in_order_over_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leaf: int) -> None:
    monkeypatch.setattr(noting, "_LEAF_PLACES", leaf * PLACES)
    for module in (noting, reading):
        monkeypatch.setattr(module, "PAGE_EVENTS", 3)

    async def go() -> None:
        async with journal_in(tmp_path) as journal:
            pen, other = opened(journal), opened(journal)
            for number in range(10):
                pen.command(f"C{number}")
                other.reply("between")
                if number % 4 == 0:
                    await journal.flush()
            pen.event("data", octets=5, list=["a", {"b": None}], odd=Path("/x"), half="\udc80")
            pen.authenticated("alice", "PLAIN")
            pen.close("done")
            await journal.flush()
            found = await journal.events(pen.id)
            assert [event.seq for event in found] == list(range(1, 15))
            assert [event.kind for event in found] == ["opened", *["command"] * 10, "data", "auth", "closed"]
            assert [event.fields["text"] for event in found[1:11]] == [f"C{number}" for number in range(10)]
            assert found[11].fields == {"octets": 5, "list": ["a", {"b": None}], "odd": "/x", "half": "\udc80"}
            assert [event.at for event in found] == sorted(event.at for event in found)
            record = await journal.session(pen.id)
            assert record is not None
            assert (record.account, record.closed_at is None) == ("alice", False)
            assert await journal.events("nobody") == []

    run(go())


@pytest.mark.parametrize("leaf", [1, 2, 3, 32])
def test_what_is_told_again_stands_once_on_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leaf: int) -> None:
    monkeypatch.setattr(noting, "_LEAF_PLACES", leaf * PLACES)

    async def go() -> None:
        async with journal_in(tmp_path) as journal:
            pen = opened(journal)
            first, other = ({"text": f"{name} {'x' * LONG}", "octets": 7} for name in ("one", "two"))
            told = [first, other, {"text": "short"}] * 12
            for fields in told:
                pen.told("command", as_json(fields))
            pen.noter(_SENT)(b'--a\0"\xff')
            pen.noter(_CAME)(b"\0\1\2\3" + b"abcdef")
            pen.event("reply", **first)
            pen.reply("last")
            await journal.flush()
            found = await journal.events(pen.id)
            assert [event.fields for event in found[1:37]] == told
            assert [event.fields["text"] for event in found[37:39]] == ['TEXT 4 a\0"\ufffd', "TEXT 6 acageg"]
            assert [event.fields for event in found[39:]] == [first, {"text": "last"}]
            assert [event.kind for event in found[1:]] == [*["command"] * 36, "data", "data", "reply", "reply"]
            rows = await journal._database.read("SELECT body FROM pages")
            assert sum(len(unpacked(body)) for (body,) in rows) < 3 * (LONG + 60) + 40 * 40

    run(go())


def test_a_session_of_several_sandboxes_shows_in_each(tmp_path: Path) -> None:
    async def go() -> None:
        async with journal_in(tmp_path) as journal:
            pen, moved = opened(journal), opened(journal, "pop")
            await journal.flush()
            for name in ("t1", "t1", "t2", "t1"):
                pen.join(name, also=True)
            moved.join("t1")
            moved.join("t2")
            await journal.flush()  # what was joined is written, without any event
            shows = {name: [r.id for r in await journal.sessions(name)] for name in ("default", "t1", "t2")}
            assert shows == {"default": [], "t1": [pen.id], "t2": [moved.id, pen.id]}
            assert [r.id for r in await journal.sessions("t2", limit=1)] == [moved.id]
            assert [(r.id, r.sandbox) for r in await journal.sessions("t2", before=moved.id)] == [(pen.id, "t2")]
            assert [r.id for r in await journal.sessions("t2", room="mail")] == [pen.id]
            seen = [await journal.session(pen.id, name) for name in ("t1", "t2", "default")]
            assert [record and record.sandbox for record in seen] == ["t1", "t2", None]

    run(go())


def test_a_sandbox_sees_its_own_parts(tmp_path: Path) -> None:
    """Of a kept connection: its beginning, and what was said in each sandbox in that one alone, however the writing falls between."""

    async def go() -> None:
        async with journal_in(tmp_path) as journal:
            pen = opened(journal)
            pen.command("hello")
            for number, names in enumerate((["t1"], ["t2"], ["t1", "t3"], [], ["t1"], ["t2", "t1"])):
                pen.command(f"part {number}")
                pen.part()
                if number % 2:
                    await journal.flush()
                for name in names:
                    pen.join(name, also=True)
                pen.reply(f"done {number}")
                await journal.flush()
            said = {}
            for name in ("t1", "t2", "t3"):
                (record,) = await journal.sessions(name)
                assert (await journal.session(pen.id, name)) == record == (await journal.changed(name, 0))[0]
                found = await journal.events(pen.id, 1, record.shown)
                said[name] = [str(event.fields["text"])[-1] for event in found if event.kind == "command"]
                assert found == await journal.events(pen.id, 1, record.shown)
            assert said == {"t1": [*"o0", *"2345"], "t2": [*"o15"], "t3": [*"o23"]}
            assert await journal.sessions("default") == []
            assert len(await journal.events(pen.id)) == 14

    run(go())


def test_what_was_before_a_reset_isnt_seen_after_it(tmp_path: Path) -> None:
    async def go() -> None:
        async with journal_in(tmp_path) as journal:
            pen, generation = opened(journal), 1
            journal._generation_of = journal._behind.generation_of = lambda _: generation
            seen = []
            for number in range(3):
                pen.command(f"C{number}")
                if number != 1:
                    pen.part()
                pen.join("t1")
                await journal.flush()
                (record,) = await journal.sessions("t1")
                seen.append([event.fields.get("text") for event in await journal.events(pen.id, 0, record.shown)])
                generation += 1
                assert await journal.sessions("t1") == []
                assert await journal.session(pen.id, "t1") is None
            assert seen == [[None, "C0"], [None, "C1"], [None, "C2"]]

    run(go())


def test_who_asks_again_and_again_lets_it_come(tmp_path: Path) -> None:
    async def go() -> None:
        async with journal_in(tmp_path) as journal:
            pen = opened(journal)
            await journal.flush()
            asyncio.get_running_loop().call_soon(pen.close)
            for _ in range(1000):
                await journal.flush()
                record = await journal.session(pen.id)
                if record is not None and record.closed_at is not None:
                    return
            pytest.fail("whatever was to come had no turn")

    run(go())


def test_others_have_their_turn_while_a_long_session_is_read(tmp_path: Path) -> None:
    async def go() -> None:
        async with journal_in(tmp_path) as journal:
            pen = opened(journal)
            for number in range(5 * PAGE_EVENTS):
                pen.command(f"C{number}")
            await journal.flush()
            turns = 0

            async def other() -> None:
                nonlocal turns
                while True:
                    await asyncio.sleep(0)
                    turns += 1

            task = asyncio.create_task(other())
            assert len(await journal.events(pen.id)) == 5 * PAGE_EVENTS + 1
            task.cancel()
            assert turns >= 4

    run(go())


def test_a_journal_of_before_leaves_began_begins_anew(tmp_path: Path) -> None:
    async def go() -> None:
        old = Schema("journal", SCHEMA.migrations[:5])
        with contextlib.closing(Generations(tmp_path / "generations")) as generations:
            database = await SqliteDatabase.open(tmp_path / "journal.db", old, generations)

            def job(work: Transaction) -> None:
                work.execute(
                    "INSERT INTO sessions (id, room, service, sandbox, peer, local, port, opened_at) "
                    "VALUES ('1', 'mail', 's', 'default', 'p', 'l', 'in', '2026-01-01T00:00:00+00:00')"
                )
                work.execute("INSERT INTO pages VALUES ('1', 1, '[[\"2026-01-01T00:00:00+00:00\",\"opened\",{}]]')")

            await database.write(job)
            await database.close()
        async with journal_in(tmp_path) as journal:
            assert await journal.sessions("default") == []
            assert await journal.events("1") == []
            pen = opened(journal)
            await journal.flush()
            assert [event.kind for event in await journal.events(pen.id)] == ["opened"]

    run(go())


def test_many_sessions_are_written_by_few_statements(tmp_path: Path) -> None:
    async def go() -> None:
        async with journal_in(tmp_path) as journal:
            pens = [opened(journal) for _ in range(151)]
            assert journal.waiting == 151
            for pen in pens:
                pen.join("t1", also=True)
                pen.join("t2", also=True)
                pen.reply(b"+OK\r\n")
            await journal.flush()
            assert journal.waiting == 0
            for name in ("t1", "t2"):
                assert [found.id for found in await journal.sessions(name, limit=200)] == [pen.id for pen in pens][::-1]
            for pen in pens:
                assert [event.fields.get("text") for event in await journal.events(pen.id)] == [None, "+OK"]
            (tally,) = [tally for tally in await journal.tallies() if tally.kind == "reply"]
            assert tally.events == 151

    run(go())


def test_a_long_session_is_read_some_pages_at_a_time_and_no_farther_than_it_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (noting, reading):
        monkeypatch.setattr(module, "PAGE_EVENTS", 2)
    monkeypatch.setattr(noting, "_LEAF_PLACES", PLACES)

    async def go() -> None:
        async with journal_in(tmp_path) as journal:
            pen = opened(journal)
            for number in range(99):
                pen.command(f"C{number}")
            await journal.flush()
            found: list[int] = []
            rows: list[int] = []
            read = journal._database.read

            async def counted(sql: str, parameters: Sequence[object] = ()) -> list[Row]:
                answer = await read(sql, parameters)
                rows.append(len(answer))
                return answer

            monkeypatch.setattr(journal._database, "read", counted)
            async for page in journal.paged(pen.id):
                found += [event.seq for event in page]
                for _ in range(4):  # it grows twice as fast as it is read
                    pen.command("more")
                await journal.flush()
            assert found[:100] == list(range(1, 101))
            assert found == list(range(1, len(found) + 1))
            assert max(rows) <= reading._ROWS

    run(go())
