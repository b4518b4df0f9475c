"""Waiting is the server's job."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from portyard.commons.database.embedded import SqliteDatabase
from portyard.commons.database.engine import Row
from portyard.console import waiting
from portyard.console.core import onetime
from portyard.console.core.matching import Criteria
from portyard.console.queries import MailQueries
from tests.support.asyncio_tests import run
from tests.support.console import console

WAIT = "sandboxes/default/messages/wait"


def test_what_is_there_already_is_answered_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await client.deliver("hello")
            key = await client.deliver("your code 123456")
            waited = await client.get(f"{WAIT}?subject=code&count=1&timeout=60")
            assert waited["satisfied"] is True
            assert [message["id"] for message in waited["messages"]] == [key]
            assert [miss["because"] for miss in waited["near_misses"]] == ["subject differs"]

    run(main())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_what_comes_ends_the_wait(tmp_path: Path, loop: str) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            waiting = asyncio.create_task(client.get(f"{WAIT}?to=alice&count=2&timeout=60"))
            await client.deliver("one")
            await client.deliver("not for her", "bob@portyard.test")
            assert not waiting.done()
            await client.deliver("two")
            waited = await waiting
            assert waited["satisfied"] is True
            assert [message["subject"] for message in waited["messages"]] == ["two", "one"]

    run(main(), loop)


def test_what_comes_to_a_new_account_ends_the_wait(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            waiting = asyncio.create_task(client.get(f"{WAIT}?timeout=60"))
            await client.yard.accounts.create("default", "new@foreign.example", "x")
            account = await client.yard.accounts.by_address("default", "new@foreign.example")
            assert account is not None
            await client.yard.mail.append(account.id, "INBOX", b"Subject: x\r\n\r\n")
            assert (await waiting)["messages"][0]["account"] == "new@foreign.example"

    run(main())


def test_mail_that_comes_while_as_much_goes_is_heard_of(tmp_path: Path) -> None:
    """Parallel tests: one's sandbox is swept in the moment in which another's first message comes."""

    async def main() -> None:
        async with console(tmp_path) as client:
            going = await client.yard.accounts.create("default", "going@foreign.example", "x")
            coming = await client.yard.accounts.create("default", "coming@foreign.example", "x")
            queries = MailQueries(client.yard)
            await client.yard.mail.append(going.id, "INBOX", b"Subject: x\r\n\r\n")
            before = await queries.token()
            await client.yard.mail.forget(going.id)
            await client.yard.mail.append(coming.id, "INBOX", b"Subject: x\r\n\r\n")
            assert await queries.token() != before

    run(main())


@pytest.mark.parametrize("most_by_account", [500, 1])
def test_mailboxes_are_a_sandbox_own_and_as_they_are_now(
    most_by_account: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portyard.console.queries._SLICE", most_by_account)

    async def main() -> None:
        async with console(tmp_path) as client:
            yard = client.yard
            await yard.sandboxes.create("other")
            theirs = await yard.accounts.create("other", "u@other.test", "x")
            await yard.mail.append(theirs.id, "INBOX", b"Subject: x\r\n\r\n")
            alice = await yard.accounts.by_address("default", "alice@portyard.test")
            bob = await yard.accounts.by_address("default", "bob@portyard.test")
            assert alice is not None
            assert bob is not None
            queries = MailQueries(yard)

            async def held() -> list[tuple[str, str, int]]:
                boxes = await queries.mailboxes("default")
                return sorted((box.account.local_part, box.name, box.uid_next) for box in boxes.values())

            assert await held() == []
            await yard.mail.append(alice.id, "INBOX", b"Subject: x\r\n\r\n")
            assert await held() == await held() == [("alice", "INBOX", 2)]
            await yard.mail.append(bob.id, "Junk", b"Subject: x\r\n\r\n")
            assert await held() == [("alice", "INBOX", 2), ("bob", "Junk", 2)]
            await yard.mail.rename(bob.id, "Junk", "Spam")
            assert await held() == [("alice", "INBOX", 2), ("bob", "Spam", 2)]
            await yard.mail.delete(bob.id, "Spam")
            inbox = await yard.mail.mailbox(alice.id, "INBOX")
            assert inbox is not None
            await yard.mail.expunge(inbox.id, [1])
            assert await held() == []

    run(main())


def test_a_look_at_mailboxes_that_a_change_overtook_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with an engine that is asked over the network."""
    read, asked, answers = SqliteDatabase.read, asyncio.Event(), asyncio.Event()

    async def slow(database: SqliteDatabase, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        rows = await read(database, sql, parameters)
        if "uid_next FROM mailboxes" in sql and not asked.is_set():
            asked.set()
            await answers.wait()
        return rows

    async def main() -> None:
        async with console(tmp_path) as client:
            queries = MailQueries(client.yard)
            monkeypatch.setattr(SqliteDatabase, "read", slow)
            overtaken = asyncio.create_task(queries.mailboxes("default"))
            await asked.wait()
            await client.deliver("hello")
            assert len(await queries.mailboxes("default")) == 1
            answers.set()
            assert not await overtaken
            assert len(await queries.mailboxes("default")) == 1

    run(main())


def test_a_wait_costs_no_look_at_all_mailboxes_while_none_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A capturing testbed comes to have thousands of accounts, and parallel tests wait all the time."""
    looks: list[str] = []
    read = SqliteDatabase.read

    async def noting(database: SqliteDatabase, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        if "FROM mailboxes" in sql:
            looks.append(sql)
        return await read(database, sql, parameters)

    async def main() -> None:
        async with console(tmp_path) as client:
            await client.deliver("hello")
            await client.deliver("hello", "bob@portyard.test")
            monkeypatch.setattr(SqliteDatabase, "read", noting)
            waits = [client.get(f"{WAIT}?subject=code&timeout=0.5") for _ in range(5)]
            assert not any(waited["satisfied"] for waited in await asyncio.gather(*waits))
            assert len(looks) == 1, looks

    run(main())


def test_a_wait_that_times_out_tells_the_nearest_misses_first(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await client.deliver("nothing fits", "bob@portyard.test", "x@y.test")
            await client.deliver("code", "alice@portyard.test", "x@y.test")
            fitting = await client.deliver("code")
            waited = await client.get(f"{WAIT}?subject=code&from=bob@*&to=alice@*&count=2&timeout=0.05")
            assert waited["satisfied"] is False
            assert [message["id"] for message in waited["messages"]] == [fitting]
            assert [(miss["subject"], miss["because"]) for miss in waited["near_misses"]] == [
                ("code", "from differs"),
                ("nothing fits", "to differs, from differs, subject differs"),
            ]

    run(main())


def test_nothing_arrives(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await client.deliver("hello")
            quiet = await client.get(f"{WAIT}?subject=code&count=0&timeout=0.05")
            assert (quiet["satisfied"], quiet["messages"]) == (True, [])
            waiting = asyncio.create_task(client.get(f"{WAIT}?subject=code&count=0&timeout=60"))
            await client.deliver("code")
            disturbed = await waiting
            assert disturbed["satisfied"] is False
            assert len(disturbed["messages"]) == 1

    run(main())


def test_a_client_that_gives_up_leaves_nothing_behind(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            waiting = asyncio.create_task(client.get(f"{WAIT}?timeout=300"))
            await client.get("sandboxes")
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

    run(main())


def test_what_is_removed_meanwhile_doesnt_count(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            gone = await client.deliver("one")
            waiting = asyncio.create_task(client.get(f"{WAIT}?count=2&timeout=60"))
            await client.get(f"{WAIT}?count=1&timeout=0")
            async with client.http.delete(f"{client.api}/sandboxes/default/messages/{gone}") as response:
                assert response.status == 204
            stays = [await client.deliver("two")]
            assert not waiting.done()
            stays.append(await client.deliver("three", "bob@portyard.test"))
            assert [message["id"] for message in (await waiting)["messages"]] == stays[::-1]

    run(main())


def test_a_moved_message_is_found_where_it_lies_now(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            key = await client.deliver("one")
            message = await client.yard.mail.message(int(key))
            alice = await client.yard.accounts.find("alice")
            assert message is not None
            assert alice is not None
            waiting = asyncio.create_task(client.get(f"{WAIT}?count=2&timeout=60"))
            await client.get(f"{WAIT}?count=1&timeout=0")
            await client.yard.mail.move(message.mailbox_id, [1], alice.id, "Archive")
            await client.deliver("two")
            found = {(each["subject"], each["mailbox"]) for each in (await waiting)["messages"]}
            assert found == {("one", "Archive"), ("two", "INBOX")}

    run(main())


@pytest.fixture
def time_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, there is time for what was there before."""
    monkeypatch.setattr(waiting, "LOOK_BACK_S", 60.0)


@pytest.mark.usefixtures("time_enough")
def test_among_many_the_newest_answer_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            for start in range(0, 600, 100):
                await asyncio.gather(*(client.deliver(f"number {start + each}") for each in range(100)))
            last = await client.deliver("number last")
            waited = await client.get(f"{WAIT}?subject=last&timeout=60")
            assert [message["id"] for message in waited["messages"]] == [last]
            assert (await client.get(f"{WAIT}?subject=number 0&timeout=0"))["satisfied"] is True
            assert (await client.get(f"{WAIT}?subject=number&count=601&timeout=0"))["satisfied"] is True

    run(main())


@pytest.mark.usefixtures("time_enough")
def test_a_wait_says_when_it_had_no_time_to_look_at_all_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await client.deliver("the oldest")
            for _ in range(2 * waiting.SLICE):
                await client.deliver("other")
            waited = await client.get(f"{WAIT}?subject=oldest&timeout=0")
            assert (waited["satisfied"], waited["complete"]) == (True, True)
            assert (await client.get(f"{WAIT}?subject=nowhere&count=0&timeout=0"))["satisfied"] is True
            monkeypatch.setattr(waiting, "LOOK_BACK_S", 0.0)
            waited = await client.get(f"{WAIT}?subject=oldest&timeout=0")
            assert (waited["satisfied"], waited["complete"], waited["messages"]) == (False, False, [])
            assert waited["near_misses"]
            none = await client.get(f"{WAIT}?subject=oldest&count=0&timeout=0")
            assert (none["satisfied"], none["complete"]) == (False, False)  # nobody knows
            assert (await client.get(f"{WAIT}?subject=other&timeout=0"))["complete"] is True

    run(main())


@pytest.mark.parametrize("path", ["messages/{id}", "messages/wait?subject=long&timeout=60"])
def test_others_are_answered_while_a_long_text_is_looked_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    begun, answered = threading.Event(), threading.Event()
    true = onetime.codes

    def looks(subject: str, text: str | None, html: str | None) -> list[str]:
        begun.set()
        assert answered.wait(60), "nobody else was answered meanwhile"
        return true(subject, text, html)

    monkeypatch.setattr(onetime, "codes", looks)

    async def main() -> None:
        async with console(tmp_path) as client:
            octets = b"Subject: long\r\n\r\nYour code is 123456, see http://x.test/a\r\n" + b"and so on\r\n" * 2_000
            message = await client.put(octets)
            asking = asyncio.create_task(client.get(f"sandboxes/default/{path.format(id=message)}"))
            while not begun.is_set():
                await client.get("sandboxes/default/rules")
            await client.get("sandboxes/default/rules")
            answered.set()
            found = await asking
            (shown,) = found.get("messages", [found])
            assert (shown["codes"], shown["links"]) == (["123456"], ["http://x.test/a"])

    run(main())


def test_others_have_their_turns_while_many_messages_are_looked_through(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            for number in range(100):
                await client.deliver(f"code {number}")
            turns = 0

            async def others() -> None:
                nonlocal turns
                while True:
                    await asyncio.sleep(0)
                    turns += 1

            wait = waiting.Wait(MailQueries(client.yard), "default", Criteria({}), 100, 1)
            asking = asyncio.create_task(others())
            waited = await wait.outcome()
            asking.cancel()
            assert len(waited.messages) == 100
            assert turns >= 100

    run(main())
