"""The DNS room's journal on real sockets: each query as text, in the session of its port or connection, to the sandbox whose it is."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from portyard.commons.journal.packing import unpacked
from portyard.commons.records.sql import SqlRecords
from portyard.commons.scenario.parsing import make_rule
from portyard.commons.talk.print import journal_talk
from portyard.dns import flows
from portyard.dns.core.framing import framed
from portyard.dns.core.grammar import parse, print_message
from portyard.dns.core.model import Edns
from portyard.dns.core.presentation import query_of, query_text, reply_lines
from portyard.dns.core.transcripts import LONGEST
from tests.support.asyncio_tests import run
from tests.support.dns_room import ask, read_message, room, sessions, tcp, udp

HOURS_S = 7200.0  # a machine is never so busy that a port seems quiet


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


async def noted_of(datagrams: Sequence[bytes], tmp_path: Path) -> tuple[list[dict[str, object]], list[bytes]]:
    """What the journal has of datagrams that one port sends: its events, and the pages that they stand on."""
    async with room(tmp_path) as served:
        await ask(served.port("dns-udp"), "MX a.portyard.test")  # from then on it is known that there are no rules
        async with udp(served.port("dns-udp")) as (transport, client):
            for octets in datagrams:
                transport.sendto(octets)
                await client.came.get()
        (record, found), _ = await sessions(served)
        told = [{"kind": event.kind} | event.fields for event in found if event.kind != "opened"]
        where = "SELECT body FROM pages WHERE session_id = ?"
        pages = await served.yard.journal._database.read(where, (record.id,))
        return told, [unpacked(body) for (body,) in pages]


def read_alone(pages: Sequence[bytes]) -> str:
    """The texts on pages as another process reads them."""
    read = (
        "import sys; from portyard.commons.journal.pages import events; "
        "print(*(repr(event.fields['text']) for event in events(1, sys.stdin.buffer.read()) if event.kind != 'opened'), sep='\\n')"
    )
    shown = ""
    for page in pages:  # what a busy machine notes over a longer time is written in several
        done = subprocess.run([sys.executable, "-c", read], input=page, capture_output=True, check=True)
        shown += done.stdout.decode()
    return shown


def test_the_journal_shows_datagrams_as_text_to_whoever_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also to a process that knows nothing of the room before it reads."""
    monkeypatch.setattr(flows, "QUIET_S", HOURS_S)
    short, long = query_of("MX Gmail.com +rd +edns=1400", 5), query_of("A dns.portyard.test +edns=1400", 6)
    long = replace(long, edns=Edns(1400, options=((12, bytes(LONGEST)),)))  # padding (RFC 7830 §3)
    update, malformed = query_of("UPDATE SOA portyard.test", 7), b"\0\x08\0\0\0\1" + bytes(6) + b"\xc0\x0c"
    datagrams = (print_message(short), print_message(long), print_message(update), malformed)
    told: list[dict[str, object]] = []
    pages: list[bytes] = []

    async def main() -> None:
        events, octets = await noted_of(datagrams, tmp_path)
        told.extend(events)
        pages.extend(octets)

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
    assert [line for line in read_alone(pages).splitlines() if line] == [repr(text) for text in texts]


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
