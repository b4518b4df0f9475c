"""A connection whose conversation can't be made ends: nobody would ever close it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from portyard.commons.card import Card
from portyard.imap.card import CARD as IMAP
from portyard.pop3.card import CARD as POP3
from portyard.smtp.card import CARD as SMTP
from tests.support.asyncio_tests import LOOPS, run
from tests.support.yard import open_yard, serve


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("card", [IMAP, POP3, SMTP], ids=lambda card: card.name)
def test_it_ends_and_the_next_one_begins(
    card: Card, loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge = f"portyard.{card.name}.edge.facts"

    def failing(*_: object) -> None:
        raise OSError("too many open files")

    async def greeting(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            return await reader.readline()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()

    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, card) as served:
            port = served.port(card.services[0].ports[0].name)
            with monkeypatch.context() as patched:
                patched.setattr(edge, failing)
                assert await greeting(port) == b""
            assert await greeting(port) != b""
            await yard.journal.flush()
            _, failed = await yard.journal.sessions("default")
            events = await yard.journal.events(failed.id)
            assert events[-1].kind == "closed"
            assert events[-1].fields["reason"] == "internal error"

    run(go(), loop)
