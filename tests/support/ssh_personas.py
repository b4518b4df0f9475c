"""The SSH room as another kind of server, and a client that keeps what it was told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncssh
from asyncssh.constants import MSG_EXT_INFO, MSG_UNIMPLEMENTED
from asyncssh.packet import SSHPacket

from portyard.commons.scenario.checking import check
from portyard.commons.scenario.parsing import parse_rule
from portyard.commons.scenario.personas import builtins
from portyard.ssh import keys
from portyard.ssh.card import CARD
from portyard.ssh.core.verbs import VOCABULARY
from portyard.ssh.persona import MSG_PONG
from tests.support.talks import PASSWORD
from tests.support.yard import Served, open_yard, serve

LIMIT_S = 20.0
PERSONAS = {persona.name: persona.quirks["ssh"] for persona in builtins(CARD)}
OLD, MIDDLE, NEW = "openssh-5.3", "openssh-7.4", "openssh-10.0"


@contextlib.asynccontextmanager
async def served(folder: Path, persona: str | None = None, *, whole: bool = True) -> AsyncIterator[Served]:
    """The room; with every host key there, unless they are to be late."""
    if whole:
        keys.ensure(folder / "ssh", keys.KINDS)
    async with open_yard(folder) as yard, serve(yard, CARD) as running:
        if persona is not None:
            await wear(running, persona)
        yield running


async def wear(room: Served, persona: str, **beside: Any) -> None:
    rule = parse_rule({"on": "ssh.connect", "then": {"persona": persona}, **beside})
    check(rule, {"ssh": VOCABULARY})
    await room.yard.rules.add("default", rule)


class Watcher(asyncssh.SSHClientConnection):
    """A client that keeps what it was told: KEXINIT's lists, extensions, and the messages that nobody handles."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offered: dict[str, list[str]] = {}
        self.extensions: dict[str, str] = {}
        self.heard: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()

    async def _process_kexinit(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        copied = SSHPacket(packet.get_remaining_payload())
        copied.get_bytes(16)
        lists = [[name.decode() for name in copied.get_namelist()] for _ in range(8)]
        self.offered = dict(
            zip(("kex", "host_keys", "ciphers", "", "macs", "", "compressions", ""), lists, strict=False)
        )
        await super()._process_kexinit(pkttype, pktid, packet)

    def _process_ext_info(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        copied = SSHPacket(packet.get_remaining_payload())
        for _ in range(copied.get_uint32()):
            name = copied.get_string().decode()
            self.extensions[name] = copied.get_string().decode()
        super()._process_ext_info(pkttype, pktid, packet)

    def _hear(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        self.heard.put_nowait((pkttype, packet.get_remaining_payload()))

    _packet_handlers = {  # noqa: RUF012
        **asyncssh.SSHClientConnection._packet_handlers,
        20: _process_kexinit,
        MSG_EXT_INFO: _process_ext_info,
        MSG_PONG: _hear,
        MSG_UNIMPLEMENTED: _hear,
    }


async def connect(room: Served, **changes: Any) -> Watcher:
    """Log in, as a client that takes every algorithm there is."""
    chosen: dict[str, Any] = {
        "username": "alice", "password": PASSWORD, "known_hosts": None, "config": None, "client_keys": None,
        "agent_path": None, "kex_algs": "*", "encryption_algs": "*", "mac_algs": "*", "compression_algs": "*",
        "server_host_key_algs": "*", "signature_algs": "*", **changes,
    }  # fmt: skip
    async with asyncio.timeout(LIMIT_S):
        client = await asyncssh.connect("127.0.0.1", room.port("ssh"), **chosen)
    assert isinstance(client, Watcher)
    return client
