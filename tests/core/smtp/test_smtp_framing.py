"""Octets to lines and messages, however they are cut."""

from __future__ import annotations

import pytest

from portyard.commons.events import DotBlock, Event, Line, TooLong
from portyard.smtp.core.framing import LINE_LIMIT, Framing, MessageData, stuff, unstuff


def events(data: bytes, step: int, limit: int | None = None) -> list[Event]:
    framing = Framing()
    if limit is not None:
        framing.expect(MessageData(limit))
    found = []
    for start in range(0, len(data), step):
        framing.feed(data[start : start + step])
        while (event := framing.next_event()) is not None:
            found.append(event)
    return found


@pytest.mark.parametrize("step", [1, 2, 3, 1000])
def test_lines(step: int) -> None:
    assert events(b"NOOP\r\n\r\nA\nB\r", step) == [Line(b"NOOP"), Line(b""), Line(b"A", bare_lf=True)]


@pytest.mark.parametrize("step", [1, 7, 5000, 100_000])
def test_a_line_over_the_limit_is_dropped_and_named(step: int) -> None:
    assert events(b"X" * (LINE_LIMIT - 1) + b"\r\nNOOP\r\n", step) == [
        TooLong(LINE_LIMIT, b"X" * 64),
        Line(b"NOOP"),
    ]
    assert events(b"X" * (LINE_LIMIT - 2) + b"\r\n", step) == [Line(b"X" * (LINE_LIMIT - 2))]
    assert events(b"AUTH " + b"x" * 90_000 + b"\r\nNOOP\r\n", step)[1:] == [Line(b"NOOP")]


def test_an_endless_line_costs_no_memory() -> None:
    framing = Framing()
    for _ in range(100):
        framing.feed(b"x" * 65_536)
        assert framing.next_event() is None
    assert len(framing._buffer) == 0


@pytest.mark.parametrize("step", [1, 2, 4, 1000])
@pytest.mark.parametrize(
    ("wire", "octets"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"a\r\n.\r\n", b"a\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"..a\r\n...\r\n.b\r\n.\r\n", b".a\r\n..\r\nb\r\n"),
        (b".a\r\n.\r\n", b"a\r\n"),
        (b"a\n.\n\r\n.\r\n", b"a\n.\n\r\n"),
        (b"a\r.\r\r\n.\r\n", b"a\r.\r\r\n"),
        (b"a\n.\r\nb\r\n.\nc\r\n.\r\n", b"a\n.\r\nb\r\n\nc\r\n"),
    ],
)
def test_message_data(wire: bytes, octets: bytes, step: int) -> None:
    block, line = events(wire + b"QUIT\r\n", step, 1000)
    assert isinstance(block, DotBlock)
    assert (block.data, block.size) == (octets, len(octets))
    assert block.bare_lf == (b"\n" in octets.replace(b"\r\n", b""))
    assert block.bare_cr == (b"\r" in octets.replace(b"\r\n", b""))
    assert line == Line(b"QUIT")


@pytest.mark.parametrize("step", [1, 10, 100_000])
def test_a_message_over_the_limit_is_counted_and_dropped(step: int) -> None:
    exact = b"x" * 98 + b"\r\n"
    assert events(exact + b".\r\n", step, 100) == [DotBlock(exact, 100)]
    assert events(b"x" + exact + b".\r\n", step, 100) == [DotBlock(b"", 101, too_large=True)]
    block, line = events(b"x" * 5000 + b"\r\n.\r\nNOOP\r\n", step, 100)
    assert isinstance(block, DotBlock)
    assert block.too_large
    assert block.data == b""
    assert block.size == 5002
    assert line == Line(b"NOOP")


def test_dots_do_not_count_towards_the_limit() -> None:
    lines = b"..\r\n" * 33
    assert events(lines + b".\r\n", 1000, 99) == [DotBlock(b".\r\n" * 33, 99)]


def test_an_endless_message_costs_no_memory() -> None:
    framing = Framing()
    framing.expect(MessageData(1000))
    for _ in range(100):
        framing.feed(b"x" * 65_536)
        assert framing.next_event() is None
    assert len(framing._buffer) < 10


def test_clear_forgets_what_was_read_in_plaintext() -> None:
    framing = Framing()
    framing.feed(b"NOOP\r\nRSET")
    framing.clear()
    framing.feed(b"QUIT\r\n")
    assert framing.next_event() == Line(b"QUIT")
    assert framing.next_event() is None


@pytest.mark.parametrize("octets", [b"", b".", b".\r\n", b"a", b"a\r\n", b"a\r\n.b\r\n..\r\n", b"\r\n.\r\n"])
def test_stuffing_is_framings_inverse(octets: bytes) -> None:
    (block,) = events(stuff(octets), 1000, 1000)
    assert isinstance(block, DotBlock)
    assert block.data == (octets if not octets or octets.endswith(b"\r\n") else octets + b"\r\n")
    assert unstuff(b"..\r\n") == b".\r\n"
