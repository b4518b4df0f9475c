"""A load generator for SSH, on asyncssh's client: connections that stay, and work in slices (see `asking`).

A cycle is an SFTP client's look at a file, or one command that is run. The client is slower than the server: what the server's slices cost
is told by its processor time.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import asyncssh

from benchmarks.asking import PATIENCE_S, Asked, AskingError

FILE = "bench.bin"
OCTETS = 4096


@dataclass(frozen=True, slots=True)
class Shells:
    """What to do.

    Attributes:
        port: The server's port on loopback.
        errand: "sftp": stat, open, read 4 KiB and close; "exec": run `echo`.
        login: User and password.
        connections: Connections at once.
    """

    port: int
    errand: str
    login: tuple[str, str]
    connections: int = 8


class ShellTeam:
    """A job's connections, which stay from slice to slice.

    Args:
        job: What they do.
    """

    def __init__(self, job: Shells) -> None:
        self._job = job
        self._connections: list[asyncssh.SSHClientConnection] = []
        self._clients: list[asyncssh.SFTPClient] = []

    async def open(self) -> None:
        """Connect, and put the file there.

        Raises:
            AskingError: The server didn't let us.
        """
        user, password = self._job.login
        known = {"username": user, "password": password, "known_hosts": None, "client_keys": None, "config": None}
        try:
            for _ in range(self._job.connections):
                connection = await asyncssh.connect("127.0.0.1", self._job.port, **known)
                self._connections.append(connection)
                if self._job.errand == "sftp":
                    self._clients.append(await connection.start_sftp_client())
            if self._clients:
                async with self._clients[0].open(FILE, "wb") as file:
                    await file.write(bytes(OCTETS))
        except (OSError, asyncssh.Error) as error:
            raise AskingError(f"{type(error).__name__}: {error}") from error

    async def work(self, cycles: int = 0, seconds: float = 0.0) -> Asked:
        """Run so many cycles, or go on for so long; done when the last answer came.

        Raises:
            AskingError: An answer wasn't what it should be.
        """
        asked = Asked()
        began = time.monotonic()
        end = began + seconds if seconds else began + PATIENCE_S * 10
        left = cycles or 1 << 60

        async def go_on(number: int) -> None:
            nonlocal left
            while left and time.monotonic() < end:
                left -= 1
                await (_look(self._clients[number]) if self._clients else _run(self._connections[number]))
                asked.cycles += 1

        try:
            async with asyncio.timeout(seconds + PATIENCE_S):
                await asyncio.gather(*(go_on(number) for number in range(self._job.connections)))
        except (OSError, asyncssh.Error) as error:
            raise AskingError(f"{type(error).__name__}: {error}") from error
        asked.seconds = time.monotonic() - began
        return asked

    def close(self) -> None:
        """Drop the connections."""
        for connection in self._connections:
            connection.abort()


async def _look(client: asyncssh.SFTPClient) -> None:
    """One cycle of SFTP."""
    await client.stat(FILE)
    async with client.open(FILE, "rb") as file:
        data = await file.read(OCTETS, 0)
    if len(data) != OCTETS:
        raise AskingError(f"{len(data)} octets of {OCTETS}")


async def _run(connection: asyncssh.SSHClientConnection) -> None:
    """One command."""
    done = await connection.run("echo hello")
    if done.stdout != "hello\n":
        raise AskingError(f"echo said {done.stdout!r}")
