from __future__ import annotations

import ssl

from hypothesis import given
from hypothesis import strategies as st

from portyard.commons.tls.hello import BadHello, ClientHello, HelloReader, NeedMore, NotTls


def captured() -> bytes:
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2", "imap"])
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="a.portyard.test")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake without a peer")


REAL = captured()
codes = st.integers(0, 0xFFFF)
names = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40)


def vector(prefix: int, data: bytes) -> bytes:
    return len(data).to_bytes(prefix) + data


def numbers(values: list[int]) -> bytes:
    return b"".join(value.to_bytes(2) for value in values)


@st.composite
def hellos(draw: st.DrawFn) -> tuple[ClientHello, bytes]:
    """A hello and its bytes, printed by this test's own printer."""
    name = draw(st.none() | names)
    alpn = draw(st.lists(names, max_size=4))
    versions = draw(st.lists(codes, max_size=5))
    groups, signatures = draw(st.lists(codes, max_size=8)), draw(st.lists(codes, max_size=8))
    suites, session = draw(st.lists(codes, min_size=1, max_size=40)), draw(st.binary(max_size=32))
    bodies = {
        0: None if name is None else vector(2, b"\0" + vector(2, name.encode())),
        16: vector(2, b"".join(vector(1, each.encode()) for each in alpn)) if alpn else None,
        43: vector(1, numbers(versions)) if versions else None,
        10: vector(2, numbers(groups)) if groups else None,
        13: vector(2, numbers(signatures)) if signatures else None,
        draw(st.integers(100, 60_000)): draw(st.none() | st.binary(max_size=50)),
    }
    order = draw(st.permutations([kind for kind, body in bodies.items() if body is not None]))
    extensions = b"".join(kind.to_bytes(2) + vector(2, bodies[kind] or b"") for kind in order)
    body = b"\x03\x03" + draw(st.binary(min_size=32, max_size=32)) + vector(1, session)
    body += vector(2, numbers(suites)) + vector(1, b"\0") + (vector(2, extensions) if order else b"")
    expected = ClientHello(
        0x0303,
        session,
        tuple(suites),
        (0,),
        tuple(order),
        None if name is None else name.lower(),
        tuple(alpn),
        tuple(versions),
        tuple(groups),
        tuple(signatures),
    )
    return expected, b"\x01" + vector(3, body)


def in_records(handshake: bytes, size: int) -> bytes:
    return b"".join(b"\x16\x03\x01" + vector(2, handshake[at : at + size]) for at in range(0, len(handshake), size))


def feed(data: bytes, cuts: list[int]) -> object:
    reader, found, at = HelloReader(), None, 0
    for cut in [*sorted(cuts), len(data)]:
        found = reader.feed(data[at:cut])
        at = cut
        if not isinstance(found, NeedMore):
            break
    return found


@given(hellos(), st.integers(1, 400), st.data())
def test_what_is_printed_is_read_however_it_is_cut(
    case: tuple[ClientHello, bytes], size: int, data: st.DataObject
) -> None:
    expected, handshake = case
    raw = in_records(handshake, size)
    assert feed(raw, data.draw(st.lists(st.integers(0, len(raw)), max_size=8))) == expected


@given(st.binary(max_size=300))
def test_garbage_gets_a_typed_answer(data: bytes) -> None:
    try:
        found = HelloReader().feed(data)
    except BadHello:
        return
    assert isinstance(found, NeedMore | NotTls | ClientHello)


@given(st.binary(max_size=300))
def test_garbage_in_a_handshake_record_gets_a_typed_answer(data: bytes) -> None:
    try:
        found = HelloReader().feed(in_records(b"\x01" + vector(3, data), 100))
    except BadHello:
        return
    assert isinstance(found, ClientHello)


@given(
    st.lists(st.tuples(st.integers(0, len(REAL) - 1), st.integers(0, 255)), max_size=6),
    st.lists(st.integers(0, len(REAL))),
)
def test_a_damaged_hello_gets_a_typed_answer(damage: list[tuple[int, int]], cuts: list[int]) -> None:
    raw = bytearray(REAL)
    for at, value in damage:
        raw[at] = value
    try:
        found = feed(bytes(raw), cuts)
    except BadHello:
        return
    assert isinstance(found, NeedMore | NotTls | ClientHello)


@given(st.integers(0, len(REAL) - 1))
def test_half_a_hello_asks_for_no_more_than_the_rest(size: int) -> None:
    found = HelloReader().feed(REAL[:size])
    assert isinstance(found, NeedMore)
    assert 1 <= found.at_least <= len(REAL) - size
