"""lftp and curl move files over SFTP."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from portyard.ssh import keys
from portyard.ssh.card import CARD
from tests.support.asyncio_tests import run
from tests.support.ssh import call, folder_of, needs
from tests.support.talks import PASSWORD
from tests.support.yard import Served, open_yard, serve

pytestmark = pytest.mark.client
BLOB = os.urandom(1_200_007)


def curl_speaks_sftp() -> bool:
    try:
        return "sftp" in subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout
    except OSError:
        return False


@needs("lftp", "ssh", package="lftp")
def test_lftp_mirrors(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_yard(tmp_path / "state") as yard, serve(yard, CARD) as served:
            tree = tmp_path / "tree"
            (tree / "sub").mkdir(parents=True)
            (tree / "blob").write_bytes(BLOB)
            (tree / "sub" / "note").write_text("hello\n")
            script = [
                f"set sftp:connect-program 'ssh -a -x {_options(served)}'",
                "set net:max-retries 1; set net:timeout 50; set cmd:fail-exit yes",
                f"open -u alice,{PASSWORD} sftp://127.0.0.1:{served.port('ssh')}",
                f"mirror -R {tree} tree",
                "ls tree",
                "mv tree/blob tree/renamed",
                f"mirror tree {tmp_path / 'back'}",
                "rm -r tree",
                "cls",
            ]
            done = await call("lftp", "--norc", "-c", "; ".join(script), env={"HOME": str(tmp_path)})
            assert done.status == 0, done.err
            assert (tmp_path / "back" / "renamed").read_bytes() == BLOB
            assert (tmp_path / "back" / "sub" / "note").read_text() == "hello\n"
            assert not (await folder_of(yard) / "tree").exists()

    run(main())


def _options(served: Served) -> str:
    known = served.yard.state / "ssh" / "known_hosts"
    return (
        f"-F none -o UserKnownHostsFile={known} -o StrictHostKeyChecking=yes -o UpdateHostKeys=no -o IdentitiesOnly=yes"
    )


@pytest.mark.skipif(not curl_speaks_sftp(), reason="curl isn't installed, or was built without SFTP")
@pytest.mark.parametrize("scheme", ["sftp", "scp"])
def test_curl_up_and_down(scheme: str, tmp_path: Path) -> None:
    async def main() -> None:
        keys.ensure(tmp_path / "state" / "ssh", keys.KINDS)
        async with open_yard(tmp_path / "state") as yard, serve(yard, CARD) as served:
            (tmp_path / "blob").write_bytes(BLOB)
            (tmp_path / ".ssh").mkdir()
            (tmp_path / ".ssh" / "known_hosts").write_text((yard.state / "ssh" / "known_hosts").read_text())
            url = f"{scheme}://127.0.0.1:{served.port('ssh')}/up.bin"
            base = ["curl", "-sS", "-u", f"alice:{PASSWORD}", "--max-time", "40"]
            home = {"HOME": str(tmp_path)}
            done = await call(*base, "-T", str(tmp_path / "blob"), url, env=home)
            assert done.status == 0, done.err
            assert (await folder_of(yard) / "up.bin").read_bytes() == BLOB
            done = await call(*base, url, env=home)
            assert (done.status, done.out) == (0, BLOB), done.err

    run(main())
