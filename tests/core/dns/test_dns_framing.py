from __future__ import annotations

import pytest

from portyard.commons.events import Literal
from portyard.dns.core.framing import LengthFraming, framed


def test_length_alone_is_no_message_yet() -> None:
    framing = LengthFraming()
    framing.feed(b"\0")
    assert framing.next_event() is None
    framing.feed(b"\3ab")
    assert framing.next_event() is None
    framing.feed(b"c\0\0")
    assert framing.next_event() == Literal(b"abc")
    assert framing.next_event() == Literal(b"")
    assert framing.next_event() is None


def test_clear_drops_what_waits() -> None:
    framing = LengthFraming()
    framing.feed(b"\0\3ab")
    framing.clear()
    framing.expect(None)
    framing.feed(framed(b"x"))
    assert framing.next_event() == Literal(b"x")


def test_a_message_too_long_for_its_length_is_our_error() -> None:
    assert framed(bytes(65535))[:2] == b"\xff\xff"
    with pytest.raises(ValueError, match="65536"):
        framed(bytes(65536))
