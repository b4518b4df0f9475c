"""What OpenSSH's programs, lftp and curl make of the room when it is an older or a newer OpenSSH."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from portyard.commons.scenario.parsing import parse_rule
from portyard.ssh import keys
from portyard.ssh.card import CARD
from tests.support.asyncio_tests import run
from tests.support.ssh import OpenSsh, allow, call, folder_of, make_key, needs
from tests.support.talks import PASSWORD
from tests.support.yard import open_yard, serve

pytestmark = [pytest.mark.client, needs("ssh", "sftp", "scp", "ssh-keygen", package="openssh-client")]

OLD, MIDDLE, NEW = "openssh-5.3", "openssh-7.4", "openssh-10.0"
TOLD = ("HostKeyAlgorithms=+ssh-rsa", "PubkeyAcceptedAlgorithms=+ssh-rsa")
"""What a current client has to be told to talk to the old one."""


@contextlib.asynccontextmanager
async def openssh(folder: Path, persona: str | None, kind: str = "rsa") -> AsyncIterator[OpenSsh]:
    keys.ensure(folder / "state" / "ssh", keys.KINDS)
    async with open_yard(folder / "state") as yard, serve(yard, CARD) as served:
        if persona is not None:
            await yard.rules.add("default", parse_rule({"on": "ssh.connect", "then": {"persona": persona}}))
        key = make_key(folder, kind)
        await allow(yard, key)
        yield OpenSsh(served, folder, key)


async def verbose(client: OpenSsh, *options: str) -> tuple[int, str]:
    """Let ssh run a command, and its status and what it says on the way."""
    words = ["ssh", "-vv", *client.options("BatchMode=yes", *options), "-p", str(client.port), "-l", client.user]
    done = await call(*words, "127.0.0.1", "whoami")
    return done.status, done.err.replace("\r", "")


def said(text: str, what: str) -> str:
    """The value behind what ssh says in its debug lines."""
    found = re.search(rf"{re.escape(what)}(.*)", text)
    assert found is not None, text
    return found[1].strip()


def test_the_old_one_is_refused_until_ssh_is_told_otherwise(tmp_path: Path) -> None:
    async def main() -> None:
        async with openssh(tmp_path, OLD) as client:
            status, err = await verbose(client)
            assert status == 255
            assert "no matching host key type found. Their offer: ssh-rsa" in err
            status, err = await verbose(client, TOLD[0])
            assert status == 255
            assert "Permission denied (publickey,password)" in err  # the key would have to sign by SHA-1
            status, err = await verbose(client, *TOLD)
            assert status == 0, err
            assert "remote software version OpenSSH_5.3" in err
            assert said(err, "debug1: kex: host key algorithm: ") == "ssh-rsa"
            assert said(err, "debug1: kex: algorithm: ") == "diffie-hellman-group-exchange-sha256"
            assert "SSH2_MSG_EXT_INFO received" not in err
            assert "will use strict KEX ordering" not in err

    run(main())


def test_the_middle_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with openssh(tmp_path, MIDDLE) as client:
            status, err = await verbose(client)
            assert status == 0, err
            assert said(err, "debug1: kex: algorithm: ").startswith("curve25519-sha256")
            assert said(err, "kex_input_ext_info: server-sig-algs=") == "<rsa-sha2-256,rsa-sha2-512>"
            assert "will use strict KEX ordering" not in err
            status, err = await verbose(client, "KexAlgorithms=sntrup761x25519-sha512@openssh.com")
            assert status == 255
            assert "no matching key exchange method found" in err
            status, err = await verbose(client, "Ciphers=aes128-cbc", "MACs=hmac-sha1")
            assert status == 0, err
            assert said(err, "debug1: kex: server->client cipher: ") == "aes128-cbc MAC: hmac-sha1 compression: none"

    run(main())


def test_the_new_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with openssh(tmp_path, NEW) as client:
            status, err = await verbose(client)
            assert status == 0, err
            assert "remote software version OpenSSH_10.0" in err
            told = said(err, "kex_input_ext_info: server-sig-algs=").strip("<>").split(",")
            assert "ssh-rsa" not in told
            assert {"rsa-sha2-512", "ssh-ed25519"} <= set(told)
            status, err = await verbose(client, "HostKeyAlgorithms=ssh-rsa")
            assert status == 255
            offer = said(err, "no matching host key type found. Their offer: ")
            assert offer.split(",") == ["rsa-sha2-512", "rsa-sha2-256", "ecdsa-sha2-nistp256", "ssh-ed25519"]
            status, err = await verbose(client, "KexAlgorithms=diffie-hellman-group14-sha256")
            assert status == 255
            offer = said(err, "no matching key exchange method found. Their offer: ")
            assert offer.startswith("mlkem768x25519-sha256,curve25519-sha256,")
            status, err = await verbose(client, "Ciphers=aes128-cbc")
            assert "no matching cipher found" in err

    run(main())


@pytest.mark.parametrize(("persona", "given"), [(OLD, TOLD), (MIDDLE, ()), (NEW, ())])
def test_an_errand(persona: str, given: tuple[str, ...], tmp_path: Path) -> None:
    """sftp, both kinds of scp, links, and the listing that asks for names by number where it can."""

    async def main() -> None:
        async with openssh(tmp_path, persona) as client:
            blob = tmp_path / "blob"
            blob.write_bytes(os.urandom(700_001))
            options = client.options("BatchMode=yes", *given)
            where = f"sftp://alice@127.0.0.1:{client.port}"
            batch = f"put {blob} up\nrename up there\nln -s there link\nls -l\nget there {tmp_path / 'back'}\n"
            batch += "df\n" if persona == OLD else "df\nln there hard\n"
            done = await call("sftp", *options, "-b", "-", where, given=batch.encode())
            assert done.status == 0, done.err
            assert re.search(rb"alice +alice +700001 .*there", done.out)
            assert (tmp_path / "back").read_bytes() == blob.read_bytes()
            assert (await folder_of(client.served.yard) / "link").readlink() == Path("there")
            done = await call("sftp", *options, "-b", "-", where, given=b"ln there hardly\n")
            assert (done.status == 0) is (persona != OLD)
            done = await call("sftp", *options, "-b", "-", where, given=b"copy there copied\n")
            assert (done.status == 0) is (persona == NEW)
            for mode in ("-O", "-s"):
                port = ("-P", str(client.port))
                done = await call("scp", *options, mode, *port, "alice@127.0.0.1:there", str(tmp_path / f"back{mode}"))
                assert done.status == 0, done.err
                assert (tmp_path / f"back{mode}").read_bytes() == blob.read_bytes()

    run(main())


@pytest.mark.parametrize("persona", [None, MIDDLE, NEW])
def test_ssh_learns_the_other_host_keys(persona: str | None, tmp_path: Path) -> None:
    """It knew one, is told of the others, and believes what they prove: RSA by SHA-2, since it would disregard SHA-1."""

    async def main() -> None:
        async with openssh(tmp_path, persona, "ed25519") as client:
            known = tmp_path / "known"
            (line,) = [line for line in client.known_hosts.read_text().splitlines() if "ssh-ed25519" in line]
            known.write_text(f"[127.0.0.1]:{client.port} {line.partition(' ')[2]}\n")
            options = [
                option.replace(str(client.known_hosts), str(known)) for option in client.options("BatchMode=yes")
            ]
            options = [option.replace("UpdateHostKeys=no", "UpdateHostKeys=yes") for option in options]
            words = ["ssh", *options, "-p", str(client.port), "-l", "alice", "127.0.0.1", "true"]
            done = await call(*words)
            assert done.status == 0, done.err
            kinds = {line.split()[1] for line in known.read_text().splitlines()}
            assert kinds == {"ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"}

    run(main())


@needs("lftp", package="lftp")
@pytest.mark.parametrize(("persona", "given"), [(OLD, TOLD), (NEW, ())])
def test_lftp(persona: str, given: tuple[str, ...], tmp_path: Path) -> None:
    async def main() -> None:
        async with openssh(tmp_path, persona) as client:
            tree = tmp_path / "tree"
            (tree / "sub").mkdir(parents=True)
            (tree / "sub" / "note").write_text("hello\n")
            words = " ".join(f"-o {option}" for option in (f"UserKnownHostsFile={client.known_hosts}", *given))
            script = [
                f"set sftp:connect-program 'ssh -a -x -F none -o UpdateHostKeys=no {words}'",
                "set net:max-retries 1; set net:timeout 50; set cmd:fail-exit yes",
                f"open -u alice,{PASSWORD} sftp://127.0.0.1:{client.port}",
                f"mirror -R {tree} tree; mirror tree {tmp_path / 'back'}; rm -r tree; cls",
            ]
            done = await call("lftp", "--norc", "-c", "; ".join(script), env={"HOME": str(tmp_path)})
            assert done.status == 0, done.err
            assert (tmp_path / "back" / "sub" / "note").read_text() == "hello\n"

    run(main())
