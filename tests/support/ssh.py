"""OpenSSH's programs against the SSH room, touching nothing of this machine's own configuration."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from portyard.commons.yard import Yard
from tests.support.standard_input import holding
from tests.support.talks import PASSWORD, USER
from tests.support.yard import Served

LIMIT_S = 120


def needs(*programs: str, package: str) -> pytest.MarkDecorator:
    """Skip, with the reason, where a program isn't installed."""
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} is not installed (package {package})")


@dataclass(frozen=True)
class Outcome:
    """What a program did."""

    status: int
    out: bytes
    err: str


async def call(*words: str, given: bytes = b"", env: dict[str, str] | None = None) -> Outcome:
    """Run a program to its end, away from any terminal."""
    with holding(given) as standard_input:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=standard_input,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **(env or {})},
            start_new_session=True,
        )
    try:
        async with asyncio.timeout(LIMIT_S):
            out, err = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return Outcome(process.returncode, out, err.decode("utf-8", "replace"))


def make_key(folder: Path, kind: str = "ed25519") -> Path:
    """A fresh client key; its public half beside it."""
    path = folder / f"client_{kind}"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "a test", "-f", str(path)], check=True)
    return path


@dataclass
class OpenSsh:
    """How the programs of OpenSSH reach a running room: by a key that the account has."""

    served: Served
    folder: Path
    key: Path | None = None
    user: str = USER

    @property
    def port(self) -> int:
        return self.served.port("ssh")

    @property
    def known_hosts(self) -> Path:
        return self.served.yard.state / "ssh" / "known_hosts"

    def options(self, *more: str) -> list[str]:
        chosen = [
            "StrictHostKeyChecking=yes",
            f"UserKnownHostsFile={self.known_hosts}",
            "GlobalKnownHostsFile=/dev/null",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "UpdateHostKeys=no",
            "LogLevel=ERROR",
            *more,
        ]
        identity = ["-i", str(self.key)] if self.key is not None else []
        return ["-F", "none", *identity, *(word for option in chosen for word in ("-o", option))]

    async def ssh(self, *words: str, given: bytes = b"", options: tuple[str, ...] = ("BatchMode=yes",)) -> Outcome:
        base = ["ssh", *self.options(*options), "-p", str(self.port), "-l", self.user]
        return await call(*base, "127.0.0.1", *words, given=given)

    async def sftp(self, batch: str) -> Outcome:
        where = f"sftp://{self.user.replace('@', '%40')}@127.0.0.1:{self.port}"
        return await call("sftp", *self.options("BatchMode=yes"), "-b", "-", where, given=batch.encode())

    async def scp(self, *words: str) -> Outcome:
        return await call("scp", *self.options("BatchMode=yes"), "-P", str(self.port), *words)

    def remote(self, path: str) -> str:
        """A path as scp wants it: the user's name holds an "@", which only the last one ends."""
        return f"{self.user}@127.0.0.1:{path}"

    async def with_password(self, *words: str, method: str, password: str = PASSWORD) -> Outcome:
        """Log in by a password, which ssh asks a program for."""
        asker = self.folder / "askpass"
        asker.write_text(f"#!/bin/sh\necho '{password}'\n")
        asker.chmod(0o700)
        options = self.options(
            f"PreferredAuthentications={method}", "NumberOfPasswordPrompts=1", "PubkeyAuthentication=no"
        )
        env = {"SSH_ASKPASS": str(asker), "SSH_ASKPASS_REQUIRE": "force"}
        return await call("ssh", *options, "-p", str(self.port), "-l", self.user, "127.0.0.1", *words, env=env)


async def allow(yard: Yard, key: Path, user: str = USER) -> None:
    """Put a key's public half into an account's own authorized_keys."""
    account = await yard.accounts.find(user)
    assert account is not None
    root = yard.files.root(account)
    root.mkdir("/.ssh", 0o700)
    with root.open("/.ssh/authorized_keys", "wb") as file:
        file.write(b"# mine\nthis line is no key\n" + key.with_suffix(".pub").read_bytes())


async def folder_of(yard: Yard, user: str = USER) -> Path:
    """The real directory of an account's files, for a test to look into."""
    account = await yard.accounts.find(user)
    assert account is not None
    yard.files.root(account)
    return yard.state / "files" / account.sandbox / account.address


async def closed_session(yard: Yard, sandbox: str = "default") -> str:
    """The id of the newest session, once it is closed in the journal."""
    while True:
        await yard.journal.flush()
        records = await yard.journal.sessions(sandbox, room="ssh")
        if records and records[0].closed_at is not None:
            return records[0].id
        await asyncio.sleep(0)
