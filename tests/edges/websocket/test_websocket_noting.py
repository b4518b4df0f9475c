"""What is noted of a frame at one look is what a scan of it tells."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from portyard.commons.journal.pages import formed
from portyard.websocket.core.framing import FrameScanner
from portyard.websocket.transport import _gate, _teller, told_frame

SHOWN = 140


class Paper:
    """A sheet that nobody attends to."""

    def __init__(self) -> None:
        self.noted: list[Any] = []
        self.due = 3
        self.moment = lambda: 0
        self.attended = 0

    def attend(self) -> None:
        self.attended += 1


def frame(first: int, size: int, told: int, mask: int) -> bytes:
    """A frame whose header needn't be true."""
    head = bytes([first, mask | told]) if told < 126 else bytes([first, mask | 126]) + told.to_bytes(2, "big")
    return head + (b"\1\2\3\4" if mask else b"") + bytes(b"hello "[at % 6] for at in range(size))


SIZES = st.sampled_from([0, 1, 5, 124, 125, 126, 127, 130, 139, 140, 141, 254, 255, 256, 300, 65_535])


@given(
    st.sampled_from([0x81, 0x82, 0x01, 0x80, 0x89, 0xC1]),
    SIZES,
    st.sampled_from([0, 0, 0, 1, -1, 4]),
    st.booleans(),
    st.booleans(),
)
@example(first=0x81, size=126, wrong=0, client=True, fresh=True)
@example(first=0x82, size=65_535, wrong=0, client=False, fresh=True)
def test_a_frame_is_noted_as_a_scan_tells_it(first: int, size: int, wrong: int, client: bool, fresh: bool) -> None:
    octets = frame(first, size, min(max(size + wrong, 0), 65_535), 0x80 if client else 0)
    paper, others, passed = Paper(), list[bytes](), list[bytes]()
    scanner = FrameScanner(from_client=client, extended=True, shown=SHOWN)
    scanner.fresh = fresh

    def other(data: bytes) -> tuple[bool, bytes]:
        others.append(data)
        return False, b""

    def pass_on(data: bytes) -> tuple[bool, bytes]:
        passed.append(data)
        return False, b""

    if client:
        _gate(paper, scanner, pass_on, other)(octets)
        assert passed == ([] if others else [octets])
    else:
        _teller(paper, scanner, pass_on, other)(octets)  # type: ignore[arg-type]  # what it returns is nobody's
        assert passed == [octets]
    if others:
        assert others == [octets]
        assert not paper.noted
        assert not scanner.longer(octets)
        assert scanner.short(octets) < 0 or first == 0x82  # short octets go the longer way
        return
    assert paper.attended == 1
    _, how, what = paper.noted
    (scanned,) = FrameScanner(from_client=client, extended=True, shown=SHOWN).feed(octets).frames
    assert formed(how, what) == ("data", msgspec.json.decode(told_frame("in" if client else "out", scanned)))
    assert fresh
    assert len(what) <= SHOWN + 8
