"""A load generator for SSH, on asyncssh's client: a job as JSON in, its result (see `asking`) as JSON out.

A cycle is an SFTP client's look at a file, or one command that is run. The client is slower than the server: what the server's turns cost
is told by its processor time.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import asyncssh

from benchmarks.asking import PATIENCE_S, Asked

FILE = "bench.bin"
OCTETS = 4096


@dataclass(frozen=True, slots=True)
class Shells:
    """What to do.

    Attributes:
        port: The server's port on loopback.
        errand: "sftp": stat, open, read 4 KiB and close; "exec": run `echo`.
        login: User and password.
        seconds: How long to go on.
        connections: Connections at once.
    """

    port: int
    errand: str
    login: tuple[str, str]
    seconds: float = 1.0
    connections: int = 8


async def _look(client: asyncssh.SFTPClient) -> None:
    """One cycle of SFTP."""
    await client.stat(FILE)
    async with client.open(FILE, "rb") as file:
        data = await file.read(OCTETS, 0)
    if len(data) != OCTETS:
        raise RuntimeError(f"{len(data)} octets of {OCTETS}")


async def _run(connection: asyncssh.SSHClientConnection) -> None:
    """One command."""
    done = await connection.run("echo hello")
    if done.stdout != "hello\n":
        raise RuntimeError(f"echo said {done.stdout!r}")


async def _go_on(job: Shells, connection: asyncssh.SSHClientConnection, ready: asyncio.Barrier, asked: Asked) -> None:
    if job.errand == "sftp":
        client = await connection.start_sftp_client()
        await ready.wait()
        end = time.monotonic() + job.seconds
        while time.monotonic() < end:
            await _look(client)
            asked.cycles += 1
        return
    await ready.wait()
    end = time.monotonic() + job.seconds
    while time.monotonic() < end:
        await _run(connection)
        asked.cycles += 1


async def run(job: Shells) -> Asked:
    """Do a job to its end."""
    user, password = job.login
    asked = Asked()
    connections: list[asyncssh.SSHClientConnection] = []
    ready = asyncio.Barrier(job.connections + 1)
    async with asyncio.timeout(job.seconds + PATIENCE_S):
        try:
            for _ in range(job.connections):
                connections.append(
                    await asyncssh.connect(
                        "127.0.0.1",
                        job.port,
                        username=user,
                        password=password,
                        known_hosts=None,
                        client_keys=None,
                        config=None,
                    )
                )
            async with connections[0].start_sftp_client() as client, client.open(FILE, "wb") as file:
                await file.write(bytes(OCTETS))
            tasks = [asyncio.create_task(_go_on(job, connection, ready, asked)) for connection in connections]
            await ready.wait()
            began = time.monotonic()
            await asyncio.gather(*tasks)
            asked.seconds = time.monotonic() - began
        except (OSError, RuntimeError, asyncssh.Error) as error:
            asked.trouble = f"{type(error).__name__}: {error}"
        finally:
            for connection in connections:
                connection.abort()
    return asked


def main() -> None:
    """One job from standard input."""
    import uvloop

    fields: dict[str, Any] = json.load(sys.stdin)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(run(Shells(**fields)))
    json.dump(asdict(result), sys.stdout)


if __name__ == "__main__":
    main()
