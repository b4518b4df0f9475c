"""Parse and print are inverses, and no octets whatever make the room raise or hang."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from portyard.dns.core.framing import LengthFraming, framed
from portyard.dns.core.grammar import HEADER, MalformedError, parse, print_message
from portyard.dns.core.model import (
    Address,
    Edns,
    Message,
    Mx,
    Name,
    Opaque,
    Question,
    Record,
    Soa,
    Srv,
    Target,
    Txt,
    Type,
    key,
    length,
)
from portyard.dns.core.presentation import data_of, data_text, name_of, name_text, query_of, query_text, reply_lines
from portyard.dns.core.transcripts import told
from portyard.dns.core.zones import View
from tests.support.dns import DnsBed

bits16 = st.integers(0, 0xFFFF)
bits32 = st.integers(0, 0xFFFFFFFF)
names: st.SearchStrategy[Name] = (
    st.lists(st.binary(min_size=1, max_size=63), max_size=8).map(tuple).filter(lambda name: length(name) <= 255)
)
shared = st.sampled_from([(b"mta", b"Portyard", b"test"), (b"portyard", b"test"), (b"a",) * 100])
any_name = names | shared
strings = st.lists(st.binary(max_size=255), min_size=1, max_size=4).map(tuple)

KNOWN = {Type.A, Type.AAAA, Type.NS, Type.CNAME, Type.PTR, Type.MX, Type.TXT, Type.SOA, Type.SRV, Type.OPT}
typed_data = st.one_of(
    st.tuples(st.just(Type.A), st.binary(min_size=4, max_size=4).map(Address)),
    st.tuples(st.just(Type.AAAA), st.binary(min_size=16, max_size=16).map(Address)),
    st.tuples(st.sampled_from([Type.NS, Type.CNAME, Type.PTR]), any_name.map(Target)),
    st.tuples(st.just(Type.MX), st.builds(Mx, bits16, any_name)),
    st.tuples(st.just(Type.TXT), strings.map(Txt)),
    st.tuples(st.just(Type.SOA), st.builds(Soa, any_name, any_name, bits32, bits32, bits32, bits32, bits32)),
    st.tuples(st.just(Type.SRV), st.builds(Srv, bits16, bits16, bits16, any_name)),
    st.tuples(bits16.filter(lambda kind: kind not in KNOWN), st.binary(max_size=40).map(Opaque)),
)


@st.composite
def records(draw: st.DrawFn) -> Record:
    kind, data = draw(typed_data)
    return Record(draw(any_name), int(kind), draw(st.integers(0, 0x7FFFFFFF)), data, draw(bits16))


sections = st.lists(records(), max_size=4).map(tuple)
options = st.lists(st.tuples(bits16, st.binary(max_size=20)), max_size=3).map(tuple)
edns = st.builds(Edns, bits16, st.integers(0, 255), st.booleans(), options)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    extended = draw(st.none() | edns)
    flags = {name: draw(st.booleans()) for name in ("response", "authoritative", "truncated", "recursion_desired")}
    more = {name: draw(st.booleans()) for name in ("recursion_available", "authentic_data", "checking_disabled")}
    return Message(
        id=draw(bits16),
        opcode=draw(st.integers(0, 15)),
        rcode=draw(st.integers(0, 4095 if extended else 15)),
        questions=tuple(draw(st.lists(st.builds(Question, any_name, bits16, bits16), max_size=2))),
        answers=draw(sections),
        authority=draw(sections),
        additional=draw(sections),
        edns=extended,
        **flags,
        **more,
    )


@given(messages())
def test_parse_is_the_inverse_of_print(message: Message) -> None:
    assert parse(print_message(message)) == message


@given(messages())
def test_octets_are_told_as_what_they_were_made_of(message: Message) -> None:
    for number in (1, 2):  # the second time it may be known
        octets = print_message(replace(message, id=number))
        assert told("command", octets) == query_text(message)
        assert told("reply", octets) == "\r\n".join(reply_lines(message))


@given(st.sampled_from(["command", "reply"]), st.binary(max_size=200))
def test_any_octets_are_told(kind: str, octets: bytes) -> None:
    assert told(kind, octets)


@given(st.binary(max_size=200))
def test_any_octets_parse_or_are_malformed(octets: bytes) -> None:
    try:
        parse(octets)
    except MalformedError as error:
        known = error.header is not None
    else:
        known = True
    assert known == (len(octets) >= HEADER.size)


@given(messages(), st.data())
def test_a_damaged_message_parses_or_is_malformed(message: Message, data: st.DataObject) -> None:
    octets = bytearray(print_message(message))
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        parse(bytes(octets))
    except MalformedError:
        return


@given(
    st.binary(max_size=80).map(lambda tail: b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + tail), st.booleans()
)
def test_the_room_answers_any_octets_without_raising(octets: bytes, stream: bool) -> None:
    outcome = asyncio.run(DnsBed().resolver.handle(octets, View.HOST, stream=stream))
    assert outcome.octets is not None
    reply = parse(outcome.octets)
    assert reply.response
    assert reply.id == 0x1234
    assert stream or len(outcome.octets) <= 1232
    assert not reply.recursion_available


@given(names)
def test_names_read_back_from_text(name: Name) -> None:
    assert name_of(name_text(name)) == name
    assert name_text(name).lower() == name_text(key(name))


@given(typed_data)
def test_data_reads_back_from_text(typed: tuple[int, object]) -> None:
    kind, data = typed
    assert data_of(kind, data_text(data)) == data  # type: ignore[arg-type]


@given(
    any_name,
    bits16,
    st.booleans(),
    st.none() | st.builds(Edns, bits16.filter(bool), st.integers(0, 255), st.booleans()),
)
def test_queries_read_back_from_text(name: Name, kind: int, desired: bool, extended: Edns | None) -> None:
    message = Message(id=9, recursion_desired=desired, questions=(Question(name, kind),), edns=extended)
    assert query_of(query_text(message), 9) == message


@given(st.lists(st.binary(max_size=300), max_size=6), st.lists(st.integers(1, 50)))
def test_framing_doesnt_care_for_cuts(sent: list[bytes], cuts: list[int]) -> None:
    framing, data, came = LengthFraming(), b"".join(framed(message) for message in sent), []
    for cut in [*cuts, len(data) + 1]:
        framing.feed(data[:cut])
        data = data[cut:]
        while (event := framing.next_event()) is not None:
            came.append(event.data)  # type: ignore[union-attr]
    assert came == sent


def test_a_forest_of_pointers_is_cheap() -> None:
    # Pointers that point to pointers, and records that all begin at the last of them: refused before it is read.
    chain = b"".join(
        b"\xc0" + bytes([12]) if i == 0 else (0xC000 | 12 + 2 * (i - 1)).to_bytes(2, "big") for i in range(8000)
    )
    octets = HEADER.pack(1, 0, 1, 5000, 0, 0) + chain
    outcome = asyncio.run(DnsBed().resolver.handle(octets, View.HOST, stream=True))
    assert outcome.told == "FORMERR"
    assert "5000 records in a query" in outcome.asked


written_types = st.sampled_from(
    ["A", "CNAME", "SOA", "MX", "TXT", "SRV", "CAA", "TYPE41", "TYPE255", "TYPE65280", "NONSENSE"]
)
written_values = (
    st.text(max_size=30)
    | st.lists(
        st.integers(-1, 1 << 33).map(str) | st.sampled_from(["a.", "*", "x" * 300, '"q"', "\\#"]), max_size=8
    ).map(" ".join)
    | st.binary(max_size=12).map(lambda octets: f"\\# {len(octets)} {octets.hex()}")
)


@given(
    st.sampled_from(["portyard.test", "x.portyard.test", "*.portyard.test", "foreign.example", "", "a..b"]),
    written_types,
    written_values,
    st.integers(-1, 1 << 33),
    st.booleans(),
)
def test_whatever_is_written_never_breaks_an_answer(name: str, kind: str, value: str, ttl: int, stream: bool) -> None:
    async def main() -> None:
        bed = DnsBed()
        await bed.write("default", name, kind, value, ttl=ttl)
        for asked in (
            "ANY portyard.test",
            "A x.portyard.test",
            "MX foreign.example",
            "SOA portyard.test",
            "TYPE65280 x.portyard.test",
        ):
            assert (await bed.ask(asked, stream=stream)).rcode in (0, 3)

    asyncio.run(main())
