"""Rules of the DNS room on real sockets: delays, silence and lies by UDP and TCP, as raw messages and an independent resolver see it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import dns.resolver
import pytest

from portyard.commons.scenario.parsing import make_rule
from portyard.commons.talk.print import journal_talk
from portyard.dns.core.framing import framed
from portyard.dns.core.grammar import parse, print_message
from portyard.dns.core.presentation import query_of
from tests.support.asyncio_tests import run
from tests.support.dns_room import ask, room, sessions, tcp, udp


def test_a_delayed_datagram_holds_nobody_up(tmp_path: Path) -> None:
    async def main() -> None:
        async with room(tmp_path) as served, udp(served.port("dns-udp")) as (transport, client):
            rule = make_rule("dns.query", {"delay": "1s"}, where={"name": "late.test"})
            await served.yard.rules.add("default", rule)
            began = asyncio.get_running_loop().time()
            for number, name in enumerate(("late.test", "soon.test"), 1):
                transport.sendto(print_message(query_of(f"MX {name}", number)))
            assert [parse(await client.came.get()).id for _ in range(2)] == [2, 1]
            assert 1 <= asyncio.get_running_loop().time() - began < 20

    run(main())


def test_a_service_that_closes_leaves_no_late_answer_behind(tmp_path: Path) -> None:
    async def main() -> None:
        async with room(tmp_path) as served, udp(served.port("dns-udp")) as (transport, client):
            rule = make_rule("dns.query", {"delay": "1h"}, where={"name": "late.test"})
            await served.yard.rules.add("default", rule)
            for number, name in enumerate(("late.test", "soon.test"), 1):
                transport.sendto(print_message(query_of(f"MX {name}", number)))
            assert parse(await client.came.get()).id == 2
            await served.serving.close()
            (late,) = [session for session, events in await sessions(served) if "late" in journal_talk(session, events)]
            assert late.closed_at is not None

    run(main())


@pytest.mark.parametrize("then", [{"silence": True}, {"hang_up": True}, {"delay": "200ms", "hang_up": True}], ids=str)
def test_what_a_rule_does_over_tcp(tmp_path: Path, then: dict[str, object]) -> None:
    async def main() -> None:
        async with room(tmp_path) as served, tcp(served.port("dns-tcp")) as (reader, writer):
            await served.yard.rules.add("default", make_rule("dns.query", then, where={"type": "MX"}))
            query = framed(print_message(query_of("MX portyard.test", 1)))
            writer.write(query + framed(print_message(query_of("SOA portyard.test", 2))))
            if "silence" in then:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(reader.read(1), 0.5)
            else:
                assert await reader.read() == b""

    run(main())


def test_a_rule_for_connect_is_obeyed_over_tcp(tmp_path: Path) -> None:
    async def main() -> None:
        async with room(tmp_path) as served:
            await served.yard.rules.add("default", make_rule("dns.connect", {"hang_up": True}))
            async with tcp(served.port("dns-tcp")) as (reader, _):
                assert await reader.read() == b""
            assert (await ask(served.port("dns-udp"), "SOA portyard.test"))[0] == "NOERROR aa"

    run(main())


def test_dnspython_sees_what_rules_want(tmp_path: Path) -> None:
    """An independent resolver: it tries again after SERVFAIL, comes by TCP when truncated, and believes a lie."""

    def errand(port: int) -> list[str]:
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], port
        resolver.retry_servfail = True
        resolver.timeout, resolver.lifetime = 20, 60
        found = [str(resolver.resolve("retry.test", "MX")[0])]
        query = dns.message.make_query("big.test", "MX")
        reply, by_tcp = dns.query.udp_with_fallback(query, "127.0.0.1", port=port, timeout=60)
        found += [str(by_tcp), dns.rcode.to_text(reply.rcode())]
        return [*found, str(resolver.resolve("lie.test", "A")[0])]

    async def main() -> None:
        async with room(tmp_path) as served:
            for where, then, times in (
                ({"name": "retry.test"}, {"refuse": "SERVFAIL"}, 1),
                ({"name": "big.test", "transport": "udp"}, {"say": "NOERROR aa tc"}, None),
                ({"name": "lie.test"}, {"say": "answer $name. 9 A 192.0.2.66"}, None),
            ):
                await served.yard.rules.add("default", make_rule("dns.query", then, where=where, times=times))
            found = await asyncio.to_thread(errand, served.port("dns-udp"))
            assert found == ["10 mta.portyard.test.", "True", "NOERROR", "192.0.2.66"]

    run(main())
