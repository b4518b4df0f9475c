"""Events over the API: listed, told in each way of asking, and followed as they come."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from portyard.console import journal
from portyard.console.core.matching import Criteria
from portyard.console.events import EventReader, Follower, Selection
from tests.support.asyncio_tests import run
from tests.support.console import EVENTS, Console, console, speak, sse, texts


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
