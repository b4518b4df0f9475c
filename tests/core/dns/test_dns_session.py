from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from portyard.commons.effects import Close
from portyard.commons.events import Literal, Timeout
from portyard.dns.core.grammar import parse, print_message
from portyard.dns.core.model import Rcode
from portyard.dns.core.presentation import query_of
from portyard.dns.core.resolver import Outcome, failed
from portyard.dns.core.session import StreamSession
from portyard.dns.core.zones import View
from tests.support.dns import DnsBed

T = TypeVar("T")


def run(task: Coroutine[None, None, T]) -> T:
    return asyncio.run(task)


def test_a_written_record_is_seen_at_once() -> None:
    async def main() -> list[list[str]]:
        bed, seen = DnsBed(), []
        for value in ("one", "two"):
            await bed.write("default", "x.portyard.test", "TXT", value)
            seen.append(await bed.lines("TXT x.portyard.test"))
        await bed.write("default", "x.portyard.test", "TXT")
        return [*seen, await bed.lines("TXT x.portyard.test")]

    one, two, gone = run(main())
    assert one[1] == 'answer x.portyard.test. 60 TXT "one"'
    assert two[1] == 'answer x.portyard.test. 60 TXT "two"'
    assert gone[0] == "NXDOMAIN aa"


def test_a_service_that_comes_up_is_seen_at_once() -> None:
    async def main() -> list[str]:
        bed = DnsBed(down=("mta",))
        first = await bed.lines("A mta.portyard.test")
        bed.down = ()
        return [first[0], (await bed.lines("A mta.portyard.test"))[1]]

    assert run(main()) == ["SERVFAIL", "answer mta.portyard.test. 0 A 127.0.0.1"]


def test_another_sandboxes_foreign_records_are_its_own_affair() -> None:
    async def main() -> list[str]:
        bed = DnsBed()
        await bed.write("t1", "example.com", "TXT", "theirs")
        await bed.write("t1", "x.t1.test", "TXT", "theirs")
        return [(await bed.lines(f"TXT {name}"))[0:2][-1] for name in ("example.com", "x.t1.test")]

    foreign, own = run(main())
    assert foreign.startswith("authority .")
    assert own == 'answer x.t1.test. 60 TXT "theirs"'


def test_the_deepest_owner_answers_and_is_named() -> None:
    async def main() -> list[Outcome]:
        bed = DnsBed()
        queries = ("A mta.deep.portyard.test", "A mta.portyard.test", "MX shop.example", "MX gmail.com")
        return [await bed.resolver.handle(print_message(query_of(query)), View.HOST) for query in queries]

    assert [outcome.sandbox for outcome in run(main())] == ["deep", "default", "t1", "default"]


def test_a_dot_within_a_label_is_no_boundary() -> None:
    reply = run(DnsBed().ask(r"A x.portyard\.test"))
    assert reply.authority[0].name == ()


def test_a_silent_peer_is_closed() -> None:
    async def main() -> list[object]:
        session = StreamSession(DnsBed().resolver, View.HOST)
        assert session.timeout_s == 10
        assert [effect async for effect in session.open()] == []
        return [effect async for effect in session.receive(Timeout())]

    assert run(main()) == [Close()]


def test_the_transcript_shows_what_was_asked() -> None:
    session = StreamSession(DnsBed().resolver, View.HOST)
    assert session.transcript(Literal(print_message(query_of("MX Gmail.com +rd")))) == "MX Gmail.com. +rd"
    assert session.transcript(Literal(b"abc")) == "(3 octets, malformed: 3 octets hold no header)"


def test_an_answer_that_broke_is_servfail() -> None:
    octets = print_message(query_of("A portyard.test +rd", 99))
    reply = parse(failed(octets) or b"")
    assert (reply.id, reply.rcode, reply.recursion_desired) == (99, Rcode.SERVFAIL, True)
    assert failed(b"abc") is None
    assert failed(b"\0\1\x80\0" + bytes(8)) is None


def test_a_record_that_cannot_be_read_is_passed_over() -> None:
    async def main() -> list[str]:
        bed = DnsBed()
        await bed.write("default", "x.portyard.test", "A", "not an address", "127.0.0.2")
        return await bed.lines("A x.portyard.test")

    assert run(main())[1:] == ["answer x.portyard.test. 60 A 127.0.0.2"]
