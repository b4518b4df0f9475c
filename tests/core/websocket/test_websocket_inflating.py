"""What compressed messages say: another library's, cut anywhere, and such as are broken or beyond measure."""

from __future__ import annotations

import itertools
import zlib
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import FrameProtocol

from portyard.websocket.core import inflating
from portyard.websocket.core.framing import FrameScanner
from portyard.websocket.core.inflating import Inflater, Piece
from portyard.websocket.core.model import Frame, Opcode

CONTENTS = st.one_of(
    st.binary(max_size=200), st.sampled_from([b"hello " * 30, bytes(3000), bytes(range(256)) * 300, b""])
)
MESSAGES = st.lists(st.tuples(CONTENTS, st.integers(0, 200) | st.none()), min_size=1, max_size=5)
CUTS = st.lists(st.integers(0, 100_000), max_size=12)


def deflated(content: bytes, *, final: bool = False) -> bytes:
    """A message's payload (RFC 7692 §7.2.1), or one that ends with a final block (§7.2.3.4)."""
    deflater = zlib.compressobj(wbits=-15)
    octets = deflater.compress(content)
    return octets + deflater.flush() + b"\0" if final else (octets + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


@given(MESSAGES, CUTS, st.booleans(), st.sampled_from(["", "; client_no_context_takeover; server_no_context_takeover"]))
def test_another_librarys_messages_are_told_as_they_were(
    messages: list[tuple[bytes, int | None]], cuts: list[int], client: bool, parameters: str
) -> None:
    extension = PerMessageDeflate()
    (extension.finalize if client else extension.accept)(f"permessage-deflate{parameters}")
    theirs = FrameProtocol(client=client, extensions=[extension])
    octets, expected = b"", []
    for content, cut in messages:
        if cut is None:
            octets += theirs.send_data(content)
        else:
            octets += theirs.send_data(content[:cut], fin=False) + theirs.ping(b"!") + theirs.send_data(content[cut:])
        expected.append(content)
    scanner = FrameScanner(from_client=client, extended=True, shown=1 << 20)
    edges = sorted({0, len(octets), *(cut % (len(octets) + 1) for cut in cuts)})
    frames = [frame for start, end in itertools.pairwise(edges) for frame in scanner.feed(octets[start:end]).frames]
    told, begun = [], b""
    for frame in (frame for frame in frames if frame.opcode is not Opcode.PING):
        assert frame.compressed
        assert frame.inflated == len(frame.head)
        begun += frame.head
        if frame.fin:
            told.append(begun)
            begun = b""
    assert told == expected


@given(
    CONTENTS,
    st.sampled_from([0xC1, 0xC2, 0x41, 0x81, 0xC0, 0xC8]),
    st.integers(0, 8),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_a_whole_message_is_told_at_one_look_as_a_scan_tells_it(
    content: bytes, first: int, cut: int, client: bool, extended: bool, kept: bool
) -> None:
    payload = deflated(content)
    head = bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + len(payload).to_bytes(2, "big")
    key = b"\1\2\3\4" if client else b""
    veiled = bytes(octet ^ key[at % 4] for at, octet in enumerate(payload)) if client else payload
    octets = bytes([first, head[0] | (0x80 if client else 0)]) + head[1:] + key + veiled
    octets = octets[: len(octets) - cut]
    looks, scans = (FrameScanner(from_client=client, extended=extended, shown=99, kept=kept) for _ in range(2))
    for _ in range(2):  # the second, too, where the first left it
        told, scan = looks.deflated(octets), scans.feed(octets)
        if extended and not cut and first in (0xC1, 0xC2):
            assert [told] == scan.frames
            assert scan.passed == octets
            assert looks.fresh
        else:
            assert told is None
    looks.feed(bytes([0x01, 0x80 if client else 0]) + key)
    assert looks.deflated(octets) is None, "a message inside a message"


def test_so_much_is_shown_of_each_frame() -> None:
    payload = deflated(b"x" * 5000)
    frame = bytes([0xC2, len(payload)]) + payload

    def told(shown: int, *, kept: bool = True) -> Frame:
        scanner = FrameScanner(from_client=False, extended=True, shown=shown, kept=kept)
        return scanner.feed(frame).frames[0]

    assert told(100) == Frame(Opcode.BINARY, True, len(payload), True, b"x" * 100, 5000)
    assert told(0) == told(100, kept=False) == Frame(Opcode.BINARY, True, len(payload), True, b"", None)


def test_what_is_not_compressed_is_between_compressed_messages() -> None:
    deflater = zlib.compressobj(wbits=-15)
    octets = b""
    for number in range(3):
        payload = (deflater.compress(b"hello hello") + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
        octets += bytes([0xC1, len(payload)]) + payload + bytes([0x81, 1]) + b"%d" % number
    frames = FrameScanner(from_client=False, extended=True).feed(octets).frames
    assert [(frame.compressed, frame.head) for frame in frames] == [
        told for number in range(3) for told in ((True, b"hello hello"), (False, b"%d" % number))
    ]


def test_final_blocks() -> None:
    inflater = Inflater()
    for content in (b"one", b"two", b""):
        octets = deflated(content, final=True)
        assert inflater.take(octets, last=True, most=9) == Piece(content, len(content))
    octets = deflated(b"both", final=True)[:-1] + deflated(b" ends")
    assert inflater.take(octets, last=True, most=99) == Piece(b"both ends", 9)
    endless = deflated(b"", final=True)[:-1] * 100
    assert inflater.take(endless, last=True, most=99) is None


def test_what_was_not_understood_once_is_not_guessed_later() -> None:
    frames = b"\xc1\x05hello" + bytes([0xC1, len(deflated(b"good"))]) + deflated(b"good")
    told = FrameScanner(from_client=False, extended=True).feed(frames).frames
    assert [(frame.compressed, frame.head, frame.inflated) for frame in told] == [(True, b"", None)] * 2
    begun = deflated(b"well begun") + b"\0\0\xff\xff" + b"\xff"  # no kind of block
    broken = bytes([0xC1, len(begun)]) + begun
    scanner = FrameScanner(from_client=False, extended=True)
    told = [frame for cut in (broken[:-2], broken[-2:]) for frame in scanner.feed(cut).frames]
    assert told == [Frame(Opcode.TEXT, True, len(begun), True, b"", None)]


@pytest.mark.parametrize("piece", [1000, 1 << 20])
def test_a_message_beyond_the_limit_is_not_inflated(piece: int) -> None:
    with patch.object(inflating, "MESSAGE_LIMIT", 10_000), patch.object(inflating, "_PIECE", piece):
        inflater = Inflater()
        for _ in range(2):  # each by itself
            assert inflater.take(deflated(bytes(10_000)), last=True, most=1) == Piece(b"\0", 10_000)
        bomb = deflated(bytes(1 << 24))
        assert inflater.take(bomb[:100], last=False, most=1) is None
        assert inflater.take(bomb[100:], last=True, most=1) is None
