"""dig asks the DNS room."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from portyard.commons.records.sql import SqlRecords
from portyard.dns.card import CARD
from tests.support.asyncio_tests import run
from tests.support.yard import open_yard, serve

pytestmark = [
    pytest.mark.client,
    pytest.mark.skipif(shutil.which("dig") is None, reason="dig is not installed (package bind9-dnsutils)"),
]


async def dig(port: int, *words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "dig", "@127.0.0.1", "-p", str(port), "+tries=1", "+time=60", *words, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out
    return out.decode()


def test_an_errand_over_udp_and_tcp(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            port = served.port("dns-udp")
            assert await dig(port, "+short", "MX", "portyard.test") == "10 mta.portyard.test.\n"
            assert await dig(port, "+short", "+tcp", "MX", "gmail.com") == "10 mta.portyard.test.\n"
            assert await dig(port, "+short", "NS", "portyard.test") == "dns.portyard.test.\n"
            assert await dig(port, "+short", "-x", "127.0.0.1") == "localhost.\n"
            refused = await dig(port, "AXFR", "portyard.test")
            assert "Transfer failed" in refused
            missing = await dig(port, "A", "nobody.portyard.test")
            assert "status: NXDOMAIN" in missing
            assert "flags: qr aa rd;" in missing  # authoritative, and no recursion (RFC 1035 §4.1.1: RA)
            assert "hostmaster.portyard.test." in missing
            assert "status: REFUSED" in await dig(port, "CH", "TXT", "version.bind")
            assert "status: BADVERS" in await dig(port, "+edns=7", "+noednsneg", "A", "portyard.test")

    run(main())


def test_a_long_answer_comes_by_tcp(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            await SqlRecords(yard.control_database).replace("default", "big.portyard.test", "TXT", 60, ["x" * 3000])
            out = await dig(served.port("dns-udp"), "TXT", "big.portyard.test")
            assert "Truncated, retrying in TCP mode" in out
            assert out.count("x" * 255) == 11

    run(main())
