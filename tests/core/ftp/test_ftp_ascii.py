"""Line endings, whatever the cuts."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from portyard.ftp.core.ascii import FromNetwork, ToNetwork

TEXT = st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b"bc"]), max_size=40).map(b"".join)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[one:other] for one, other in itertools.pairwise(edges)]


def test_lf_goes_out_as_crlf() -> None:
    assert ToNetwork().feed(b"a\nb\r\nc\r\rd\n\n") == b"a\r\nb\r\nc\r\rd\r\n\r\n"


def test_crlf_comes_in_as_lf() -> None:
    assert FromNetwork().feed(b"a\r\nb\rc\n\r\r\n") == b"a\nb\rc\n\r\n"


def test_a_cr_at_the_very_end_is_kept() -> None:
    incoming = FromNetwork()
    assert incoming.feed(b"a\r") == b"a"
    assert incoming.finish() == b"\r"
    assert incoming.finish() == b""


@given(TEXT, st.lists(st.integers(0, 60), max_size=5))
def test_cuts_change_nothing(data: bytes, cuts: list[int]) -> None:
    outgoing, incoming = ToNetwork(), FromNetwork()
    assert b"".join(outgoing.feed(part) for part in cut(data, cuts)) == ToNetwork().feed(data)
    whole = FromNetwork()
    expected = whole.feed(data) + whole.finish()
    assert b"".join(incoming.feed(part) for part in cut(data, cuts)) + incoming.finish() == expected


@given(st.lists(st.sampled_from([b"a", b"\n", b"bc"]), max_size=40).map(b"".join))
def test_what_has_no_cr_comes_back(data: bytes) -> None:
    incoming = FromNetwork()
    assert incoming.feed(ToNetwork().feed(data)) + incoming.finish() == data
