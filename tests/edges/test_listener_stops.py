"""A listener that stops leaves no connection behind, whatever it was waiting for."""

from __future__ import annotations

import gc
import socket
from pathlib import Path

import pytest

from portyard.pop3.card import CARD
from tests.support.asyncio_tests import run
from tests.support.hosted import ruled_room

PATIENCE_S = 30.0


def has_ended(client: socket.socket) -> bool:
    """Whether the peer has closed, by whatever."""
    client.settimeout(PATIENCE_S)
    try:
        while client.recv(4096):
            pass
    except ConnectionResetError:
        pass
    return True


@pytest.mark.parametrize("then", [{"delay": "60s"}, {"silence": True}, {"latency": "60s"}])
def test_who_waits_for_a_rule_is_let_go(then: object, tmp_path: Path) -> None:
    clients: list[socket.socket] = []

    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            await place.rule("pop3.connect", then)
            clients.append(socket.create_connection(("127.0.0.1", place.port)))
            while not any(kind == "fault" for kind, _ in await place.talk()):
                pass

    run(go())
    gc.collect()
    with clients[0] as client:
        assert has_ended(client)
