"""Written records over the API, and what a resolver then hears of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import dns.asyncresolver
import pytest

from portyard.console.zones import TYPES
from portyard.dns.card import CARD as DNS
from tests.support.asyncio_tests import run
from tests.support.console import console

RECORDS = "sandboxes/t1/records"
VALUES = {
    "A": ["192.0.2.1", "192.0.2.2"],
    "AAAA": ["2001:db8::1"],
    "CNAME": ["other.t1.test."],
    "MX": ["10 mx.t1.test."],
    "NS": ["ns.t1.test."],
    "PTR": ["host.t1.test."],
    "SRV": ["0 5 5060 sip.t1.test."],
    "TXT": ['"v=spf1 -all" "more; text"', "plain"],
}


def test_every_type_that_can_be_written_is_served(tmp_path: Path) -> None:
    assert set(VALUES) == set(TYPES)

    async def main() -> None:
        async with console(tmp_path, DNS) as client:
            await client.ask("POST", "sandboxes", 201, {"name": "t1"})
            resolver = dns.asyncresolver.Resolver(configure=False)
            resolver.nameservers = ["127.0.0.1"]
            resolver.port = client.served.port("dns-udp")
            resolver.timeout, resolver.lifetime = 20, 60
            for kind, values in VALUES.items():
                name = f"{kind.lower()}.t1.test"
                made = await client.ask("POST", RECORDS, 201, {"name": name, "type": kind, "ttl": 7, "values": values})
                assert made == {"name": name, "type": kind, "ttl": 7, "values": values}
                answer = await resolver.resolve(name, kind)
                assert answer.rrset is not None
                assert answer.rrset.ttl == 7
                assert len(answer.rrset) == len(values)
                assert await client.get(f"{RECORDS}/{name}/{kind.lower()}") == made
            assert len(await client.get(RECORDS)) == len(TYPES)

    run(main())


def test_written_again_and_removed(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await client.ask("POST", "sandboxes", 201, {"name": "t1"})
            one = f"{RECORDS}/WWW.t1.test./a"
            await client.ask("PUT", one, 200, {"values": ["192.0.2.1"]})
            await client.ask("PUT", one, 200, {"values": ["192.0.2.2"], "ttl": 0})
            assert await client.get(RECORDS) == [
                {"name": "www.t1.test", "type": "A", "ttl": 0, "values": ["192.0.2.2"]}
            ]
            await client.problem("PUT", f"{RECORDS}/www.t1.test/CNAME", 409, json={"values": ["x.test."]})
            await client.ask("DELETE", one, 204)
            await client.problem("DELETE", one, 404)
            assert await client.get(RECORDS) == []
            await client.ask("PUT", f"{RECORDS}/www.t1.test/CNAME", 200, {"values": ["x.test."]})
            await client.problem("PUT", one, 409, json={"values": ["192.0.2.1"]})

    run(main())


@pytest.mark.parametrize(
    ("sandbox", "body", "status", "key"),
    [
        ("t1", {"name": "a.t1.test", "type": "A", "values": ["1.2.3"]}, 422, "values[0]"),
        ("t1", {"name": "a.t1.test", "type": "MX", "values": ["10 a.test.", "mx"]}, 422, "values[1]"),
        ("t1", {"name": "a.t1.test", "type": "CNAME", "values": ["a.test.", "b.test."]}, 422, "values"),
        ("t1", {"name": "a.t1.test", "type": "SOA", "values": ["x"]}, 422, "type"),
        ("t1", {"name": "a.t1.test", "type": "A", "values": []}, 422, "values"),
        ("t1", {"name": "a.t1.test", "type": "A", "values": ["192.0.2.1"], "ttl": -1}, 422, "ttl"),
        ("t1", {"name": "a..t1.test", "type": "A", "values": ["192.0.2.1"]}, 422, "name"),
        ("t1", {"name": ".", "type": "A", "values": ["192.0.2.1"]}, 422, "name"),
        ("t1", {"name": "a.portyard.test", "type": "A", "values": ["192.0.2.1"]}, 422, "name"),
        ("t1", {"name": "a.foreign.example", "type": "A", "values": ["192.0.2.1"]}, 422, "name"),
        ("default", {"name": "a.t1.test", "type": "A", "values": ["192.0.2.1"]}, 422, "name"),
        ("default", {"name": "a.foreign.example", "type": "A", "values": ["192.0.2.1"]}, 201, None),
    ],
)
def test_what_cant_be_served_is_refused(
    tmp_path: Path, sandbox: str, body: dict[str, object], status: int, key: str | None
) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await client.ask("POST", "sandboxes", 201, {"name": "t1"})
            path = f"sandboxes/{sandbox}/records"
            if status == 201:
                await client.ask("POST", path, status, body)
                return
            problem = await client.problem("POST", path, status, json=body)
            assert problem["key"] == key
            assert problem["allowed"]
            assert await client.get(path) == []

    run(main())


def test_two_writers_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await asyncio.gather(
                *(
                    client.ask(
                        "PUT", f"sandboxes/default/records/n{n}.portyard.test/TXT", 200, {"values": [f"value {n}"]}
                    )
                    for n in range(20)
                )
            )
            assert len(await client.get("sandboxes/default/records")) == 20

    run(main())
