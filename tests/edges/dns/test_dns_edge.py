"""The DNS room on real sockets: its talks over UDP and TCP, pipelining, half-closed peers, floods, and records as they are written."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from portyard.commons.card import Service
from portyard.commons.directory import Endpoint
from portyard.commons.records.sql import SqlRecords
from portyard.commons.sandbox.sql import put
from portyard.commons.talk.model import Step, Talk
from portyard.dns.core.framing import framed
from portyard.dns.core.grammar import parse, print_message
from portyard.dns.core.presentation import query_of
from portyard.dns.core.zones import View
from portyard.dns.edge import WAITING_LIMIT, Inbox
from tests.support.asyncio_tests import run
from tests.support.dns import PORTS
from tests.support.dns_room import ask, read_message, room, udp
from tests.support.dns_talks import TALKS, bed_of, read, run_talk, silences
from tests.support.yard import Served

QUIET_S = 1.0  # for an answer that shall not come
EDGE_TALKS = [path for path in TALKS if read(path).headers.get("view", "host") == "host"]  # loopback is the host's view


def over_which() -> Iterator[tuple[Path, str]]:
    """Each talk, over the transports that it is had by."""
    for path in EDGE_TALKS:
        wanted = read(path).headers.get("transport", "both")
        for transport in ("udp", "tcp"):
            if wanted in ("both", transport):
                yield path, transport


@pytest.mark.parametrize(
    ("path", "transport"), [pytest.param(*each, id=f"{each[0].stem}-{each[1]}") for each in over_which()]
)
def test_talk(path: Path, transport: str, tmp_path: Path) -> None:
    talk = read(path)

    async def main() -> None:
        async with room(tmp_path, capture=talk.headers.get("capture", "any")) as served:
            await furnish(served, talk)
            await (over_udp if transport == "udp" else over_tcp)(served, talk)

    run(main())


async def over_udp(served: Served, talk: Talk) -> None:
    async with udp(served.port("dns-udp")) as (sender, client):
        known = print_message(query_of("SOA portyard.test", 9))
        ruled = any(line.step is Step.RULE for line in talk.lines)
        silent = silences(talk)

        async def exchange(octets: bytes) -> bytes | None:
            unanswered = next(silent)
            sender.sendto(octets)
            sender.sendto(known)  # answered in order: when its answer comes first, the other one's is silence
            first = await client.came.get()
            if parse(first).id != 9 or octets[:2] == b"\0\x09":
                await client.came.get()
                return first
            if not ruled:
                return None
            with contextlib.suppress(TimeoutError):  # counting takes a commit, which nobody else waits for
                return await asyncio.wait_for(client.came.get(), QUIET_S if unanswered else None)
            return None

        await run_talk(talk, exchange, partial(served.yard.rules.add, "default"))


async def over_tcp(served: Served, talk: Talk) -> None:
    async def exchange(octets: bytes) -> bytes | None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port("dns-tcp"))
        try:
            writer.write(framed(octets))
            return await read_message(reader)
        except asyncio.IncompleteReadError:
            return None
        finally:
            writer.close()
            await writer.wait_closed()

    await run_talk(talk, exchange, partial(served.yard.rules.add, "default"))


async def furnish(served: Served, talk: Talk) -> None:
    """Make the real testbed what the talk's bed in memory is: its sandboxes, its records, and services said to be up."""
    bed = await bed_of(talk)
    for sandbox in bed.sandboxes.all[1:]:
        await served.yard.control_database.write(partial(put, sandbox=sandbox))
    records = SqlRecords(served.yard.control_database)
    for record in bed.records.written.get("default", ()):
        same = [r.value for r in bed.records.written["default"] if (r.name, r.type) == (record.name, record.type)]
        await records.replace("default", record.name, record.type, record.ttl, same)
    for service in (place.service for place in bed.places(View.HOST) if place.service != "dns"):
        endpoints = [
            Endpoint(service, port, "127.0.0.1", number, "127.0.0.1", 3000 + number, "none", "tcp")
            for port, number in PORTS[service].items()
        ]
        served.yard.directory.announce(Service(service, service, (), ""), endpoints)


def test_a_service_that_opens_is_found(tmp_path: Path) -> None:
    async def main() -> None:
        async with room(tmp_path) as served:
            lines = await ask(served.port("dns-udp"), "A dns.portyard.test")
            assert lines == ["NOERROR aa", "answer dns.portyard.test. 0 A 127.0.0.1"]
            assert await ask(served.port("dns-udp"), "A mta.portyard.test") == ["SERVFAIL"]

    run(main())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_udp_and_tcp_share_a_number(tmp_path: Path, loop: str) -> None:
    async def main() -> None:
        async with room(tmp_path) as served:
            assert served.port("dns-udp") == served.port("dns-tcp")
            assert (await ask(served.port("dns-udp"), "MX gmail.com"))[
                1
            ] == "answer gmail.com. 0 MX 10 mta.portyard.test."

    run(main(), loop)


def test_pipelined_queries_are_answered_in_any_cut(tmp_path: Path) -> None:
    async def main() -> None:
        async with room(tmp_path) as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port("dns-tcp"))
            data = b"".join(framed(print_message(query_of("MX portyard.test", number))) for number in range(1, 201))
            for start in range(0, len(data), 777):
                writer.write(data[start : start + 777])
                await writer.drain()
            writer.write_eof()  # a client that is done asking still gets its answers
            assert [parse(await read_message(reader)).id for _ in range(200)] == list(range(1, 201))
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

    run(main())


def test_a_peer_that_vanishes_hurts_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        async with room(tmp_path) as served:
            for data in (b"\0", b"\0\x40abc", framed(b"nonsense"), b"GET / HTTP/1.1\r\n\r\n"):
                with socket.create_connection(("127.0.0.1", served.port("dns-tcp"))) as sock:
                    sock.sendall(data)
            assert (await ask(served.port("dns-udp"), "SOA portyard.test"))[0] == "NOERROR aa"

    run(main())


def test_rubbish_over_udp_hurts_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        async with room(tmp_path) as served, udp(served.port("dns-udp")) as (transport, _):
            for data in (b"", b"\0", b"x" * 65000, b"\0\1\x80" + bytes(9), b"\0\1\0\0\0\1\0\0\0\0\0\0\xc0\x0c"):
                transport.sendto(data)
            assert (await ask(served.port("dns-udp"), "SOA portyard.test"))[0] == "NOERROR aa"

    run(main())


def test_written_records_are_served_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with room(tmp_path) as served:
            port, records = served.port("dns-udp"), SqlRecords(served.yard.control_database)
            serials = []
            for value in ("192.0.2.1", "192.0.2.2"):
                await records.replace("default", "www.portyard.test", "A", 300, [value])
                assert (await ask(port, "A www.portyard.test"))[1] == f"answer www.portyard.test. 300 A {value}"
                serials.append(int((await ask(port, "SOA portyard.test"))[1].split()[6]))
            assert serials[1] == serials[0] + 1
            await records.replace("default", "www.portyard.test", "A", 300, [])
            assert (await ask(port, "A www.portyard.test"))[0] == "NXDOMAIN aa"

    run(main())


def test_a_failure_of_ours_is_servfail_and_a_traceback(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with room(tmp_path) as served:
            await served.yard.control_database.write(lambda work: work.execute("DROP TABLE records"))
            assert await ask(served.port("dns-udp"), "A www.portyard.test +rd") == ["SERVFAIL rd"]
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port("dns-tcp"))
            writer.write(framed(print_message(query_of("A www.portyard.test", 1))))
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
            assert (await ask(served.port("dns-udp"), "AXFR portyard.test"))[0] == "REFUSED"

    run(main())
    assert caplog.text.count("no such table: records") >= 2


def test_a_flood_is_dropped_beyond_what_may_wait() -> None:
    async def main() -> None:
        inbox = Inbox()
        for number in range(WAITING_LIMIT + 10):
            inbox.datagram_received(b"%d" % number, ("127.0.0.1", 1))
        assert inbox.queue.qsize() == WAITING_LIMIT
        inbox.error_received(ConnectionRefusedError())
        inbox.send(b"nobody is there yet", ("127.0.0.1", 1))

    run(main())
