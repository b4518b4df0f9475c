"""POP3's talks at the height of the core."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from portyard.commons.accounts.claiming import sandbox_of_login
from portyard.commons.locks import Locks
from portyard.commons.scenario.personas import facts, worn
from portyard.commons.scenario.quirks import Seats
from portyard.pop3.card import CARD
from portyard.pop3.core.framing import LineFraming
from portyard.pop3.core.quirks import Quirks
from portyard.pop3.core.session import House, Session
from tests.support.asyncio_tests import run
from tests.support.personas import dress
from tests.support.pop3 import BINDINGS, PRELUDES
from tests.support.talk_peers import CorePeer
from tests.support.talks import FEEDINGS, Talk, TalkRoom, implicit, read_talk, run_talk, talk_files
from tests.support.yard import open_yard


@pytest.mark.parametrize("feeding", FEEDINGS)
@pytest.mark.parametrize("path", talk_files("pop3"), ids=lambda path: path.stem)
def test_talk(path: Path, feeding: str, tmp_path: Path) -> None:
    talk = read_talk(path)

    async def go() -> None:
        async with open_yard(tmp_path, require_tls="require-tls" in talk.headers) as yard:
            locks, seats = Locks(yard.state / "locks"), Seats()

            async def connect(talk: Talk) -> CorePeer:
                gate = yard.gate.session("pop3", session="core", peer="192.0.2.1")
                await dress(yard, gate, CARD)
                quirks = worn(gate, Quirks)
                house = House(
                    accounts=yard.accounts,
                    mail=yard.mail,
                    lock=lambda account_id: locks.take(str(account_id)),
                    timestamp="<1896.697170952@portyard.test>",
                    upgradable=True,
                    require_tls=yard.settings.require_tls,
                    gate=gate,
                    quirks=quirks,
                    facts=facts("pop3.portyard.test", "192.0.2.1", "core", yard.clock.now()),
                    seats=seats,
                    now=yard.clocks.now,
                    sandbox_of=partial(sandbox_of_login, yard.accounts, yard.sandboxes),
                )
                return CorePeer(Session(house, tls=implicit(talk)), LineFraming(quirks.limits.line), yard, gate)

            await run_talk(TalkRoom(connect, PRELUDES, BINDINGS), yard, talk, feeding)

    run(go())
