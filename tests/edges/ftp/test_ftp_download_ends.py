"""When a download's last reply comes, where a fault keeps back what was sent: behind the data's end (RFC 959 §5.1)."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from portyard.ftp.data import PlainData
from tests.support.asyncio_tests import LOOPS, run
from tests.support.ftp import LIMIT_S, Client, Ftp, Pipe, open_ftp
from tests.support.ftp_rules import DATA, SOON_S, logged_in, rest_of, silent

FOREVER = {"stall": {"after_octets": 500}}
LATE_S = 0.3
LATE = {
    "stall": {"stall": {"after_octets": 500, "for_s": LATE_S}},
    "latency": {"latency": {"delay_s": LATE_S}},
    "bandwidth": {"bandwidth": {"octets_per_s": int(len(DATA) / LATE_S / 1.5)}},
}


async def fetch(
    client: Client, ftp: Ftp, rule: dict[str, object], *, tls: bool = False, command: str = "RETR f"
) -> Pipe:
    await ftp.rule("transfer", **rule, times=1)
    pipe = await client.data(tls=tls)
    assert (await client.ask(command)).startswith("1")
    return pipe


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("fault", LATE)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_the_reply_waits_for_what_is_under_way(tls: bool, fault: str, loop: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await logged_in(ftp)
            client = await ftp.logged_in(implicit=tls)
            await client.ask("TYPE I")
            began = time.monotonic()
            pipe = await fetch(client, ftp, LATE[fault], tls=tls)
            assert (await client.reply()).startswith("226")
            assert time.monotonic() - began >= LATE_S
            assert await rest_of(pipe) == DATA
            assert (await client.ask("NOOP")).startswith("200")

    run(go(), loop)


def test_a_file_with_nothing_in_it_is_whole(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await logged_in(ftp)
            await client.ask("TYPE I")
            (await ftp.root()).open("/empty", "wb").close()
            await ftp.rule("data_connect", latency={"delay_s": LATE_S})
            pipe = await client.data()
            assert (await client.ask("RETR empty")).startswith("1")
            assert await client.reply() == "226 Transfer complete."
            assert await rest_of(pipe) == b""

    run(go())


def test_a_list_that_stalls_is_not_done(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await logged_in(ftp)
            pipe = await fetch(client, ftp, {"stall": True}, command="NLST")
            await silent(client)
            assert (await client.ask("ABOR")).startswith("426")
            assert (await client.reply()).startswith("226")
            assert (await client.ask("NOOP")).startswith("200")
            await pipe.close()

    run(go())


def test_a_client_that_leaves_a_stalled_download_is_answered(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await logged_in(ftp)
            pipe = await fetch(client, ftp, FOREVER)
            await asyncio.wait_for(pipe.reader.readexactly(500), LIMIT_S)
            pipe.reset()
            assert (await client.reply())[:3] in ("226", "426")
            assert (await client.ask("NOOP")).startswith("200")

    run(go())


def test_a_download_that_stalls_for_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PlainData, "timeout", SOON_S)

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await logged_in(ftp)
            pipe = await fetch(client, ftp, FOREVER)
            assert (await client.reply()).startswith("426 Data connection stalled")
            assert (await client.ask("NOOP")).startswith("200")
            await pipe.close()

    run(go())
