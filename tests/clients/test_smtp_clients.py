"""Stock clients' whole errands against the mail chain: smtplib, swaks and curl."""

from __future__ import annotations

import asyncio
import shutil
import smtplib
from pathlib import Path

import pytest

from tests.support.asyncio_tests import run
from tests.support.mail_chain import MESSAGE, PATIENCE_S, arrived, chain, settled, untraced
from tests.support.standard_input import holding
from tests.support.yard import Served

USER, PASSWORD = "alice@portyard.test", "alice-secret"


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} isn't installed")


async def call(*command: str, stdin: bytes = b"") -> tuple[int, str]:
    """Run a client; its exit status and everything it wrote."""
    with holding(stdin) as given:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=given, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
    async with asyncio.timeout(PATIENCE_S):
        output, _ = await process.communicate()
    return process.returncode or 0, output.decode("utf-8", "replace")


@pytest.mark.client
@needs("swaks")
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("listener", ["submission", "submissions"])
def test_swaks_submits(listener: str, mechanism: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with chain(tmp_path) as served:
            tls = ["--tls-on-connect"] if listener == "submissions" else ["--tls"]
            status, said = await call(
                *("swaks", "--server", "localhost", "--port", str(served.port(listener)), *tls),
                *("--tls-verify", "--tls-ca-path", served.ca_file, "--auth", mechanism),
                *("--auth-user", USER, "--auth-password", PASSWORD),
                *("--from", USER, "--to", "bob@portyard.test,someone@foreign.test"),
                *("--header", "Subject: by swaks", "--body", "hello\n.\ndot"),
            )
            assert status == 0, said
            (octets,) = await arrived(served.yard, "bob", 1)
            assert b"Subject: by swaks\r\n" in octets
            assert b"\r\n.\r\ndot" in octets
            assert await settled(served.yard) == []

    run(go())


@pytest.mark.client
@needs("swaks")
def test_swaks_pipelines_to_the_mta_and_to_the_mda(tmp_path: Path) -> None:
    async def go() -> None:
        async with chain(tmp_path) as served:
            for protocol, port in (("ESMTP", "smtp"), ("SMTP", "smtp"), ("LMTP", "lmtp")):
                status, said = await call(
                    *("swaks", "--server", "127.0.0.1", "--port", str(served.port(port)), "--protocol", protocol),
                    *("--from", "a@client.test", "--to", "bob@portyard.test,bob+two@portyard.test"),
                    *(["--pipeline"] if protocol == "ESMTP" else []),
                )
                assert status == 0, said
            await settled(served.yard)
            assert len(await arrived(served.yard, "bob", 6)) == 6

    run(go())


@pytest.mark.client
@needs("swaks")
def test_swaks_is_told_why(tmp_path: Path) -> None:
    async def go() -> None:
        async with chain(tmp_path, names=["msa"]) as served:
            port = str(served.port("submission"))
            common = ("swaks", "--server", "127.0.0.1", "--port", port, "--from", USER, "--to", "bob@portyard.test")
            status, said = await call(*common)
            assert status == 23, said
            assert "530 5.7.0" in said
            status, said = await call(*common, "--auth", "PLAIN", "--auth-user", USER, "--auth-password", "wrong")
            assert status == 28, said
            assert "535 5.7.8" in said

    run(go())


@pytest.mark.client
@needs("curl")
@pytest.mark.parametrize("listener", ["submission", "submissions"])
def test_curl_submits(listener: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with chain(tmp_path) as served:
            status, said = await curl(served, listener)
            assert status == 0, said
            (octets,) = await arrived(served.yard, "bob", 1)
            assert untraced(octets).endswith(MESSAGE)

    async def curl(served: Served, listener: str) -> tuple[int, str]:
        scheme = "smtps" if listener == "submissions" else "smtp"
        letter = tmp_path / "letter"
        letter.write_bytes(MESSAGE)
        return await call(
            *("curl", "--silent", "--show-error", "--ssl-reqd", "--cacert", served.ca_file),
            *(f"{scheme}://localhost:{served.port(listener)}/client.test", "--user", f"{USER}:{PASSWORD}"),
            *("--mail-from", USER, "--mail-rcpt", "bob@portyard.test", "--upload-file", str(letter)),
        )

    run(go())


def test_smtplib_without_tls_and_with_lmtp(tmp_path: Path) -> None:
    def errand(served: Served) -> None:
        with smtplib.SMTP("127.0.0.1", served.port("submission"), timeout=PATIENCE_S) as client:
            client.login(USER, PASSWORD)
            assert client.verify("bob")[0] == 252
            assert client.noop()[0] == 250
            client.sendmail(USER, ["bob@portyard.test"], MESSAGE)
        with smtplib.LMTP("127.0.0.1", served.port("lmtp")) as client:
            client.sendmail(USER, ["bob@portyard.test"], MESSAGE)

    async def go() -> None:
        async with chain(tmp_path) as served:
            await asyncio.to_thread(errand, served)
            await settled(served.yard)
            for octets in await arrived(served.yard, "bob", 2):
                assert untraced(octets).endswith(MESSAGE)

    run(go())
