"""Text as a line may show it."""

from __future__ import annotations

import os

from portyard.ssh.core.words import moment, one_line, printable


def test_printable() -> None:
    assert printable("päth name") == "päth name"
    assert printable("a\nb\x1b[31m\0") == r"a\nb\x1b[31m\x00"
    assert printable(os.fsdecode(b"a\xff")) == r"a\xff"


def test_one_line_keeps_octets() -> None:
    assert one_line(os.fsdecode(b"a\n\xff\x7f")) == os.fsdecode(b"a?\xff?")


def test_a_time_that_no_calendar_has() -> None:
    assert moment(1e30).year == 1970
    assert moment(86_400).day == 2
