"""The DNS room on real sockets: its talks over UDP and TCP, pipelining, half-closed peers, floods, and what the journal says."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import dns.resolver
import pytest

from portyard.commons.card import Service
from portyard.commons.directory import Endpoint
from portyard.commons.journal.model import JournalEvent, SessionRecord
from portyard.commons.journal.packing import unpacked
from portyard.commons.records.sql import SqlRecords
from portyard.commons.sandbox.sql import put
from portyard.commons.scenario.parsing import make_rule
from portyard.commons.talk.model import Step, Talk
from portyard.commons.talk.print import journal_talk
from portyard.dns import flows
from portyard.dns.card import CARD
from portyard.dns.core.framing import framed
from portyard.dns.core.grammar import parse, print_message
from portyard.dns.core.model import Edns
from portyard.dns.core.presentation import query_of, query_text, reply_lines
from portyard.dns.core.transcripts import LONGEST
from portyard.dns.core.zones import View
from portyard.dns.edge import WAITING_LIMIT, Inbox
from tests.support.asyncio_tests import run
from tests.support.dns import PORTS
from tests.support.dns_talks import TALKS, bed_of, read, run_talk, silences
from tests.support.yard import Served, open_yard, serve

HOURS_S = 7200.0  # a machine is never so busy that a port seems quiet
QUIET_S = 1.0  # for an answer that shall not come
EDGE_TALKS = [path for path in TALKS if read(path).headers.get("view", "host") == "host"]  # loopback is the host's view


@contextlib.asynccontextmanager
async def room(tmp_path: Path, **changes: object) -> AsyncIterator[Served]:
    async with open_yard(tmp_path, **changes) as yard, serve(yard, CARD) as served:
        yield served


class Datagrams(asyncio.DatagramProtocol):
    """A UDP client that keeps what comes."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.came.put_nowait(data)


@contextlib.asynccontextmanager
async def udp(port: int) -> AsyncIterator[tuple[asyncio.DatagramTransport, Datagrams]]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(Datagrams, remote_addr=("127.0.0.1", port))
    try:
        yield transport, protocol
    finally:
        transport.close()


async def ask(port: int, line: str) -> list[str]:
    async with udp(port) as (transport, client):
        transport.sendto(print_message(query_of(line, 77)))
        return reply_lines(parse(await client.came.get()))


async def read_message(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("path", EDGE_TALKS, ids=lambda path: path.stem)
def test_talk(path: Path, transport: str, tmp_path: Path) -> None:
    talk = read(path)
    if talk.headers.get("transport", "both") not in ("both", transport):
        return

    async def over_udp(served: Served) -> None:
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

    async def over_tcp(served: Served) -> None:
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

    async def main() -> None:
        async with room(tmp_path, capture=talk.headers.get("capture", "any")) as served:
            await furnish(served, talk)
            await (over_udp if transport == "udp" else over_tcp)(served)

    run(main())


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


async def sessions(served: Served) -> list[tuple[SessionRecord, list[JournalEvent]]]:
    await served.yard.journal.flush()
    found = await served.yard.journal.sessions("default", room="dns")
    return [(session, await served.yard.journal.events(session.id)) for session in found]


def test_the_journal_shows_each_query(tmp_path: Path) -> None:
    async def main() -> None:
        async with room(tmp_path) as served:
            await ask(served.port("dns-udp"), "MX Gmail.com +rd")
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port("dns-tcp"))
            writer.write(framed(print_message(query_of("NS portyard.test", 1))))
            await read_message(reader)
            writer.close()
            await writer.wait_closed()
            await served.serving.close()
            (stream, its), (datagram, others) = await sessions(served)
            assert datagram.closed_at is not None
            assert (
                "C: MX Gmail.com. +rd\nS: NOERROR aa rd\nS: answer Gmail.com. 0 MX 10 mta.portyard.test."
                in journal_talk(datagram, others)
            )
            assert (
                "C: NS portyard.test.\nS: NOERROR aa\nS: answer portyard.test. 0 NS dns.portyard.test."
                in journal_talk(stream, its)
            )

    run(main())


def test_the_journal_shows_datagrams_as_text_to_whoever_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also to a process that knows nothing of the room before it reads."""
    monkeypatch.setattr(flows, "QUIET_S", HOURS_S)
    short, long = query_of("MX Gmail.com +rd +edns=1400", 5), query_of("A dns.portyard.test +edns=1400", 6)
    long = replace(long, edns=Edns(1400, options=((12, bytes(LONGEST)),)))  # padding (RFC 7830 §3)
    update, malformed = query_of("UPDATE SOA portyard.test", 7), b"\0\x08\0\0\0\1" + bytes(6) + b"\xc0\x0c"

    told: list[dict[str, object]] = []
    pages: list[bytes] = []

    async def main() -> None:
        async with room(tmp_path) as served:
            await ask(served.port("dns-udp"), "MX a.portyard.test")  # from then on it is known that there are no rules
            async with udp(served.port("dns-udp")) as (transport, client):
                for octets in (print_message(short), print_message(long), print_message(update), malformed):
                    transport.sendto(octets)
                    await client.came.get()
            (record, found), _ = await sessions(served)
            told.extend({"kind": event.kind} | event.fields for event in found if event.kind != "opened")
            where = "SELECT body FROM pages WHERE session_id = ?"
            pages.extend(unpacked(body) for (body,) in await served.yard.journal._database.read(where, (record.id,)))

    run(main())
    texts = [str(event["text"]) for event in told]
    assert [(event["kind"], list(event)) for event in told] == [
        ("command", ["kind", "text"]),
        ("reply", ["kind", "text"]),
    ] * 4
    assert texts[0] == "MX Gmail.com. +rd +edns=1400"
    assert texts[1].startswith("NOERROR aa rd edns=1232\r\nanswer Gmail.com. 0 MX 10 mta.portyard.test.")
    assert texts[2:5] == [
        query_text(long),
        "NOERROR aa edns=1232\r\nanswer dns.portyard.test. 0 A 127.0.0.1",
        "UPDATE (no question)",
    ]
    assert texts[5:] == [
        "NOTIMP",
        "(14 octets, malformed: a compression pointer at 12 that doesn't point back)",
        "FORMERR",
    ]
    assert b"".join(pages).count(b"Gmail.com") == 0  # its labels stand there, as they came
    assert b"".join(pages).count(b"\5Gmail\3com\0") == 2
    read = (
        "import sys; from portyard.commons.journal.pages import events; "
        "print(*(repr(event.fields['text']) for event in events(1, sys.stdin.buffer.read()) if event.kind != 'opened'), sep='\\n')"
    )
    shown = ""
    for page in pages:  # what a busy machine notes over a longer time is written in several
        done = subprocess.run([sys.executable, "-c", read], input=page, capture_output=True, check=True)
        shown += done.stdout.decode()
    assert [line for line in shown.splitlines() if line] == [repr(text) for text in texts]


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


@contextlib.asynccontextmanager
async def tcp(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


def test_a_query_is_of_the_sandbox_that_owns_its_name(tmp_path: Path) -> None:
    """Over both transports: its rules, its records, its journal."""

    async def main() -> None:
        async with room(tmp_path) as served:
            yard = served.yard
            await yard.sandboxes.create("t1", domains=("shop.example",))
            for sandbox, rcode in (("t1", "NOTIMP"), ("default", "REFUSED")):
                await yard.rules.add(sandbox, make_rule("dns.query", {"refuse": rcode}, where={"type": "A"}))
            await SqlRecords(yard.control_database).replace("t1", "www.t1.test", "TXT", 5, ["hello"])
            async with tcp(served.port("dns-tcp")) as (reader, writer):

                async def by_tcp(line: str) -> list[str]:
                    writer.write(framed(print_message(query_of(line, 1))))
                    return reply_lines(parse(await read_message(reader)))

                for asks in (by_tcp, partial(ask, served.port("dns-udp"))):
                    assert await asks("A www.shop.EXAMPLE") == ["NOTIMP"]
                    assert await asks("A www.portyard.test") == ["REFUSED"]
                    assert await asks("A www.foreign.example") == ["REFUSED"]
                    assert await asks("TXT www.t1.test") == ["NOERROR aa", 'answer www.t1.test. 5 TXT "hello"']
            await yard.journal.flush()
            shown = {}
            for name in ("t1", "default"):
                some = await yard.journal.sessions(name, room="dns")
                shown[name] = [journal_talk(one, await yard.journal.events(one.id, 0, one.shown)) for one in some]
                assert len(shown[name]) == 3  # the connection, and two datagrams
            assert sum("C: A www.shop.EXAMPLE.\n# fault verb=query" in talk for talk in shown["t1"]) == 2
            assert not any("www.portyard.test" in talk for talk in shown["t1"])
            assert not any("shop" in talk or "t1.test" in talk for talk in shown["default"])
            await yard.rules.flush()
            hits = [stored.hits for stored in await yard.rules.load("t1")]
            assert hits == [2]

    run(main())


def test_what_one_port_asks_is_one_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sandbox sees its own queries of it; another port's are another session."""
    monkeypatch.setattr(flows, "QUIET_S", HOURS_S)

    async def main() -> None:
        async with room(tmp_path) as served:
            yard, port = served.yard, served.port("dns-udp")
            await yard.sandboxes.create("t1")
            await ask(port, "MX first.portyard.test")  # from then on it is known that there are no rules
            async with udp(port) as (transport, client):
                for name in ("www.t1.test", "a.portyard.test", "mail.t1.test", "b.portyard.test"):
                    transport.sendto(print_message(query_of(f"MX {name}", 1)))
                    await client.came.get()
                await ask(port, "MX other.t1.test")
            await served.serving.close()
            await yard.journal.flush()
            asked = {}
            for name in ("t1", "default"):
                found = await yard.journal.sessions(name, room="dns")
                assert all(one.closed_at is not None for one in found)
                events = [await yard.journal.events(one.id, 0, one.shown) for one in reversed(found)]
                asked[name] = [[e.fields["text"] for e in some if e.kind == "command"] for some in events]
            assert asked == {
                "t1": [["MX www.t1.test.", "MX mail.t1.test."], ["MX other.t1.test."]],
                "default": [["MX first.portyard.test."], ["MX a.portyard.test.", "MX b.portyard.test."]],
            }

    run(main())


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
