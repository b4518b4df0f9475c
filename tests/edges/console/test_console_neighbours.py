"""What another process noted is there when somebody asks, without waiting for it."""

from __future__ import annotations

import asyncio
import poplib
from pathlib import Path

import pytest

from portyard.commons import neighbours
from tests.support.asyncio_tests import run
from tests.support.console import console
from tests.support.process import serving

LIMIT_S = 20.0
DEFAULT = "sandboxes/default"


def test_sessions_of_another_process_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "PATIENCE_S", 60.0)  # however busy the machine is

    async def main() -> None:
        with serving(tmp_path, "pop3") as other:
            async with console(tmp_path) as client:
                port = other.port("pop3")
                pop3 = await asyncio.to_thread(poplib.POP3, "127.0.0.1", port, LIMIT_S)
                pop3.user("alice")
                pop3.pass_("alice-secret")
                for count in (1, 3, 5):  # the first says nothing: a write may have been under way
                    await asyncio.to_thread(pop3.noop)
                    (session,) = await client.get(f"{DEFAULT}/sessions?room=pop3")
                    assert session["account"] == "alice@portyard.test"
                    assert told((await client.get(f"{DEFAULT}/sessions/{session['id']}"))["events"]) == count
                    await asyncio.to_thread(pop3.noop)
                    assert told(await client.get(f"{DEFAULT}/events?room=pop3&limit=500")) == count + 1
                    await asyncio.to_thread(pop3.rset)
                    waited = await client.get(f"{DEFAULT}/events/wait?text=*RSET*&count={count}&timeout=0.001")
                    assert len(waited["events"]) == (count + 1) // 2
                await asyncio.to_thread(pop3.quit)

    def told(events: list[dict[str, object]]) -> int:
        return sum(1 for event in events if "NOOP" in str(event))

    run(main())
