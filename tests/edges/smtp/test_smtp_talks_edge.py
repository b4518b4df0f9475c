"""The mail chain's talks over real sockets and real TLS."""

from __future__ import annotations

from pathlib import Path

import pytest

from portyard.smtp.card import CARD
from tests.support.asyncio_tests import run
from tests.support.smtp import PORTS, PRELUDES, bindings, make_sandboxes, settings_of
from tests.support.talk_peers import SocketPeer
from tests.support.talks import FEEDINGS, Talk, TalkRoom, implicit, read_talk, run_talk, talk_files
from tests.support.yard import open_yard, serve

CASES = [
    pytest.param(path, feeding, id=f"{path.stem}-{feeding}")
    for path in talk_files("smtp")
    if read_talk(path).headers.get("heights", "edge") != "core"
    for feeding in read_talk(path).headers.get("edge-feedings", " ".join(FEEDINGS)).split()
]


@pytest.mark.parametrize(("path", "feeding"), CASES)
def test_talk(path: Path, feeding: str, tmp_path: Path) -> None:
    talk = read_talk(path)
    role = talk.headers["role"]

    async def go() -> None:
        async with open_yard(tmp_path, **settings_of(talk)) as yard, serve(yard, CARD, names=[role]) as served:
            await make_sandboxes(yard, talk)

            async def connect(_: Talk) -> SocketPeer:
                port = served.port(f"{PORTS[role]}s" if implicit(talk) else PORTS[role])
                return await SocketPeer.connect(port, served.client_context(), implicit=implicit(talk))

            await run_talk(TalkRoom(connect, PRELUDES, await bindings(yard)), yard, talk, feeding)

    run(go())
