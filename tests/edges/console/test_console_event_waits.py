"""A wait for events ends with what it waits for, or tells what came nearest."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.asyncio_tests import run
from tests.support.console import EVENTS, console, speak, texts
from tests.support.yard import open_yard


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
