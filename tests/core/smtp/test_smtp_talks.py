"""The mail chain's talks at the height of the core."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.asyncio_tests import run
from tests.support.smtp import PRELUDES, bindings, core_peer, make_sandboxes, settings_of
from tests.support.talk_peers import CorePeer
from tests.support.talks import FEEDINGS, Talk, TalkRoom, implicit, read_talk, run_talk, talk_files
from tests.support.yard import open_yard


@pytest.mark.parametrize("feeding", FEEDINGS)
@pytest.mark.parametrize("path", talk_files("smtp"), ids=lambda path: path.stem)
def test_talk(path: Path, feeding: str, tmp_path: Path) -> None:
    talk = read_talk(path)

    async def go() -> None:
        async with open_yard(tmp_path, **settings_of(talk)) as yard:
            await make_sandboxes(yard, talk)

            async def connect(talk: Talk) -> CorePeer:
                return await core_peer(yard, talk.headers["role"], encrypted=implicit(talk))

            await run_talk(TalkRoom(connect, PRELUDES, await bindings(yard)), yard, talk, feeding)

    run(go())
