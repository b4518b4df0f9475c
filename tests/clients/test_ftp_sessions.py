"""Whether a data connection resumes the control connection's TLS session: what curl, lftp and ftplib do, and what they meet with."""

from __future__ import annotations

import asyncio
import ftplib
import os
import re
import shutil
import ssl
from pathlib import Path

import pytest

from tests.support.asyncio_tests import run
from tests.support.ftp import PASSWORD, USER, Ftp, open_ftp

pytestmark = pytest.mark.client
PROGRAMS = ("curl", "lftp")


async def lists(ftp: Ftp, program: str, *, resumes: bool) -> tuple[bool, str]:
    """Let a program list the files by explicit FTPS; whether it could, and what it said."""
    port, ca = ftp.served.port("ftp"), ftp.served.ca_file
    words = ["curl", "-sSv", "--max-time", "60", "--ssl-reqd", "--cacert", ca, "-u", f"{USER}:{PASSWORD}"]
    words += [] if resumes else ["--no-sessionid"]
    words += ["-l", f"ftp://localhost:{port}/"]
    if program == "lftp":
        script = (
            f"debug 5; set net:max-retries 1; set net:timeout 60; set ssl:ca-file {ca}; set ftp:ssl-force true; "
            f"set ftp:ssl-protect-list true; set ftp:ssl-copy-sid {'yes' if resumes else 'no'}; "
            f"open -u {USER},{PASSWORD} ftp://localhost:{port}; cls"
        )
        words = ["lftp", "--norc", "-c", script]
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"},
    )
    out, _ = await process.communicate()
    return process.returncode == 0, out.decode(errors="replace")


async def data_sessions(ftp: Ftp) -> list[object]:
    """Of each data connection whether it resumed a session, the newest session's first."""
    return [event.fields["resumed"] for event in await ftp.handshakes() if event.fields["channel"] == "data"]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    ("policy", "resumes", "done", "reused"),
    [
        ("reported", True, True, True),
        ("reported", False, True, False),
        ("required", True, True, True),
        ("required", False, False, False),
        ("refused", True, True, False),
    ],
)
@pytest.mark.parametrize("chosen", ["setting", "rule"])
def test_programs(
    chosen: str, policy: str, resumes: bool, done: bool, reused: bool, program: str, tmp_path: Path
) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed (package {program})")

    async def go() -> None:
        settings = {"session_reuse": policy} if chosen == "setting" else {}
        async with open_ftp(tmp_path, **settings) as ftp:
            if chosen == "rule" and policy == "required":
                await ftp.rule("data_tls", where={"reused": False}, refuse="522 session reuse required")
            elif chosen == "rule" and policy == "refused":
                await ftp.rule("tls", where={"channel": "data"}, tls="no_tickets")
            could, said = await lists(ftp, program, resumes=resumes)
            refused = re.search(r"^<[- ]*522 ", said, re.MULTILINE) is not None  # a port may have these digits, too
            assert (could, refused) == (done, not done), said
            assert set(await data_sessions(ftp)) == {reused}

    run(go())


def test_ftplib_never_resumes(tmp_path: Path) -> None:
    def errand(port: int, context: ssl.SSLContext) -> str:
        with ftplib.FTP_TLS(context=context, timeout=60) as client:
            client.connect("localhost", port)
            client.login(USER, PASSWORD)
            client.prot_p()
            try:
                client.nlst()
            except ftplib.error_perm as error:
                return str(error)[:3]
            return "226"

    async def go() -> None:
        for policy, reply in (("reported", "226"), ("required", "522")):
            async with open_ftp(tmp_path / policy, session_reuse=policy) as ftp:
                got = await asyncio.to_thread(errand, ftp.served.port("ftp"), ftp.served.client_context())
                assert (got, await data_sessions(ftp)) == (reply, [False])

    run(go())
