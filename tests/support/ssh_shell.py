"""A shell on a real folder without any connection: its streams are lists, its clock stands still."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from portyard.commons.accounts.model import Account
from portyard.commons.filestore.disk import DiskFilestore
from portyard.ssh.core.shell import Shell

ALICE = Account(1, "default", "alice", "portyard.test", "alice-secret")
NOON = datetime(2030, 1, 2, 12, 0, 0, tzinfo=UTC)


@dataclass
class FakeIo:
    """Implements `Io`."""

    given: list[bytes] = field(default_factory=list)
    out: bytearray = field(default_factory=bytearray)
    err: bytearray = field(default_factory=bytearray)
    slept: list[float] = field(default_factory=list)
    most: int = 0

    async def read(self) -> bytes:
        return self.given.pop(0) if self.given else b""

    async def write(self, data: bytes) -> None:
        self.most = max(self.most, len(data))
        self.out += data

    async def write_error(self, data: bytes) -> None:
        self.err += data

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def breathe(self) -> None:
        await asyncio.sleep(0)

    def now(self) -> datetime:
        return NOON


@dataclass(frozen=True)
class Said:
    """What a script did."""

    status: int
    out: str
    err: str


class Desk:
    """One shell that scripts are run in, one after the other."""

    def __init__(self, folder: Path, limit: int = 1 << 30) -> None:
        self.store = DiskFilestore(folder)
        self.root = self.store.root(ALICE)
        self.shell = Shell(self.root, ALICE, limit)
        self.real = folder / "default" / "alice@portyard.test"
        self.io = FakeIo()

    def run(self, script: str, given: bytes | list[bytes] = b"") -> Said:
        self.io = FakeIo([given] if isinstance(given, bytes) and given else list(given) if given else [])
        self.shell._input = None
        status = asyncio.run(self.shell.run(script, self.io))
        decode = lambda data: data.decode("utf-8", "surrogateescape")  # noqa: E731
        return Said(status, decode(self.io.out), decode(self.io.err))

    def out(self, script: str, given: bytes | list[bytes] = b"") -> str:
        """What a script prints that must succeed without a complaint."""
        said = self.run(script, given)
        assert (said.status, said.err) == (0, ""), said
        return said.out
