"""What stock clients make of the room when it is vsftpd."""

from __future__ import annotations

import asyncio
import ftplib
import io
import os
import re
import shutil
import ssl
from pathlib import Path

import pytest

from tests.support.asyncio_tests import run
from tests.support.ftp import PASSWORD, USER, open_ftp

pytestmark = pytest.mark.client
LIMIT_S = 60


async def program(*words: str) -> str:
    """Run a program to its end; all that it printed."""
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"},
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode(errors="replace")
    return out.decode(errors="replace")


def test_ftplib(tmp_path: Path) -> None:
    def errand(port: int) -> None:
        with ftplib.FTP(timeout=LIMIT_S) as client:
            client.connect("localhost", port)
            assert client.getwelcome() == "220 (vsFTPd 3.0.5)"
            client.login(USER, PASSWORD)
            client.mkd("in")
            data = os.urandom(300_000)
            client.storbinary("STOR in/big.bin", io.BytesIO(data))
            got = io.BytesIO()
            client.retrbinary("RETR in/big.bin", got.write)
            assert got.getvalue() == data
            assert client.nlst("in") == ["in/big.bin"]
            assert client.nlst("missing") == []
            with pytest.raises(ftplib.error_perm, match="500 Unknown command"):
                list(client.mlsd())
            client.voidcmd("TYPE I")
            connection, size = client.ntransfercmd("RETR in/big.bin")
            assert size == len(data)  # ftplib reads it from the 150's parentheses
            with connection:
                while connection.recv(65536):
                    pass
            client.voidresp()
            lines: list[str] = []
            client.dir("in", lines.append)
            assert re.match(r"-rw-------    1 1000     1000       300000 ", lines[0])
            assert client.sendcmd("MDTM 20200102030405 in/big.bin").startswith("213 ")
            assert client.sendcmd("MDTM in/big.bin") == "213 20200102030405"
            assert client.sendcmd("SITE UMASK 022").startswith("200 ")
            with pytest.raises(ftplib.error_perm, match="553"):
                client.storbinary("STOR nowhere/f", io.BytesIO(b""))
            assert client.quit().startswith("221 ")

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule("connect", persona="vsftpd")
            await asyncio.to_thread(errand, ftp.served.port("ftp"))

    run(go())


def test_ftplib_meets_the_522_that_its_users_know(tmp_path: Path) -> None:
    def errand(port: int, context: ssl.SSLContext) -> None:
        with ftplib.FTP_TLS(context=context, timeout=LIMIT_S) as client:
            client.connect("localhost", port)
            client.login(USER, PASSWORD)
            client.prot_p()
            with pytest.raises(ftplib.error_perm, match="522"):
                client.nlst()

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule("connect", persona="vsftpd")
            await asyncio.to_thread(errand, ftp.served.port("ftp"), ftp.served.client_context())

    run(go())


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed (package curl)")
@pytest.mark.parametrize("scheme", ["ftp", "ftps"])
def test_curl(scheme: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path / "state") as ftp:
            await ftp.rule("connect", persona="vsftpd")
            source = tmp_path / "source"
            source.write_bytes(os.urandom(200_000))
            curl = ["curl", "-sS", "--max-time", "60", "--ssl-reqd", "--cacert", ftp.served.ca_file]
            base = f"{scheme}://localhost:{ftp.served.port(scheme)}"
            curl += ["-u", f"{USER}:{PASSWORD}"]
            said = await program(*curl, "-v", "-T", str(source), f"{base}/f")
            assert "220 (vsFTPd 3.0.5)" in said or scheme == "ftps"
            await program(*curl, "-o", str(tmp_path / "back"), f"{base}/f")
            assert (tmp_path / "back").read_bytes() == source.read_bytes()
            assert re.search(r"-rw------- +1 1000 +1000 +200000 ", await program(*curl, f"{base}/"))

    run(go())


@pytest.mark.skipif(shutil.which("lftp") is None, reason="lftp is not installed (package lftp)")
@pytest.mark.parametrize("tls", ["true", "false"])
def test_lftp(tls: str, tmp_path: Path) -> None:
    """It finds no MLSD in FEAT, and reads LIST."""

    async def go() -> None:
        async with open_ftp(tmp_path / "state") as ftp:
            await ftp.rule("connect", persona="vsftpd")
            (tmp_path / "up" / "sub").mkdir(parents=True)
            (tmp_path / "up" / "sub" / "a b").write_bytes(b"text\n")
            (tmp_path / "up" / "big").write_bytes(os.urandom(200_000))
            script = (
                f"set cmd:fail-exit true; set net:max-retries 1; set net:timeout {LIMIT_S}; set ssl:ca-file {ftp.served.ca_file}; "
                f"set ftp:ssl-force {tls}; set ftp:ssl-allow {tls}; set ftp:ssl-protect-data true; debug 5; "
                f"open -u {USER},{PASSWORD} ftp://localhost:{ftp.served.port('ftp')}; "
                f"mirror -R {tmp_path / 'up'} x; mirror x {tmp_path / 'down'}; cls -1 x; bye"
            )
            said = await program("lftp", "--norc", "-c", script)
            assert (tmp_path / "down" / "sub" / "a b").read_bytes() == b"text\n"
            assert (tmp_path / "down" / "big").read_bytes() == (tmp_path / "up" / "big").read_bytes()
            assert "---> LIST" in said
            assert "---> MLSD" not in said
            sessions = {
                event.fields["resumed"] for event in await ftp.handshakes() if event.fields["channel"] == "data"
            }
            assert sessions == ({True} if tls == "true" else set())

    run(go())
