"""Framing: limits, literals, and what an over-long line leaves behind."""

from __future__ import annotations

import pytest

from portyard.commons.events import Event, Line, Literal, TooLong
from portyard.imap.core.framing import ImapFraming, NeedLiteral, SkipLiteral, TakeLiteral, literal_at_end


def events(framing: ImapFraming) -> list[Event]:
    found = []
    while (event := framing.next_event()) is not None:
        found.append(event)
    return found


@pytest.mark.parametrize(
    ("line", "need"),
    [
        (b"a {5}", NeedLiteral(5, True)),
        (b"a {5+}", NeedLiteral(5, False)),
        (b"{0}", NeedLiteral(0, True)),
        (b"a {5} ", None),
        (b"a {-5}", None),
        (b"a {}", None),
        (b"a {" + b"9" * 30 + b"}", None),
    ],
)
def test_announcements(line: bytes, need: NeedLiteral | None) -> None:
    assert literal_at_end(line) == need


def test_lines_and_their_endings() -> None:
    framing = ImapFraming()
    framing.feed(b"a\r\nb\nc\r\r\n\r\n")
    assert events(framing) == [Line(b"a"), Line(b"b", bare_lf=True), Line(b"c\r"), Line(b"")]


def test_a_literal_is_taken_whole() -> None:
    framing = ImapFraming()
    framing.feed(b"x {3}\r\n")
    assert events(framing) == [Line(b"x {3}")]
    framing.expect(TakeLiteral(3))
    framing.feed(b"\r\n")
    assert events(framing) == []
    framing.feed(b"\n y\r\n")
    assert events(framing) == [Literal(b"\r\n\n"), Line(b" y")]


def test_a_refused_literal_is_skipped() -> None:
    framing = ImapFraming()
    framing.expect(SkipLiteral(5))
    framing.feed(b"123")
    assert events(framing) == []
    framing.feed(b"45 y\r\n")
    assert events(framing) == [Line(b" y")]


def test_a_long_line_is_dropped_as_it_comes() -> None:
    framing = ImapFraming(line_limit=100)
    for _ in range(1000):
        framing.feed(b"x" * 100)
        assert events(framing) == []
        assert len(framing._buffer) <= 100
    framing.feed(b"\r\nnext\r\n")
    assert events(framing) == [TooLong(100, b"x" * 100), Line(b"next")]


def test_a_long_line_takes_its_unasked_literals_along() -> None:
    framing = ImapFraming(line_limit=10)
    framing.feed(b"x" * 20 + b"{6+}\r\n1\r\n2\r\n{2+}\r\nab end\r\nnext\r\n")
    assert events(framing) == [TooLong(10, b"x" * 10), Line(b"next")]


def test_clear_drops_everything() -> None:
    framing = ImapFraming()
    framing.feed(b"half a line")
    framing.expect(TakeLiteral(3))
    framing.clear()
    framing.feed(b"x\r\n")
    assert events(framing) == [Line(b"x")]


def test_only_its_own_modes() -> None:
    with pytest.raises(TypeError):
        ImapFraming().expect("lines")
