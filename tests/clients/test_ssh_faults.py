"""What OpenSSH's programs see of rules in the midst of things: a read at an offset, a login's steps, a command's output."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from portyard.commons.scenario.parsing import parse_rule
from portyard.ssh.card import CARD
from tests.support.asyncio_tests import run
from tests.support.ssh import OpenSsh, Outcome, allow, call, folder_of, make_key, needs
from tests.support.yard import open_yard, serve

pytestmark = [pytest.mark.client, needs("ssh", "sftp", "ssh-keygen", package="openssh-client")]

BLOB = os.urandom(1_500_000)
AT = 600_000
DELAY_S = 0.4
IMPATIENT = ("ServerAliveInterval=1", "ServerAliveCountMax=1", "ConnectTimeout=2")
"""A client that asks after its server; one that a rule has silenced doesn't answer that either.

Who is kept from the rule itself for so long, by a busy machine, has left it to the next, and it is removed.
"""


@contextlib.asynccontextmanager
async def openssh(folder: Path) -> AsyncIterator[OpenSsh]:
    async with open_yard(folder / "state") as yard, serve(yard, CARD) as served:
        key = make_key(folder)
        await allow(yard, key)
        (await folder_of(yard) / "blob").write_bytes(BLOB)
        yield OpenSsh(served, folder, key)


async def rule(client: OpenSsh, on: str, where: dict[str, object] | None = None, **then: object) -> None:
    made = parse_rule({"on": f"ssh.{on}", "where": where or {}, "times": 1, "then": then})
    await client.served.yard.rules.add("default", made)


async def fetch(client: OpenSsh, *words: str) -> tuple[Outcome, bytes]:
    """Get the blob; what sftp did, and what is here then."""
    back = client.folder / "back"
    back.unlink(missing_ok=True)
    options = client.options("BatchMode=yes", *words)
    where = f"sftp://alice@127.0.0.1:{client.port}"
    done = await call("sftp", *options, "-b", "-", where, given=f"get blob {back}\n".encode())
    return done, back.read_bytes() if back.exists() else b""


@pytest.mark.parametrize(
    ("then", "why"),
    [
        ({"refuse": "failure: a bad sector"}, "read remote"),
        ({"hang_up": True}, "Connection closed"),
        ({"silence": True}, "Connection closed"),
        ({"reset": True}, "Connection closed"),
    ],
    ids=["refuse", "hang_up", "silence", "reset"],
)
def test_a_read_at_an_offset(then: dict[str, object], why: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with openssh(tmp_path) as client:
            await rule(client, "sftp_read", {"path": "/blob", "offset": f">={AT}"}, **then)
            done, got = await fetch(client, *(IMPATIENT if "silence" in then else ()))
            assert done.status != 0
            assert why in done.err
            assert got == BLOB[: len(got)]
            assert len(got) < len(BLOB)
            await client.served.yard.rules.clear("default")
            done, got = await fetch(client)
            assert (done.status, got) == (0, BLOB), done.err

    run(main())


def test_a_read_that_takes_its_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with openssh(tmp_path) as client:
            await rule(client, "sftp_read", {"offset": f">={AT}"}, delay=DELAY_S)
            began = time.monotonic()
            done, got = await fetch(client)
            assert (done.status, got) == (0, BLOB), done.err
            assert time.monotonic() - began >= DELAY_S

    run(main())


@pytest.mark.parametrize("on", ["greeting", "kex", "auth", "exec", "output"])
def test_every_step_of_a_command(on: str, tmp_path: Path) -> None:
    """Refused (where there are words for it), hung up on, silenced and delayed: ssh fails each time, and waits."""

    async def main() -> None:
        async with openssh(tmp_path) as client:
            failures = [{"hang_up": True}, {"silence": True}] + ([] if on == "output" else [{"refuse": "not today"}])
            for then in failures:
                await rule(client, on, **then)
                words = ("BatchMode=yes", *(IMPATIENT if "silence" in then else ()))
                done = await client.ssh("echo out", options=words)
                assert (done.status != 0, done.out) == (True, b""), (then, done.err)
                await client.served.yard.rules.clear("default")
            await rule(client, on, delay=DELAY_S)
            began = time.monotonic()
            done = await client.ssh("echo out", options=("BatchMode=yes",))
            assert (done.status, done.out) == (0, b"out\n"), done.err
            assert time.monotonic() - began >= DELAY_S

    run(main())
