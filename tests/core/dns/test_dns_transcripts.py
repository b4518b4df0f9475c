"""Texts that are remembered are what they would be if they were made anew."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from portyard.dns.core import transcripts
from portyard.dns.core.grammar import parse, print_message
from portyard.dns.core.model import Address, Edns, Message, Rcode, Record, Type
from portyard.dns.core.presentation import query_of, query_text, reply_lines
from portyard.dns.core.transcripts import KEPT, LONGEST, asked_text, reply_text
from portyard.dns.core.zones import View
from tests.support.dns import DnsBed

QUERIES = ("MX portyard.test", "MX Portyard.test +rd", "A mta.portyard.test +edns=1400 +do", "UPDATE SOA portyard.test")


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    transcripts._asked.clear()
    transcripts._replied.clear()
    yield
    transcripts._asked.clear()
    transcripts._replied.clear()


@pytest.mark.parametrize("line", QUERIES)
def test_a_query_is_told_alike_whatever_its_id(line: str) -> None:
    told = [asked_text(print_message(query_of(line, number)), query_of(line, number)) for number in (1, 2, 65535)]
    assert told == [query_text(query_of(line))] * 3
    assert len(transcripts._asked) == 1
    assert asked_text(print_message(query_of(line, 4))) == told[0]


def test_a_query_that_nobody_read_is_not_known() -> None:
    assert asked_text(print_message(query_of("MX portyard.test"))) == ""


def test_queries_that_differ_in_a_letter_or_a_flag_are_told_apart() -> None:
    for _ in range(2):
        for line in QUERIES:
            query = query_of(line)
            assert asked_text(print_message(query), query) == query_text(query)


def test_replies_are_told_as_they_are() -> None:
    async def replies() -> list[Message]:
        bed = DnsBed()
        queries = [query_of(line, 7) for line in (*QUERIES, "A nobody.portyard.test", "TXT portyard.test")]
        return [(await bed.resolver.answer(query, View.HOST))[0] for query in queries]

    found = asyncio.run(replies())
    found.append(Message(3, response=True, rcode=Rcode.BADVERS, edns=Edns(1232)))
    for _ in range(2):
        for reply in found:
            octets = print_message(reply)
            assert (
                reply_text(octets, reply) == "\r\n".join(reply_lines(reply)) == "\r\n".join(reply_lines(parse(octets)))
            )
    assert len(transcripts._replied) == len(found)


def test_few_are_remembered_and_no_long_ones() -> None:
    for number in range(KEPT + 3):
        query = query_of(f"A n{number}.test")
        asked_text(print_message(query), query)
    assert len(transcripts._asked) == 3
    long = Message(1, response=True, edns=Edns(1232, options=((10, bytes(LONGEST)),)))
    assert reply_text(print_message(long), long).startswith("NOERROR")
    assert transcripts._replied == {}
    wordy = Message(1, response=True, answers=(Record((b"x" * 63, b"test"), Type.A, 60, Address(bytes(4))),) * 16)
    assert len(print_message(wordy)) < LONGEST // 2
    reply_text(print_message(wordy), wordy)
    assert transcripts._replied == {}
