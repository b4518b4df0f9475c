"""Nobody who looks through a long journal, or follows it, has more of it read than must be, or keeps others from their turns."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portyard.commons.journal import reading
from portyard.commons.journal.model import JournalEvent
from portyard.console import event_waits
from portyard.console.core.matching import Criteria
from portyard.console.events import EventReader, Follower, Selection
from tests.support.asyncio_tests import run
from tests.support.console import EVENTS, console, speak, texts


def test_a_wait_looks_back_over_every_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fits may lie behind thousands that don't, in a session that is still open, too."""
    monkeypatch.setattr(event_waits, "LOOK_BACK_S", 60.0)  # however busy the machine is

    async def main() -> None:
        async with console(tmp_path) as client:
            log = speak(client, "pop3", "DELE 1", close=False)
            speak(client, "imap", "a NOOP")
            for _ in range(2100):
                speak(client, "pop3", "STAT")
            await client.yard.journal.flush()
            for filters in (
                "text=DELE",
                "text=DELE&room=pop3",
                f"text=DELE&session={log.id}",
                "kind=command&room=imap",
            ):
                waited = await client.get(f"{EVENTS}/wait?{filters}&timeout=0")
                assert (waited["satisfied"], len(waited["events"])) == (True, 1), filters
                assert (await client.get(f"{EVENTS}/wait?{filters}&count=0&timeout=0"))["satisfied"] is False
            assert (await client.get(f"{EVENTS}/wait?text=DELE&count=2&timeout=0"))["satisfied"] is False
            assert (await client.get(f"{EVENTS}/wait?text=DELE&room=imap&timeout=0"))["satisfied"] is False
            waiting = asyncio.create_task(client.get(f"{EVENTS}/wait?text=DELE&count=2&timeout=60"))
            await client.get("sandboxes")
            log.command("DELE 2")
            assert texts((await waiting)["events"]) == ["DELE 1", "DELE 2"]

    run(main())


@pytest.fixture
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait has no time for what was there before, but for the newest of it."""
    monkeypatch.setattr(event_waits, "LOOK_BACK_S", 0.0)
    monkeypatch.setattr(event_waits, "NEWEST", 2_000)


@pytest.mark.usefixtures("no_time")
def test_a_wait_says_when_it_had_no_time_to_look_through_all_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one session or in many; and it has looked at little more than it must."""
    told: list[int] = []
    pages_events = reading.events_of

    def counted(*arguments: Any, **named: Any) -> Iterator[JournalEvent]:
        for event in pages_events(*arguments, **named):
            told.append(event.seq)
            yield event

    async def main() -> None:
        async with console(tmp_path) as client:
            for name, sessions in (("one", 1), ("many", 2_500)):
                await client.ask("POST", "sandboxes", 201, {"name": name})
                for number in range(sessions):
                    said = ["DELE 1"] if not number else []
                    speak(client, "pop3", *said, *["NOOP"] * (30_000 // sessions), sandbox=name)
                    if number % 500 == 0:
                        await client.yard.journal.flush()  # no more may wait to be written than a disk can be behind
                await client.yard.journal.flush()
                told.clear()
                where = f"sandboxes/{name}/events/wait"
                waited = await client.get(f"{where}?text=DELE&timeout=0")
                assert (waited["satisfied"], waited["complete"], waited["events"]) == (False, False, [])
                assert waited["near_misses"]
                none = await client.get(f"{where}?text=DELE&count=0&timeout=0")
                assert (none["satisfied"], none["complete"]) == (False, False)  # nobody knows
                assert 4_000 <= len(told) <= 8_000, len(told)
                found = await client.get(f"{where}?text=DELE&timeout=60")
                assert (found["satisfied"], found["complete"], texts(found["events"])) == (True, True, ["DELE 1"])
                newest = await client.get(f"{where}?text=NOOP&timeout=0")
                assert (newest["satisfied"], newest["complete"]) == (True, True)

    monkeypatch.setattr(reading, "events_of", counted)
    run(main())


@pytest.mark.usefixtures("no_time")
def test_what_comes_is_heard_while_a_wait_looks_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            log = speak(client, "pop3", *["NOOP"] * 6_000, close=False)
            waiting = asyncio.create_task(client.get(f"{EVENTS}/wait?text=DELE&timeout=60"))
            await client.get("sandboxes")
            log.command("DELE 1")
            waited = await waiting
            assert (waited["satisfied"], texts(waited["events"])) == (True, ["DELE 1"])
            missed = await client.get(f"{EVENTS}/wait?kind=fault&timeout=0")
            assert len({miss["id"] for miss in missed["near_misses"]}) == len(missed["near_misses"]) == 10
            assert "DELE 1" in texts(missed["near_misses"])  # the newest

    run(main())


def test_more_comes_than_is_told_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            reader = EventReader(client.yard)
            async with Follower.follow(reader, "default") as follower:
                for _ in range(3):
                    speak(client, "pop3", *["NOOP"] * 2_000)
                await client.yard.journal.flush()
                found, calls = await follower.coming(60, 1_000), 1
                while follower.behind:
                    found += await follower.coming(0, 1_000)
                    calls += 1
                assert len({event.id for event in found}) == len(found) == 12_009
                assert calls >= 3
                assert await follower.coming(0, 1_000) == []

    run(main())


def test_others_have_their_turns_while_a_long_session_is_looked_through(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            speak(client, "pop3", *["NOOP"] * 3_000)
            turns = 0

            async def others() -> None:
                nonlocal turns
                while True:
                    await asyncio.sleep(0)
                    turns += 1

            reader = EventReader(client.yard)
            looked = [
                record async for some, _ in reader.sessions(Selection("default", Criteria({}))) for record in some
            ]
            asking = asyncio.create_task(others())
            found = [event.id async for event in reader.merged(looked, Selection("default", Criteria({})))]
            asking.cancel()
            assert len(set(found)) == len(found) == 6_003
            assert turns >= 10  # one for each 500 events

    run(main())


@pytest.mark.parametrize("of", ["", "&after={session}.8000"])
def test_a_page_of_a_long_session_costs_what_is_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: str) -> None:
    opened = 0
    true = reading.events_of

    def events_of(*given: Any, **named: Any) -> Any:
        nonlocal opened
        opened += 1
        return true(*given, **named)

    async def main() -> None:
        async with console(tmp_path) as client:
            log = speak(client, "pop3", *["NOOP"] * 6_000)
            await client.yard.journal.flush()
            monkeypatch.setattr(reading, "events_of", events_of)
            page = await client.get(f"{EVENTS}?limit=10{of.format(session=log.id)}")
            first = 8_001 if of else 1
            assert [event["seq"] for event in page] == list(range(first, first + 10))
            assert opened <= 6  # of more than a dozen

    run(main())


def test_a_slow_taker_of_what_comes_has_no_more_than_a_page_read_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = 0
    true = reading.events_of

    def events_of(*given: Any, **named: Any) -> Any:
        nonlocal opened
        opened += 1
        return true(*given, **named)

    monkeypatch.setattr(reading, "events_of", events_of)

    async def main() -> None:
        async with console(tmp_path) as client, Follower.follow(EventReader(client.yard), "default") as follower:
            first, second = (speak(client, "pop3", *["NOOP"] * 3_000, close=False) for _ in range(2))
            await client.yard.journal.flush()
            assert await follower.moved()
            async with contextlib.aclosing(follower.told()) as told:
                found = [(await anext(told)).id]
                assert opened <= 4  # a page of each, and of what follows at most one
                found += [event.id async for event in told]
            assert len(set(found)) == len(found) == 2 * 6_002
            second.command("LAST")
            first.command("VERY LAST")
            await client.yard.journal.flush()
            more = [event async for event in follower.told()]
            assert [event.fields["text"] for event in more] == ["LAST", "VERY LAST"]

    run(main())
