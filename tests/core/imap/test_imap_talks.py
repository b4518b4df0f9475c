"""IMAP's talks at the height of the core."""

from __future__ import annotations

from pathlib import Path

import pytest

from portyard.imap.card import CARD
from portyard.imap.core.verbs import VOCABULARY
from tests.support.asyncio_tests import run
from tests.support.imap import BINDINGS, PRELUDES, core
from tests.support.personas import dress
from tests.support.talk_peers import CorePeer
from tests.support.talks import Talk, TalkRoom, cases, implicit, read_talk, run_talk
from tests.support.yard import open_yard

CASES = [pytest.param(path, feeding, id=f"{path.stem}-{feeding}") for path, feeding in cases("imap", "core")]


@pytest.mark.parametrize(("path", "feeding"), CASES)
def test_talk(path: Path, feeding: str, tmp_path: Path) -> None:
    talk = read_talk(path)

    async def go() -> None:
        async with open_yard(tmp_path, require_tls="require-tls" in talk.headers) as yard:

            async def connect(talk: Talk) -> CorePeer:
                yard.gate.learn(VOCABULARY)
                gate = yard.gate.session("imap", session="core", peer="192.0.2.1")
                await dress(yard, gate, CARD)
                limit = int(talk.headers.get("message-limit", 1 << 20))
                return CorePeer(*core(yard, secure=implicit(talk), message_limit=limit, gate=gate), yard, gate)

            await run_talk(TalkRoom(connect, PRELUDES, BINDINGS), yard, talk, feeding)

    run(go())
