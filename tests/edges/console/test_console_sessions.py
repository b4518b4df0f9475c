"""Sessions with their talks, over the API."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp.http_writer import StreamWriter

from portyard.commons.sandbox.model import Sandbox
from portyard.commons.sandbox.sql import put
from portyard.console.contents import PIECE
from tests.support.asyncio_tests import run
from tests.support.console import Console, console


def speak(client: Console, room: str, *commands: str, sandbox: str = "default") -> str:
    log = client.yard.journal.open_session(
        room=room, service=room, peer="127.0.0.1:5", local="127.0.0.1:110", port=room
    )
    log.join(sandbox)
    log.event("greeting", text="+OK ready")
    for command in commands:
        log.command(command)
        log.reply("+OK")
    log.authenticated("alice@portyard.test", "USER")
    log.close("peer closed")
    return log.id


def test_newest_first_by_room_and_page(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            ids = [speak(client, ("pop3", "imap")[number % 2], "NOOP") for number in range(5)]
            listed = await client.get("sandboxes/default/sessions")
            assert [session["id"] for session in listed] == ids[::-1]
            assert {"room", "service", "peer", "opened_at", "closed_at", "sandbox"} <= listed[0].keys()
            assert listed[0]["account"] == "alice@portyard.test"
            imap = await client.get("sandboxes/default/sessions?room=imap")
            assert [session["id"] for session in imap] == [ids[3], ids[1]]
            page = await client.get(f"sandboxes/default/sessions?limit=2&before={ids[3]}")
            assert [session["id"] for session in page] == [ids[2], ids[1]]

    run(main())


def test_the_consoles_own_requests_are_no_sessions(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await client.get("sandboxes")
            known = speak(client, "pop3")
            await client.get("sandboxes")
            assert [session["id"] for session in await client.get("sandboxes/default/sessions?limit=1")] == [known]

    run(main())


def test_one_session_and_its_talk(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            key = speak(client, "pop3", "USER alice", "PASS «secret, 12 bytes»")
            session = await client.get(f"sandboxes/default/sessions/{key}")
            kinds = [event["kind"] for event in session["events"]]
            assert kinds == ["opened", "greeting", "command", "reply", "command", "reply", "auth", "closed"]
            assert session["events"][2]["fields"] == {"text": "USER alice"}
            async with client.http.get(f"{client.api}/sandboxes/default/sessions/{key}/talk") as response:
                assert response.content_type == "text/plain"
                text = await response.text()
            assert "C: USER alice\nS: +OK\nC: PASS «secret, 12 bytes»\nS: +OK\n" in text
            page, _ = await client.page(f"/sandboxes/default/sessions/{key}")
            assert '<span class="client">C: PASS «secret, 12 bytes»</span>' in page

    run(main())


def test_another_sandboxes_session_is_not_here(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await client.yard.control_database.write(partial(put, sandbox=Sandbox("t1", 1, "any", ("t1.test",))))
            key = speak(client, "pop3", sandbox="t1")
            assert await client.get("sandboxes/default/sessions") == []
            await client.problem("GET", f"sandboxes/default/sessions/{key}", 404)
            assert (await client.get(f"sandboxes/t1/sessions/{key}"))["sandbox"] == "t1"

    run(main())


def test_a_long_session_is_shown_whole_and_one_of_several_sandboxes_in_part(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            log = client.yard.journal.open_session(
                room="smtp", service="mta", peer="127.0.0.1:5", local="127.0.0.1:25", port="smtp"
            )
            log.event("greeting", text="220 ready")
            log.part()
            log.join("default")
            for number in range(2_500):
                log.command(f"NOOP {number}")
            log.command("QUIT")  # the next part's first
            log.part()
            log.join("other")
            log.close("peer closed")
            await client.yard.journal.flush()
            await client.ask("POST", "sandboxes", 201, {"name": "other"})
            session = await client.get(f"sandboxes/default/sessions/{log.id}")
            assert [event["seq"] for event in session["events"]] == list(range(1, 2_503))
            assert (session["events"][-1]["fields"], session["room"]) == ({"text": "NOOP 2499"}, "smtp")

    run(main())


def test_a_long_answer_goes_out_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once: list[int] = []
    true = StreamWriter.write

    async def write(writer: StreamWriter, octets: bytes, **how: Any) -> None:
        at_once.append(len(octets))
        await true(writer, octets, **how)

    monkeypatch.setattr(StreamWriter, "write", write)

    async def main() -> None:
        async with console(tmp_path) as client:
            path = f"sandboxes/default/sessions/{speak(client, 'pop3', *['NOOP'] * 9_000)}"
            for form in ("", "/talk", "/export?format=talk", "/export?format=test", "/export?format=jsonl"):
                at_once.clear()
                assert len(await client.raw(f"{path}{form}")) > 2 * PIECE
                assert 0 < max(at_once) < 4 * PIECE, form

    run(main())
