"""What curl and ftplib see of rules between a transfer's 150 and its octets, in their midst, and behind them."""

from __future__ import annotations

import asyncio
import ftplib
import io
import os
import shutil
import time
from pathlib import Path

import pytest

from tests.support.asyncio_tests import run
from tests.support.ftp import PASSWORD, USER, Ftp, open_ftp

pytestmark = pytest.mark.client

DATA = os.urandom(300_000)
DELAY_S = 0.3
LIMIT_S = 30.0
PATIENCE_S = 1.0
"""Of who is kept waiting for ever. Who is kept from the rule itself for so long has left it to the next, and it is removed."""
VERBS = ("transfer", "data", "complete")


async def curl(ftp: Ftp, kind: str, *words: str, limit_s: float = LIMIT_S) -> tuple[int, bytes, str]:
    """Its exit status, what came and what it tells of the conversation."""
    scheme = "ftps" if kind == "implicit" else "ftp"
    base = ["curl", "-sSv", "--max-time", str(limit_s), "--cacert", ftp.served.ca_file, "-u", f"{USER}:{PASSWORD}"]
    process = await asyncio.create_subprocess_exec(
        *base,
        *(["--ssl-reqd"] if kind == "explicit" else []),
        *words,
        f"{scheme}://localhost:{ftp.served.port(scheme)}/f",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out, errors.decode(errors="replace")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed (package curl)")
@pytest.mark.parametrize("kind", ["plain", "explicit", "implicit"])
@pytest.mark.parametrize("direction", ["down", "up"])
@pytest.mark.parametrize("verb", VERBS)
def test_curl(verb: str, direction: str, kind: str, tmp_path: Path) -> None:
    where = {"direction": direction, "path": "/f", "octets": ">=100000" if verb == "data" else ">=0"}

    async def go() -> None:
        async with open_ftp(tmp_path / "state") as ftp:
            source = tmp_path / "source"
            source.write_bytes(DATA)
            with (await ftp.root()).open("/f", "wb") as file:
                file.write(DATA if direction == "down" else b"old")
            words = ["-T", str(source)] if direction == "up" else []
            await ftp.rule(verb, where=where, refuse="451 not today", times=1)
            status, out, said = await curl(ftp, kind, *words)
            assert status != 0, said
            short = direction == "down" and verb != "complete"  # curl leaves a short download without hearing the reply
            assert short or "< 451 not today" in said
            assert (len(out) < len(DATA)) or verb == "complete"
            await ftp.rule(verb, where=where, silence=True, times=1)
            status, _, said = await curl(ftp, kind, *words, limit_s=PATIENCE_S)
            assert status == 28, said  # its patience ended
            await ftp.yard.rules.clear("default")
            await ftp.rule(verb, where=where, hang_up=True, times=1)
            status, _, said = await curl(ftp, kind, *words)
            assert status not in (0, 28), said
            if direction == "up":
                assert await ftp.content("/f") == b"old"
            await ftp.rule(verb, where=where, delay=f"{DELAY_S}s", times=1)
            began = time.monotonic()
            status, out, said = await curl(ftp, kind, *words)
            assert status == 0, said
            assert time.monotonic() - began >= DELAY_S
            assert (await ftp.content("/f") if direction == "up" else out) == DATA

    run(go())


@pytest.mark.parametrize("verb", VERBS)
def test_ftplib(verb: str, tmp_path: Path) -> None:
    def fetch(port: int, limit_s: float) -> type[BaseException] | None:
        client = ftplib.FTP(timeout=limit_s)
        try:
            client.connect("localhost", port)
            client.login(USER, PASSWORD)
            client.retrbinary("RETR f", io.BytesIO().write)
        except (ftplib.Error, OSError, EOFError) as error:
            return type(error)
        finally:
            client.close()
        return None

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            with (await ftp.root()).open("/f", "wb") as file:
                file.write(DATA)
            port = ftp.served.port("ftp")
            for then, error in (
                ({"refuse": "426 broken off"}, ftplib.error_temp),
                ({"silence": True}, TimeoutError),
                ({"hang_up": True}, EOFError),
                ({"delay": "20ms"}, None),
            ):
                await ftp.rule(verb, times=1, **then)
                limit_s = PATIENCE_S if "silence" in then else LIMIT_S
                assert await asyncio.to_thread(fetch, port, limit_s) is error, then
                await ftp.yard.rules.clear("default")

    run(go())
