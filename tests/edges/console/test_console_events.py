"""Events over the API: listed, waited for, followed; and what a journal looks like in other formats."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from portyard.commons.journal import reading
from portyard.commons.journal.model import JournalEvent
from portyard.console import event_waits, journal
from portyard.console.core.matching import Criteria
from portyard.console.events import EventReader, Follower, Selection
from tests.support.asyncio_tests import run
from tests.support.console import Console, console, speak
from tests.support.yard import open_yard

EVENTS = "sandboxes/default/events"


def texts(events: list[dict[str, Any]]) -> list[str]:
    return [event["fields"]["text"] for event in events if event["kind"] == "command"]


def test_oldest_first_by_filter_and_page(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            first = speak(client, "pop3", "USER alice", close=False)
            second = speak(client, "imap", "a1 LOGIN alice «secret, 12 bytes»")
            first.command("STAT")
            first.close()
            speak(client, "pop3", "NOOP", sandbox="other")
            listed = await client.get(EVENTS)
            assert [event["at"] for event in listed] == sorted(event["at"] for event in listed)
            said = texts(listed)
            assert sorted(said) == ["STAT", "USER alice", "a1 LOGIN alice «secret, 12 bytes»"]
            assert said.index("USER alice") < said.index("STAT")
            names = {"id", "session", "room", "service", "sandbox", "peer", "seq", "at", "kind", "fields"}
            assert names == listed[0].keys()
            assert {e["session"] for e in await client.get(f"{EVENTS}?room=imap")} == {second.id}
            assert texts(await client.get(f"{EVENTS}?kind=command&session={first.id}")) == ["USER alice", "STAT"]
            assert texts(await client.get(f"{EVENTS}?text=stat")) == ["STAT"]
            assert texts(await client.get(f"{EVENTS}?text=/^A1 LOGIN/")) == ["a1 LOGIN alice «secret, 12 bytes»"]
            paged: list[dict[str, Any]] = []
            url = f"{client.api}/{EVENTS}?limit=3"
            while url:
                async with client.http.get(url) as response:
                    paged += await response.json()
                    following = response.links.get("next")
                    url = str(following["url"]) if following else ""
            assert paged == listed
            middle = listed[5]["at"]
            since = await client.get(f"{EVENTS}?since={middle.replace('+', '%2B')}")
            assert since == [event for event in listed if event["at"] >= middle]
            later = (datetime.now(UTC) + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
            assert await client.get(f"{EVENTS}?since={later}") == []
            lines = (await client.raw(f"{EVENTS}.jsonl?kind=command")).decode().splitlines()
            assert texts([json.loads(line) for line in lines]) == texts(listed)

    run(main())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_what_comes_ends_the_wait(tmp_path: Path, loop: str) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            speak(client, "pop3", "USER alice")
            there = await client.get(f"{EVENTS}/wait?kind=command&timeout=60")
            assert there["satisfied"] is True
            waiting = asyncio.create_task(
                client.get(f"{EVENTS}/wait?room=pop3&kind=command&text=DELE&count=2&timeout=60")
            )
            log = speak(client, "pop3", "DELE 1", close=False)
            speak(client, "imap", "a1 DELETE x")
            await client.get("sandboxes")
            assert not waiting.done()
            log.command("DELE 2")
            waited = await waiting
            assert waited["satisfied"] is True
            assert texts(waited["events"]) == ["DELE 1", "DELE 2"]

    run(main(), loop)


def test_who_joins_late_is_heard_whole(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await client.ask("POST", "sandboxes", 201, {"name": "t1"})
            log = speak(client, "pop3", "CAPA", close=False)
            await client.yard.journal.flush()
            waiting = asyncio.create_task(client.get("sandboxes/t1/events/wait?kind=command&count=2&timeout=60"))
            await client.get("sandboxes")
            log.join("t1")
            log.command("USER u1@t1.test")
            assert texts((await waiting)["events"]) == ["CAPA", "USER u1@t1.test"]

    run(main())


def test_another_processs_sessions_are_heard(tmp_path: Path) -> None:
    """Two yards on one state directory see each other's writes as two processes do: by the page of counters alone."""

    async def main() -> None:
        async with console(tmp_path) as client, open_yard(tmp_path) as other:
            waiting = asyncio.create_task(client.get(f"{EVENTS}/wait?kind=command&count=2&timeout=60"))
            await client.get("sandboxes")
            log = other.journal.open_session(
                room="imap", service="imap", peer="127.0.0.1:5", local="127.0.0.1:1", port="i"
            )
            log.command("a1 NOOP")
            await other.journal.flush()
            assert not waiting.done()
            log.command("a2 NOOP")
            assert texts((await waiting)["events"]) == ["a1 NOOP", "a2 NOOP"]
            log.close()

    run(main())


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


def test_near_misses_and_nothing_for_a_while(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            speak(client, "pop3", "STAT")
            waited = await client.get(f"{EVENTS}/wait?room=pop3&kind=command&text=LIST&timeout=0.05")
            assert (waited["satisfied"], waited["events"]) == (False, [])
            nearest = waited["near_misses"][0]
            assert (nearest["fields"]["text"], nearest["because"]) == ("STAT", "text differs")
            assert waited["near_misses"][-1]["because"] == "kind differs, text differs"
            quiet = await client.get(f"{EVENTS}/wait?kind=fault&count=0&timeout=0.05")
            assert quiet["satisfied"] is True
            waiting = asyncio.create_task(client.get(f"{EVENTS}/wait?kind=fault&count=0&timeout=60"))
            log = speak(client, "pop3", close=False)
            log.event("fault", verb="stat", rule="busy", does=["refuse"])
            disturbed = await waiting
            assert (disturbed["satisfied"], len(disturbed["events"])) == (False, 1)

    run(main())


@pytest.mark.parametrize(
    ("path", "status", "key", "value"),
    [
        ("events/wait?kind=command", 400, "timeout", None),
        ("events/wait?timeout=301", 422, "timeout", "301"),
        ("events/wait?timeout=-1", 422, "timeout", "-1"),
        ("events/wait?timeout=inf", 422, "timeout", "inf"),
        ("events/wait?timeout=1&count=1001", 422, "count", "1001"),
        ("messages/wait?count=1", 400, "timeout", None),
        ("events?kind=comand", 422, "kind", "comand"),
        ("events?room=smpt", 422, "room", "smpt"),
        ("events?text=/(/", 422, "text", "/(/"),
        ("events?since=yesterday", 422, "since", "yesterday"),
        ("events?since=2030-01-02T03:04:05", 422, "since", "2030-01-02T03:04:05"),
        ("events?after=x.1", 422, "after", "x.1"),
        ("events?limit=10001", 422, "limit", "10001"),
        ("events/stream?kinds=x", 400, "kinds", "x"),
        ("sessions/x/export?format=talk", 404, "id", "x"),
        ("sessions/x/export?format=pdf", 422, "format", "pdf"),
    ],
)
def test_refusals_name_key_and_value(tmp_path: Path, path: str, status: int, key: str, value: object) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            problem = await client.problem("GET", f"sandboxes/default/{path}", status)
            assert (problem["key"], problem.get("value")) == (key, value)
            assert problem["allowed"]

    run(main())


async def sse(response: aiohttp.ClientResponse, count: int) -> list[dict[str, Any]]:
    found = []
    async for line in response.content:
        if line.startswith(b"data: "):
            found.append(json.loads(line.removeprefix(b"data: ")))
        if len(found) == count:
            break
    return found


def test_server_sent_events(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            old = speak(client, "pop3", "OLD", close=False)
            url = f"{client.api}/{EVENTS}/stream"
            async with client.http.get(f"{url}?kind=command") as response:
                assert response.content_type == "text/event-stream"
                speak(client, "imap", "a1 NOOP")
                old.command("NEW")
                found = await sse(response, 2)
            assert sorted(texts(found)) == ["NEW", "a1 NOOP"]
            last = (await client.get(f"{EVENTS}?kind=command&text=OLD"))[0]["id"]
            async with client.http.get(f"{url}?kind=command", headers={"Last-Event-ID": last}) as response:
                speak(client, "pop3", "NEWEST")
                found = await sse(response, 3)
            assert sorted(texts(found)) == ["NEW", "NEWEST", "a1 NOOP"]

    run(main())


def test_a_follower_whose_last_event_is_gone_goes_on_with_what_came_since(tmp_path: Path) -> None:
    """A browser that comes back after a reset asks so, and an error would end it for good."""

    async def main() -> None:
        async with console(tmp_path) as client:
            speak(client, "pop3", "OLD")
            last = (await client.get(f"{EVENTS}?kind=command&text=OLD"))[0]["id"]
            await client.ask("POST", "sandboxes/default/reset", 200)
            speak(client, "pop3", "SINCE")
            url = f"{client.api}/{EVENTS}/stream?kind=command"
            async with client.http.get(url, headers={"Last-Event-ID": last}) as response:
                assert response.status == 200
                speak(client, "pop3", "NOW")
                assert texts(await sse(response, 2)) == ["SINCE", "NOW"]
            async with client.http.get(url, headers={"Last-Event-ID": "nonsense"}) as response:
                assert response.status == 422

    run(main())


async def every_way(client: Console, sandbox: str, session: str) -> dict[str, list[dict[str, Any]]]:
    """A session's commands as each way of asking for events tells them."""
    path = f"sandboxes/{sandbox}"
    asked = f"kind=command&session={session}"
    missed = await client.get(f"{path}/events/wait?{asked}&text=nowhere&timeout=0")
    found = {
        "list": await client.get(f"{path}/events?{asked}"),
        "wait": (await client.get(f"{path}/events/wait?{asked}&timeout=60"))["events"],
        "near misses": missed["near_misses"],
        "lines": [json.loads(line) for line in (await client.raw(f"{path}/events.jsonl?{asked}")).splitlines()],
    }
    for export in (f"{path}/sessions/{session}/export?format=jsonl", f"{path}/export?format=jsonl&session={session}"):
        found[export] = [json.loads(line) for line in (await client.raw(export)).splitlines()]
    stream = f"{client.api}/{path}/events/stream?{asked}&since=2020-01-01T00:00:00Z"
    async with client.http.get(stream) as response:
        found["server-sent"] = await sse(response, 1)
    async with client.http.ws_connect(stream) as socket:
        found["WebSocket"] = [json.loads(await socket.receive_str())]
    return found


def test_each_event_tells_its_sandbox_and_peer(tmp_path: Path) -> None:
    """In each way of asking; the sandbox is the one that is asked, for a session may be in several."""

    async def main() -> None:
        async with console(tmp_path) as client:
            for name in ("t1", "t2"):
                await client.ask("POST", "sandboxes", 201, {"name": name})
            log = client.yard.journal.open_session(
                room="smtp", service="mta", peer="192.0.2.7:4711", local="127.0.0.1:25", port="smtp"
            )
            log.command("EHLO laptop")
            log.join("t1")
            log.join("t2", also=True)
            log.close()
            for sandbox in ("t1", "t2"):
                for way, events in (await every_way(client, sandbox, log.id)).items():
                    told = {(event["sandbox"], event["peer"]) for event in events}
                    assert told == {(sandbox, "192.0.2.7:4711")}, way

    run(main())


def test_who_follows_is_told_sandbox_and_peer_of_what_comes(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await client.ask("POST", "sandboxes", 201, {"name": "t1"})
            async with client.http.get(f"{client.api}/sandboxes/t1/events/stream?kind=command") as response:
                speak(client, "pop3", "NOOP", sandbox="t1")
                (event,) = await sse(response, 1)
            (session,) = await client.get("sandboxes/t1/sessions")
            assert (event["sandbox"], event["peer"]) == ("t1", session["peer"])

    run(main())


def test_a_head_ends(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            for path in ("events/stream", "events.jsonl", "messages/export", "events/wait?timeout=0"):
                async with client.http.head(f"{client.api}/sandboxes/default/{path}") as response:
                    assert response.status == 200
                    assert await response.read() == b""

    run(main())


def test_a_reset_during_a_wait(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            waiting = asyncio.create_task(client.get(f"{EVENTS}/wait?kind=command&count=2&timeout=60"))
            late = speak(client, "pop3", "FIRST", close=False)
            await client.get(f"{EVENTS}/wait?kind=command&timeout=60")
            await client.ask("POST", "sandboxes/default/reset", 200)
            late.command("LATE")
            assert await client.get(EVENTS) == []
            assert not waiting.done()
            speak(client, "pop3", "SECOND")
            assert texts((await waiting)["events"]) == ["FIRST", "SECOND"]
            assert texts(await client.get(EVENTS)) == ["SECOND"]

    run(main())


def test_a_websocket(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            speak(client, "pop3", "OLD")
            url = f"{client.api}/{EVENTS}/stream?kind=command"
            async with client.http.ws_connect(url) as socket:
                speak(client, "imap", "a1 NOOP")
                event = json.loads(await socket.receive_str())
                assert texts([event]) == ["a1 NOOP"]
            async with client.http.ws_connect(f"{url}&since=2020-01-01T00:00:00Z") as socket:
                assert texts([json.loads(await socket.receive_str())]) == ["OLD"]
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.http.ws_connect(url, headers={"Origin": "https://evil.test"})
            assert refused.value.status == 403
            async with client.http.ws_connect(url, headers={"Origin": client.url}):
                pass

    run(main())


def test_streams_end_with_the_console(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            response = await client.http.get(f"{client.api}/{EVENTS}/stream")
            socket = await client.http.ws_connect(f"{client.api}/{EVENTS}/stream")
            await client.served.serving.close()
            with pytest.raises(aiohttp.ClientError):
                await response.read()
            assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)

    run(main())


def test_near_misses_are_those_most_like_what_is_wanted(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            speak(client, "smtp", "RCPT TO:<somebody@portyard.test>", "DATA", *(["NOOP"] * 15), "QUIT")
            found = await client.get(f"{EVENTS}/wait?timeout=0&text=RCPT*nobody*")
            assert found["near_misses"][0]["fields"]["text"] == "RCPT TO:<somebody@portyard.test>"
            assert found["near_misses"][1]["kind"] == "closed"  # the newest of the others
            found = await client.get(f"{EVENTS}/wait?timeout=0&text=/^rcpt.*@other/&kind=command")
            assert found["near_misses"][0]["fields"]["text"] == "RCPT TO:<somebody@portyard.test>"

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


def test_a_stream_in_which_nothing_is_told_shows_that_it_lives_whatever_else_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "BEAT_S", 0.05)

    async def main() -> None:
        async with console(tmp_path) as client:
            reader = EventReader(client.yard)
            async with Follower.follow(reader, "default") as follower:

                async def moved(_deadline: float | None) -> bool:  # never is it quiet
                    speak(client, "pop3", "NOOP")
                    await client.yard.journal.flush()
                    return True

                monkeypatch.setattr(follower, "moved", moved)
                wanted = Selection("default", Criteria({"kind": "fault".__eq__}))
                async with contextlib.aclosing(journal._events(follower, reader, wanted, None)) as events:
                    assert await anext(events) is None
                    assert await anext(events) is None

    run(main())
