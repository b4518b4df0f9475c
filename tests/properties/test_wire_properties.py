from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portyard.commons.wire.bandwidth import Bandwidth
from portyard.commons.wire.chain import Chain, chain_of
from portyard.commons.wire.corrupt import Corrupt
from portyard.commons.wire.cut_after import CutAfter
from portyard.commons.wire.half_close import HalfClose
from portyard.commons.wire.latency import Latency
from portyard.commons.wire.reset import Reset
from portyard.commons.wire.slice import Slice
from portyard.commons.wire.stall import Stall
from portyard.commons.wire.units import FOREVER, End, Fault, How, Piece, Unit

seconds = st.floats(0, 100)
latencies = st.builds(Latency, seconds, seconds)
bandwidths = st.builds(Bandwidth, st.floats(0.5, 1e7))
slices = st.builds(Slice, st.integers(1, 50), st.integers(0, 60), seconds)
pauses = st.builds(Stall, st.integers(0, 300), seconds)
keeping: st.SearchStrategy[Fault] = st.one_of(latencies, bandwidths, slices, pauses)
endings = st.one_of(
    st.builds(CutAfter, st.integers(0, 300)),
    st.builds(Reset, st.integers(0, 300)),
    st.builds(HalfClose, st.integers(0, 300)),
)
ENDS = {CutAfter: How.CLOSE, Reset: How.RESET, HalfClose: How.FIN}


@st.composite
def arrivals(draw: st.DrawFn) -> list[Piece]:
    """Pieces as they come from a socket: none empty, times ascending."""
    at, pieces = draw(st.floats(0, 1e6)), []
    for data in draw(st.lists(st.binary(min_size=1, max_size=200), max_size=8)):
        pieces.append(Piece(at, data))
        at += draw(seconds)
    return pieces


def arm(faults: Iterable[Fault], seed: int, at: float) -> tuple[Chain, list[Unit]]:
    """The faults as a relay arms them, and what they say at once."""
    chain, rng, said = Chain(), random.Random(seed), []
    for fault in faults:
        chain = chain.and_then(fault, rng)
        said += list(chain.begin(at))
    return chain, said


def run(faults: Iterable[Fault], units: list[Unit] | list[Piece], seed: int = 0) -> list[Unit]:
    chain, given_back = arm(faults, seed, units[0].at if units else 0.0)
    for unit in units:
        given_back += chain.carry(unit)
    return [unit for unit in given_back if isinstance(unit, End) or unit.data]


def octets(units: Iterable[Unit]) -> bytes:
    return b"".join(unit.data for unit in units if isinstance(unit, Piece))


@given(st.lists(keeping, max_size=4), arrivals(), st.integers(0, 9), st.sampled_from(How))
def test_content_is_kept_in_order_and_no_time_goes_back(
    faults: list[Fault], pieces: list[Piece], seed: int, how: How
) -> None:
    end = End(pieces[-1].at if pieces else 0.0, how)
    units = run(faults, [*pieces, end], seed)
    assert octets(units) == octets(pieces)
    assert [unit for unit in units if isinstance(unit, End)] == [End(units[-1].at, how)]
    times = [unit.at for unit in units]
    assert times == sorted(times)
    if pieces:
        assert times[0] >= pieces[0].at


@given(endings, arrivals(), st.lists(keeping, max_size=2), st.lists(keeping, max_size=2))
def test_an_end_comes_behind_the_nth_octet(
    fault: CutAfter | Reset | HalfClose, pieces: list[Piece], before: list[Fault], behind: list[Fault]
) -> None:
    limit = fault.octets if isinstance(fault, CutAfter) else fault.after_octets
    units = run([*before, fault, *behind], pieces)
    sent = octets(pieces)
    assert octets(units) == sent[:limit]
    ends = [unit for unit in units if isinstance(unit, End)]
    if len(sent) >= limit:
        assert ends == [units[-1]]
        assert (ends[0].how, ends[0].fault) == (ENDS[type(fault)], fault.name)
    else:
        assert not ends


@given(endings)
def test_an_end_at_the_very_octet_waits_for_no_other(fault: CutAfter | Reset | HalfClose) -> None:
    limit = fault.octets if isinstance(fault, CutAfter) else fault.after_octets
    pieces = [Piece(1.0, b"x" * limit)] if limit else []
    assert isinstance(run([fault], pieces)[-1], End)


@given(endings, st.binary(min_size=1, max_size=20))
def test_a_peers_own_end_comes_first(fault: CutAfter | Reset | HalfClose, data: bytes) -> None:
    units = run([type(fault)(len(data) + 1)], [Piece(1.0, data), End(2.0, How.FIN)])
    assert units == [Piece(1.0, data), End(2.0, How.FIN)]


@given(st.integers(0, 300), arrivals())
def test_a_stall_for_ever(after: int, pieces: list[Piece]) -> None:
    units = run([Stall(after)], [*pieces, End(pieces[-1].at if pieces else 0.0, How.FIN)])
    due = [unit for unit in units if unit.at != FOREVER]
    assert octets(due) == octets(pieces)[:after]
    stalled = len(octets(pieces)) >= after
    assert isinstance(due[-1], End) if not stalled else all(isinstance(unit, Piece) for unit in due)


@given(st.integers(0, 300), st.floats(0.1, 9), arrivals())
def test_a_stall_that_passes(after: int, for_s: float, pieces: list[Piece]) -> None:
    units = run([Stall(after, for_s)], pieces)
    begun, count = (pieces[0].at if pieces and not after else None), 0
    for piece in pieces:
        count += len(piece.data)
        if begun is None and count >= after:
            begun = piece.at
    position = 0
    for unit in units:
        assert isinstance(unit, Piece)
        if position >= after:
            assert begun is not None
            assert unit.at >= begun + for_s
        position += len(unit.data)


@given(st.floats(0, 9), st.floats(0, 9), arrivals(), st.integers(0, 9))
def test_latency_is_within_its_bounds(delay_s: float, jitter_s: float, pieces: list[Piece], seed: int) -> None:
    last = 0.0
    for piece, unit in zip(pieces, run([Latency(delay_s, jitter_s)], pieces, seed), strict=True):
        assert piece.at + delay_s <= unit.at <= max(last, piece.at + delay_s + jitter_s)
        last = unit.at


@given(st.floats(0.5, 1e6), arrivals())
def test_no_more_goes_through_than_the_width(rate: float, pieces: list[Piece]) -> None:
    units = run([Bandwidth(rate)], pieces)
    carried, idle = 0, 0.0
    for unit in units:
        assert isinstance(unit, Piece)
        carried += len(unit.data)
        assert carried <= (unit.at - pieces[0].at) * rate * (1 + 1e-6) + 1e-3
    if pieces:
        idle = sum(later.at - sooner.at for sooner, later in itertools.pairwise(pieces))
        assert units[-1].at <= pieces[0].at + idle + carried / rate + 1e-3


@given(st.integers(1, 50), st.integers(0, 60), st.floats(0, 9), arrivals(), st.integers(0, 9))
def test_slices(size: int, variation: int, gap_s: float, pieces: list[Piece], seed: int) -> None:
    units = run([Slice(size, variation, gap_s)], pieces, seed)
    for unit, following in itertools.pairwise(units):
        assert following.at >= unit.at + gap_s - 1e-6
    for unit in units:
        assert isinstance(unit, Piece)
        assert 1 <= len(unit.data) <= size + variation
    if not variation:
        assert len(units) == sum(math.ceil(len(piece.data) / size) for piece in pieces)


@given(st.integers(0, 300), st.integers(0, 100), st.integers(1, 255), arrivals())
def test_corruption_at_offsets(after: int, count: int, mask: int, pieces: list[Piece]) -> None:
    sent = octets(pieces)
    wanted = bytes(octet ^ mask if after <= at < after + count else octet for at, octet in enumerate(sent))
    units = run([Corrupt(after, count, mask=mask)], pieces)
    assert octets(units) == wanted
    assert [(unit.at, len(octets([unit]))) for unit in units] == [(piece.at, len(piece.data)) for piece in pieces]


@given(st.integers(0, 100), st.floats(0, 1), st.integers(0, 99), arrivals())
def test_corruption_by_chance_depends_on_the_seed_alone(
    after: int, share: float, seed: int, pieces: list[Piece]
) -> None:
    fault = Corrupt(after, 0, chance=share, mask=0x20)
    sent = octets(pieces)
    whole = octets(run([fault], [Piece(0.0, sent)] if sent else [], seed))
    assert octets(run([fault], pieces, seed)) == whole
    assert whole[:after] == sent[:after]
    assert all(was ^ became in (0, 0x20) for was, became in zip(sent, whole, strict=True))
    if share == 1:
        assert all(was ^ became == 0x20 for was, became in zip(sent[after:], whole[after:], strict=True))


def test_chance_is_what_it_says() -> None:
    units = run([Corrupt(octets=0, chance=0.01)], [Piece(0.0, bytes(100_000))], 7)
    assert 900 < sum(map(bool, octets(units))) < 1100
    assert octets(run([Corrupt(octets=0, chance=5e-324)], [Piece(0.0, bytes(1000))])) == bytes(1000)


@given(arrivals(), arrivals(), st.integers(0, 400))
def test_a_fault_counts_from_its_arming(before: list[Piece], after: list[Piece], limit: int) -> None:
    chain = chain_of([Latency(0.0)], random.Random(0))
    units: list[Unit] = [unit for piece in before for unit in chain.carry(piece)]
    chain = chain.and_then(CutAfter(limit), random.Random(0))
    units += list(chain.begin(0.0))
    units += [unit for piece in after for unit in chain.carry(piece)]
    assert octets(units) == octets(before) + octets(after)[:limit]


def test_a_slice_of_one_octet_is_made_when_it_is_sent() -> None:
    chain = chain_of([Slice(1), Latency(1.0)], random.Random(0))
    units = chain.carry(Piece(0.0, bytes(1 << 24)))
    assert [next(units), next(units)] == [Piece(1.0, b"\0")] * 2


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: Latency(-1), "delay_s"),
        (lambda: Latency(1, math.nan), "jitter_s"),
        (lambda: Bandwidth(0), "octets_per_s"),
        (lambda: Slice(0), "octets"),
        (lambda: Slice(1, -1), "variation"),
        (lambda: Slice(1, 0, -1), "gap_s"),
        (lambda: Stall(-1), "after_octets"),
        (lambda: Stall(0, -1), "for_s"),
        (lambda: CutAfter(-1), "octets"),
        (lambda: Reset(-1), "after_octets"),
        (lambda: HalfClose(-1), "after_octets"),
        (lambda: Corrupt(-1), "after_octets"),
        (lambda: Corrupt(octets=-1), "octets"),
        (lambda: Corrupt(chance=1.5), "chance"),
        (lambda: Corrupt(mask=0), "mask"),
    ],
)
def test_nonsense_is_refused_by_name(make: object, key: str) -> None:
    with pytest.raises(ValueError, match=rf"^{key} = "):
        make()  # type: ignore[operator]
