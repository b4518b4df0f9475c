"""Whatever a client says, well-formed or damaged, the session answers it: no failure of ours, one tagged answer, or a clean end."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portyard.commons.effects import Abort, Close, Effect, Note, Send
from portyard.commons.yard import Yard
from portyard.imap.core import model
from portyard.imap.core.printing import print_command, wire
from tests.properties.test_imap_grammar_properties import commands
from tests.support.imap import core
from tests.support.talk_peers import CorePeer
from tests.support.yard import open_yard

LEAVING = (model.Logout, model.Starttls, model.Authenticate, model.Idle)
staying = commands.filter(lambda command: not isinstance(command, LEAVING))


class Watched(CorePeer):
    """A client's end that keeps what the core asked for."""

    effects: list[Effect]

    async def _obey(self, effects: object) -> None:
        async def kept() -> object:
            async for effect in effects:  # type: ignore[attr-defined]
                self.effects.append(effect)
                yield effect

        await super()._obey(kept())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as running:
        yield running


@pytest.fixture(scope="module")
def yard(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    opening = open_yard(tmp_path_factory.mktemp("yard"))
    yield runner.run(opening.__aenter__())
    runner.run(opening.__aexit__(None, None, None))


_serial = itertools.count(1)


async def peer_of(yard: Yard) -> Watched:
    """A client that has a mailbox of its own with two messages selected."""
    box = f"Fuzz{next(_serial)}"
    account = await yard.accounts.find("alice")
    assert account is not None
    await yard.mail.create(account.id, box)
    for body in (
        b"Subject: one\r\n\r\nfirst\r\n",
        b"Subject: two\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b--\r\n",
    ):
        await yard.mail.append(account.id, box, body)
    peer = Watched(*core(yard), yard)
    peer.effects = []
    await peer.send(b"x LOGIN alice alice-secret\r\nx SELECT " + box.encode() + b"\r\n")
    peer.effects.clear()
    return peer


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(script=st.lists(staying, min_size=1, max_size=6))
def test_commands_are_answered(runner: asyncio.Runner, yard: Yard, script: list[model.Command]) -> None:
    async def go() -> None:
        peer = await peer_of(yard)
        for number, command in enumerate(script):
            (sent,) = wire(print_command(model.Request(f"t{number}", command)), synchronising=False)
            await peer.send(sent)
            assert not [effect for effect in peer.effects if isinstance(effect, Note | Abort)], command
            said = b"".join(effect.data for effect in peer.effects if isinstance(effect, Send))
            answers = [line for line in said.split(b"\r\n") if line.startswith(b"t%d " % number)]
            assert len(answers) == 1, (command, said)
            assert answers[0].split(b" ")[1] in (b"OK", b"NO", b"BAD")
            peer.effects.clear()
        await peer.close()

    runner.run(go())


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(script=st.lists(commands, max_size=4), data=st.data())
def test_damage_is_survived(
    runner: asyncio.Runner, yard: Yard, script: list[model.Command], data: st.DataObject
) -> None:
    sent = bytearray()
    for number, command in enumerate(script):
        sent += wire(print_command(model.Request(f"t{number}", command)), synchronising=data.draw(st.booleans()))[0]
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(sent)))
        sent[at : at + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=5))

    async def go() -> None:
        peer = await peer_of(yard)
        await peer.send(bytes(sent))
        await peer.send(b"\r\n")
        assert not [effect for effect in peer.effects if isinstance(effect, Note | Abort)]
        ended = [effect for effect in peer.effects if isinstance(effect, Close)]
        assert len(ended) <= 1
        await peer.close()

    runner.run(go())
