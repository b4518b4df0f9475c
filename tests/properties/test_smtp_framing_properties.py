"""Framing gives the same events however the octets are cut; stuffing and unstuffing are inverses."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from portyard.commons.events import DotBlock, Event, TooLong
from portyard.smtp.core.framing import LINE_LIMIT, Framing, MessageData, stuff

PIECES = st.sampled_from([b"\r\n", b"\n", b"\r", b".", b"a", b"..", b"\r\n.\r\n", b"\r\n.", b"\0", b"\xff", b"x" * 50])
STREAMS = st.lists(PIECES, max_size=40).map(b"".join)


def events(data: bytes, cuts: list[int], limit: int | None) -> list[Event]:
    framing, found = Framing(), []
    if limit is not None:
        framing.expect(MessageData(limit))
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in itertools.pairwise(edges):
        framing.feed(data[start:end])
        while (event := framing.next_event()) is not None:
            found.append(event)
    return found


@given(STREAMS, st.lists(st.integers(0, 10_000)), st.none() | st.integers(0, 200))
def test_cuts_do_not_matter(data: bytes, cuts: list[int], limit: int | None) -> None:
    whole, cut = events(data, [], limit), events(data, cuts, limit)
    # An over-large message's size counts its dots once it is dropped; when that happens depends on the cuts.
    assert [facts(event) for event in whole] == [facts(event) for event in cut]


def facts(event: Event) -> object:
    return "too large" if isinstance(event, DotBlock) and event.too_large else event


@given(st.lists(st.integers(LINE_LIMIT - 5, LINE_LIMIT + 5), max_size=3), st.lists(st.integers(0, 40_000)))
def test_long_lines_do_not_depend_on_cuts(lengths: list[int], cuts: list[int]) -> None:
    data = b"".join(b"x" * length + b"\r\n" for length in lengths)
    found = events(data, cuts, None)
    assert [isinstance(event, TooLong) for event in found] == [length + 2 > LINE_LIMIT for length in lengths]


@given(STREAMS, st.lists(st.integers(0, 10_000)))
def test_stuffing_comes_back(octets: bytes, cuts: list[int]) -> None:
    (block,) = events(stuff(octets), cuts, 10_000)
    assert isinstance(block, DotBlock)
    assert block.data == (octets if not octets or octets.endswith(b"\r\n") else octets + b"\r\n")


@given(STREAMS)
def test_nothing_but_crlf_dot_crlf_ends_a_message(octets: bytes) -> None:
    """The first event is the octets up to the first true end, and everything behind it is lines."""
    wire = b"\r\n" + octets + b"\r\n.\r\n"
    end = wire.index(b"\r\n.\r\n")
    first = events(wire, [], 10_000)[0]
    assert isinstance(first, DotBlock)
    assert first.data == wire[: end + 2].replace(b"\r\n.", b"\r\n")
