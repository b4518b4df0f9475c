"""Frames, handshakes and outboxes as pure values; the scanner against wsproto's frames, cut anywhere."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict
from wsproto.frame_protocol import FrameProtocol
from wsproto.frame_protocol import Opcode as Theirs

from portyard.websocket.core.framing import HEAD_OCTETS, WHOLE_TEXT, FrameScanner, Scan
from portyard.websocket.core.handshake import check, subprotocols
from portyard.websocket.core.model import Frame, Opcode, may_be_sent
from portyard.websocket.core.outbox import Outbox

GOOD = {
    "Upgrade": "WebSocket",
    "Connection": "keep-alive, upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


def test_handshakes() -> None:
    assert check(CIMultiDict(GOOD), (1, 1)) is None
    for missing, status in (
        ("Upgrade", 426),
        ("Connection", 426),
        ("Sec-WebSocket-Version", 426),
        ("Sec-WebSocket-Key", 400),
    ):
        refusal = check(CIMultiDict({name: value for name, value in GOOD.items() if name != missing}), (1, 1))
        assert refusal is not None
        assert refusal.status == status
        assert (status == 426) is (refusal.headers.get("Sec-WebSocket-Version") == "13")
    for key in ("AAAA", "!" * 24, "AAAAAAAAAAAAAAAAAAAAAAA="):
        assert check(CIMultiDict(GOOD | {"Sec-WebSocket-Key": key}), (1, 1)) is not None
    assert check(CIMultiDict(GOOD), (1, 0)) is not None
    assert subprotocols(CIMultiDict({"Sec-WebSocket-Protocol": " a ,, b"})) == ["a", "b"]
    assert subprotocols(CIMultiDict()) == []


def test_close_codes() -> None:
    allowed = {1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)}
    assert {code for code in range(70_000) if may_be_sent(code)} == allowed


def feed(scanner: FrameScanner, octets: bytes, cuts: list[int]) -> Scan:
    whole = Scan()
    edges = sorted({0, len(octets), *(cut % (len(octets) + 1) for cut in cuts)})
    for start, end in itertools.pairwise(edges):
        scan = scanner.feed(octets[start:end])
        whole.frames += scan.frames
        whole.passed += scan.passed
        whole.violation = whole.violation or scan.violation
    return whole


CUTS = st.lists(st.integers(0, 100_000), max_size=12)
PAYLOADS = st.one_of(st.binary(max_size=300), st.sampled_from([125, 126, 65535, 65536]).map(bytes))


@given(
    st.lists(st.tuples(st.sampled_from(["text", "binary", "ping", "parts"]), PAYLOADS), max_size=6), CUTS, st.booleans()
)
def test_another_librarys_frames_pass_unchanged(
    messages: list[tuple[str, bytes]], cuts: list[int], client: bool
) -> None:
    theirs = FrameProtocol(client=client, extensions=[])
    octets, expected = b"", []
    for kind, payload in messages:
        if kind == "ping":
            octets += theirs.ping(payload[:125])
            expected.append((Opcode.PING, True, payload[:125]))
        elif kind == "parts":
            octets += theirs.send_data(payload, fin=False) + theirs.ping(b"!") + theirs.send_data(payload, fin=True)
            expected += [
                (Opcode.BINARY, False, payload),
                (Opcode.PING, True, b"!"),
                (Opcode.CONTINUATION, True, payload),
            ]
        else:
            octets += theirs.send_data(payload.hex() if kind == "text" else payload)
            expected.append(
                (Opcode.TEXT, True, payload.hex().encode()) if kind == "text" else (Opcode.BINARY, True, payload)
            )
    octets += theirs.close(3000, "done")
    scan = feed(FrameScanner(from_client=client, extended=False), octets + b"what follows a Close is nobody's", cuts)
    assert scan.violation is None
    assert scan.passed == octets
    *frames, close = scan.frames
    assert [(f.opcode, f.fin, f.length, f.head) for f in frames] == [
        (opcode, fin, len(payload), payload[:HEAD_OCTETS]) for opcode, fin, payload in expected
    ]
    assert (close.opcode, close.close_code, close.head[2:]) == (Opcode.CLOSE, 3000, b"done")
    assert Theirs(int(close.opcode)) is Theirs.CLOSE


@given(st.binary(max_size=600), CUTS, st.booleans(), st.booleans())
def test_whatever_comes_the_cuts_change_nothing(octets: bytes, cuts: list[int], client: bool, extended: bool) -> None:
    whole = FrameScanner(from_client=client, extended=extended).feed(octets)
    cut = feed(FrameScanner(from_client=client, extended=extended), octets, cuts)
    assert (cut.frames, cut.passed, cut.violation) == (whole.frames, whole.passed, whole.violation)
    assert octets.startswith(whole.passed)


FRAMES = st.builds(
    lambda first, length, rest: bytes([first, length]) + rest[: (length & 0x7F) + 5],
    st.sampled_from([0x81, 0x82, 0x01, 0x80, 0x88, 0x89, 0xC1, 0x83, 0xF1]),
    st.integers(0, 255),
    st.binary(max_size=140),
)


@given(st.one_of(FRAMES, st.binary(max_size=140)), st.booleans(), st.booleans())
def test_a_short_message_is_what_the_scanner_finds(octets: bytes, client: bool, extended: bool) -> None:
    length = FrameScanner(from_client=client, extended=extended).short(octets)
    scan = FrameScanner(from_client=client, extended=extended).feed(octets)
    if length >= 0:
        (frame,) = scan.frames
        assert (frame.length, frame.fin, frame.compressed) == (length, True, False)
        assert frame.opcode is (Opcode.TEXT if octets[0] == WHOLE_TEXT else Opcode.BINARY)
        assert (scan.passed, scan.violation) == (octets, None)


LONGER = st.builds(
    lambda first, second, told, length: bytes([first, second]) + told.to_bytes(2, "big") + bytes(length),
    st.sampled_from([0x81, 0x82, 0x01, 0x80, 0x88, 0xC1]),
    st.sampled_from([126, 254, 127, 200]),
    st.integers(120, 140),
    st.integers(110, 150),
)


@given(LONGER, st.booleans(), st.booleans())
@example(octets=bytes([0x81, 126, 0, 130]) + bytes(130), client=False, extended=False)
@example(octets=bytes([0x82, 254, 0, 126]) + bytes(130), client=True, extended=True)
@example(octets=bytes([0x81, 126, 0, 125]) + bytes(125), client=False, extended=False)  # not the shortest length
@example(octets=bytes([0x81, 254, 255, 255]) + bytes(65_539), client=True, extended=False)
def test_a_longer_message_is_what_the_scanner_finds(octets: bytes, client: bool, extended: bool) -> None:
    scan = FrameScanner(from_client=client, extended=extended).feed(octets)
    whole = not scan.violation and scan.passed == octets and len(scan.frames) == 1
    frame = scan.frames[0] if whole else None
    plain = frame is not None and frame.fin and not frame.compressed and frame.opcode in (Opcode.TEXT, Opcode.BINARY)
    longer = plain and frame is not None and 126 <= frame.length < 1 << 16
    assert FrameScanner(from_client=client, extended=extended).longer(octets) is longer


@given(st.binary(min_size=126, max_size=300), st.booleans())
def test_messages_are_longer_between_messages_only(payload: bytes, client: bool) -> None:
    theirs = FrameProtocol(client=client, extensions=[])
    octets = theirs.send_data(payload)
    scanner = FrameScanner(from_client=client, extended=False)
    assert scanner.longer(octets)
    assert not scanner.longer(octets[:-1])
    scanner.feed(octets[:4])
    assert not scanner.longer(octets)
    scanner.feed(octets[4:])
    assert scanner.longer(octets)
    scanner.feed(theirs.send_data(b"begun", fin=False))
    assert not scanner.longer(octets), "a message inside a message"


@given(st.binary(max_size=125), st.booleans())
def test_messages_are_short_between_messages_only(payload: bytes, client: bool) -> None:
    theirs = FrameProtocol(client=client, extensions=[])
    octets = theirs.send_data(payload)
    scanner = FrameScanner(from_client=client, extended=False)
    assert scanner.short(octets) == len(payload)
    assert scanner.short(octets[:-1]) == -1
    scanner.feed(octets[:1])
    assert scanner.short(octets) == -1
    scanner.feed(octets[1:])
    assert scanner.short(octets) == len(payload)
    scanner.feed(theirs.send_data(b"begun", fin=False))
    assert scanner.short(octets) == -1, "a message inside a message"
    scanner.feed(theirs.send_data(b"", fin=True))
    assert scanner.short(octets) == len(payload)
    scanner.feed(theirs.close(1000))
    assert scanner.short(octets) == -1


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"\x81\x00", "unmasked"),
        (b"\xc1\x80", "reserved bit"),
        (b"\x83\x80", "opcode 3"),
        (b"\x08\x80", "fragmented control"),
        (b"\x89\xfe", "more than 125"),
        (b"\x80\x80", "continuation of no message"),
        (b"\x01\x80\0\0\0\0\x81\x80", "inside a fragmented one"),
        (b"\x81\xfe\x00\x7d", "shortest"),
        (b"\x81\xff\0\0\0\0\0\0\xff\xff", "shortest"),
        (b"\x81\xff\x80\0\0\0\0\0\0\0", "highest bit"),
        (b"\x88\x81\0\0\0\0\x03", "half a code"),
        (b"\x88\x82\0\0\0\0\x03\xed", "1005"),
    ],
)
def test_violations(octets: bytes, reason: str) -> None:
    scanner = FrameScanner(from_client=True, extended=False)
    violation = scanner.feed(octets).violation
    assert violation is not None
    assert reason in violation.reason
    assert scanner.feed(b"\x81\x80\0\0\0\0") == Scan()


def test_rsv1_needs_an_extension_and_a_first_frame() -> None:
    assert FrameScanner(from_client=True, extended=True).feed(b"\xc1\x80\0\0\0\0").frames == [
        Frame(Opcode.TEXT, True, 0, True, b"", 0)
    ]
    for octets in (b"\xc9\x80", b"\x01\x80\0\0\0\0\xc0\x80"):
        assert FrameScanner(from_client=True, extended=True).feed(octets).violation is not None
    assert FrameScanner(from_client=False, extended=False).feed(b"\x81\x80").violation is not None


def test_an_empty_close_has_no_code() -> None:
    (frame,) = FrameScanner(from_client=True, extended=False).feed(b"\x88\x80\0\0\0\0").frames
    assert frame.close_code is None


def test_outboxes() -> None:
    outbox = Outbox(most_messages=2, most_octets=10)
    assert outbox.put(b"x" * 50)  # alone, however long
    assert not outbox.put(b"")
    assert outbox.take() == b"x" * 50
    assert outbox.put("four")
    assert outbox.put("five5")
    assert not outbox.put("")
    assert (len(outbox), outbox.take(), outbox.take(), outbox.take()) == (2, "four", "five5", None)
    assert outbox.put("four")
    assert not outbox.put("sevenoo")
