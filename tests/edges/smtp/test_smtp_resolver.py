"""The resolver against a name server that is played: what each answer means for the mail."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from portyard.commons.directory import Directory, endpoint_of
from portyard.dns.card import CARD
from portyard.smtp.core.model import PeerError
from portyard.smtp.resolver import DnsResolver, RefusedError
from tests.support.asyncio_tests import run

ZONE = {
    ("b.test.", "MX"): ["20 second.b.test.", "10 first.b.test."],
    ("first.b.test.", "A"): ["127.0.0.1"],
    ("first.b.test.", "AAAA"): ["::1"],
    ("second.b.test.", "A"): ["127.0.0.2"],
    ("plain.test.", "A"): ["127.0.0.3"],
    ("none.test.", "MX"): ["0 ."],
    ("lame.test.", "MX"): ["10 nowhere.test."],
    ("xn--bcher-kva.test.", "MX"): ["10 second.b.test."],
    ("large.test.", "MX"): ["10 first.b.test."],
    ("along.test.", "MX"): ["10 here.along.test."],
}
CODES = {"gone.test.": dns.rcode.NXDOMAIN, "refused.test.": dns.rcode.REFUSED, "broken.test.": dns.rcode.SERVFAIL}


ASKED: list[str] = []


def answer(wire: bytes, *, tcp: bool = False) -> bytes:
    query = dns.message.from_wire(wire)
    name, kind = query.question[0].name.to_text(), query.question[0].rdtype.name
    ASKED.append(f"{name} {kind}")
    response = dns.message.make_response(query)
    response.set_rcode(CODES.get(name, dns.rcode.NOERROR))
    if name == "large.test." and not tcp:
        response.flags |= dns.flags.TC
    elif data := ZONE.get((name, kind)):
        response.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *data))
    if name == "along.test." and kind == "MX":
        for address in ("127.0.0.9", "127.0.0.10"):
            response.additional.append(dns.rrset.from_text("Here.along.test.", 60, "IN", "A", address))
    return response.to_wire()


class Datagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self.transport.sendto(answer(data), address)  # type: ignore[attr-defined]


async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    size = int.from_bytes(await reader.readexactly(2))
    wire = answer(await reader.readexactly(size), tcp=True)
    writer.write(len(wire).to_bytes(2) + wire)
    await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def played(
    folder: Path, state: Callable[[], tuple[object, bool]] = lambda: (None, False)
) -> AsyncIterator[DnsResolver]:
    loop = asyncio.get_running_loop()
    udp, _ = await loop.create_datagram_endpoint(Datagrams, ("127.0.0.1", 0))
    tcp = await asyncio.start_server(stream, "127.0.0.1", 0)
    numbers = {"udp": udp.get_extra_info("sockname")[1], "tcp": tcp.sockets[0].getsockname()[1]}
    directory, service = Directory(folder), CARD.services[0]
    directory.announce(
        service,
        [
            endpoint_of(
                service,
                port,
                address="127.0.0.1",
                number=numbers[port.transport],
                host="127.0.0.1",
                host_number=numbers[port.transport],
            )
            for port in service.ports
        ],
    )
    async with tcp:
        yield DnsResolver(directory, state=state)
    udp.close()


@pytest.mark.parametrize(
    ("domain", "servers"),
    [
        ("b.test", [("first.b.test", ["127.0.0.1", "::1"]), ("second.b.test", ["127.0.0.2"])]),
        ("plain.test", [("plain.test", ["127.0.0.3"])]),
        ("bücher.test", [("second.b.test", ["127.0.0.2"])]),
        ("large.test", [("first.b.test", ["127.0.0.1", "::1"])]),
    ],
)
def test_servers_in_order(domain: str, servers: object, tmp_path: Path) -> None:
    async def go() -> None:
        async with played(tmp_path) as resolver:
            assert await resolver.exchanges(domain) == servers
            together = await asyncio.gather(*(resolver.exchanges(domain) for _ in range(5)))
            assert together == [servers] * 5

    run(go())


@pytest.mark.parametrize(
    ("domain", "code", "enhanced"),
    [
        ("gone.test", 550, "5.1.2"),
        ("none.test", 556, "5.1.10"),
        ("lame.test", 550, "5.4.4"),
        ("broken.test", 451, "4.4.3"),
        ("x" * 64 + ".test", 550, "5.1.2"),
        ("a..test", 550, "5.1.2"),
    ],
)
def test_domains_without_servers(domain: str, code: int, enhanced: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with played(tmp_path) as resolver:
            with pytest.raises(PeerError) as caught:
                await resolver.exchanges(domain)
            assert (caught.value.reply.code, caught.value.reply.enhanced) == (code, enhanced)

    run(go())


def test_addresses_that_come_along_are_not_asked_for(tmp_path: Path) -> None:
    async def go() -> None:
        async with played(tmp_path) as resolver:
            ASKED.clear()
            assert await resolver.exchanges("along.test") == [("here.along.test", ["127.0.0.9", "127.0.0.10"])]
            assert ASKED == ["along.test. MX"]

    run(go())


def test_an_answer_is_kept_while_nothing_changes_and_can_be_trusted(tmp_path: Path) -> None:
    state: list[tuple[object, bool]] = [(1, True)]

    async def go() -> None:
        async with played(tmp_path, lambda: state[0]) as resolver:
            for told, asked in (
                ((1, True), 1),
                ((1, True), 0),
                ((2, True), 1),
                ((2, False), 1),
                ((2, True), 0),
                ((1, True), 1),
            ):
                state[0] = told
                ASKED.clear()
                assert (await resolver.exchanges("along.test"))[0][0] == "here.along.test"
                assert len(ASKED) == asked
            state[0] = (3, True)
            for _ in range(2):  # a failure may be mended at any time
                ASKED.clear()
                with pytest.raises(PeerError):
                    await resolver.exchanges("gone.test")
                assert ASKED

    run(go())


def test_refused_and_absent(tmp_path: Path) -> None:
    async def go() -> None:
        async with played(tmp_path) as resolver:
            with pytest.raises(RefusedError):
                await resolver.exchanges("refused.test")
        with pytest.raises(PeerError, match=r"451 4\.4\.3 the testbed's DNS service isn't up"):
            await DnsResolver(Directory(tmp_path / "empty")).exchanges("b.test")

    run(go())
