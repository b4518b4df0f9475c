"""dnspython asks the DNS room, as a mail program's resolver would."""

from __future__ import annotations

from pathlib import Path

import dns.asyncquery
import dns.asyncresolver
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.resolver
import pytest

from portyard.commons.records.sql import SqlRecords
from portyard.dns.card import CARD
from portyard.imap.card import CARD as IMAP
from tests.support.asyncio_tests import run
from tests.support.yard import open_yard, serve

LIMIT_S = 60.0


def resolver_of(port: int) -> dns.asyncresolver.Resolver:
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], port
    resolver.timeout = resolver.lifetime = LIMIT_S
    return resolver


def test_a_mail_clients_look_ups(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            resolver = resolver_of(served.port("dns-udp"))
            exchange = (await resolver.resolve("example.org", "MX"))[0]
            assert (exchange.preference, str(exchange.exchange)) == (10, "mta.portyard.test.")
            assert [str(address) for address in await resolver.resolve("dns.portyard.test", "A")] == ["127.0.0.1"]
            with pytest.raises(dns.resolver.NXDOMAIN):
                await resolver.resolve("nobody.portyard.test", "A")
            with pytest.raises(dns.resolver.NoAnswer):
                await resolver.resolve("example.org", "A")
            assert str((await resolver.resolve_address("127.0.0.1"))[0].target) == "localhost."

    run(main())


def test_services_are_found_by_their_labels(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD, IMAP) as served:
            resolver = resolver_of(served.port("dns-udp"))
            for label in ("imap", "imaps"):
                service = (await resolver.resolve(f"_{label}._tcp.portyard.test", "SRV"))[0]
                assert (service.port, str(service.target)) == (served.port(label), "imap.portyard.test.")

    run(main())


def test_case_and_edns(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            query = dns.message.make_query("PoRtYaRd.TeSt", "MX", use_edns=0, payload=4096, want_dnssec=True)
            answer = await dns.asyncquery.udp(query, "127.0.0.1", port=served.port("dns-udp"), timeout=LIMIT_S)
            assert str(answer.question[0].name) == "PoRtYaRd.TeSt."
            assert str(answer.answer[0].name) == "PoRtYaRd.TeSt."
            assert answer.flags & dns.flags.AA
            assert answer.payload == 1232
            assert answer.ednsflags & dns.flags.DO

    run(main())


def test_truncation_falls_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            values = [f'"number {number} {"x" * 100}"' for number in range(100)]
            await SqlRecords(yard.control_database).replace("default", "big.portyard.test", "TXT", 60, values)
            query, port = dns.message.make_query("big.portyard.test", "TXT"), served.port("dns-udp")
            answer, used_tcp = await dns.asyncquery.udp_with_fallback(query, "127.0.0.1", port=port, timeout=LIMIT_S)
            assert used_tcp
            assert len(answer.answer[0]) == 100

    run(main())


def test_a_strict_testbed_refuses(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_yard(tmp_path, capture="own") as yard, serve(yard, CARD) as served:
            query = dns.message.make_query("example.org", "MX")
            answer = await dns.asyncquery.tcp(query, "127.0.0.1", port=served.port("dns-tcp"), timeout=LIMIT_S)
            assert answer.rcode() == dns.rcode.REFUSED

    run(main())
