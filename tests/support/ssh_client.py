"""asyncssh's client against the SSH room, touching nothing of this machine's own configuration."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncssh

from portyard.commons.yard import Yard
from portyard.ssh.card import CARD
from tests.support.ssh import closed_session
from tests.support.talks import PASSWORD
from tests.support.yard import Served, open_yard, serve


@contextlib.asynccontextmanager
async def served(folder: Path, **changes: object) -> AsyncIterator[Served]:
    async with open_yard(folder, **changes) as yard, serve(yard, CARD) as running:
        yield running


def connect(room: Served, **changes: Any) -> Any:
    """A client that knows our host keys and nothing of this machine's."""
    chosen: dict[str, Any] = {
        "username": "alice",
        "password": PASSWORD,
        "known_hosts": str(room.yard.state / "ssh" / "known_hosts"),
        "config": None,
        "client_keys": None,
        "agent_path": None,
        **changes,
    }
    return asyncssh.connect("127.0.0.1", room.port("ssh"), **chosen)


async def events_of(yard: Yard) -> list[Any]:
    return await yard.journal.events(await closed_session(yard))
