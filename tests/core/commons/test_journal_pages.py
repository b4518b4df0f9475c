"""Events as octets, and events again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portyard.commons.journal.model import KINDS, JournalEvent
from portyard.commons.journal.pages import FIELDS, PLACES, REST, as_json, events, leaf, page

AT = datetime(2026, 3, 4, 5, 6, 7, 890123, UTC)
_VALUES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()
_FIELDS = st.dictionaries(st.text(), _VALUES | st.lists(_VALUES, max_size=3), max_size=4)
_WHATS = st.text() | st.binary() | _FIELDS


def nanoseconds(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def read(*noted: Any) -> list[JournalEvent]:
    return list(events(1, page([leaf(list(noted))])))


@given(st.lists(st.tuples(st.datetimes(timezones=st.just(UTC)), st.sampled_from(KINDS), _WHATS), max_size=8))
def test_what_is_noted_is_what_is_read(noted: list[tuple[datetime, str, Any]]) -> None:
    leaves = []
    for at, kind, what in noted:
        fields = isinstance(what, dict)
        leaves.append(leaf([at.isoformat(), FIELDS[kind] if fields else kind, as_json(what) if fields else what]))
    found = list(events(7, page(leaves)))
    assert [event.seq for event in found] == list(range(7, 7 + len(noted)))
    for event, (at, kind, what) in zip(found, noted, strict=True):
        assert (event.at, event.kind) == (at, kind)
        if isinstance(what, dict):
            assert event.fields == what
        elif isinstance(what, str):
            assert event.fields == {"text": what}


def test_a_leaf_holds_several_events() -> None:
    at = nanoseconds(AT)
    found = read(at, "command", "STAT", at + 1000, b"data", b'{"octets":5}', at + 1999, "reply", "+OK")
    assert [(event.seq, event.kind, event.fields) for event in found] == [
        (1, "command", {"text": "STAT"}),
        (2, "data", {"octets": 5}),
        (3, "reply", {"text": "+OK"}),
    ]
    assert [(event.at - AT) // timedelta(microseconds=1) for event in found] == [0, 1, 1]


@pytest.mark.parametrize(
    ("kind", "octets", "shown"),
    [
        ("reply", b"+OK\r\n", "+OK"),
        ("reply", b"+OK\r\n\r\n", "+OK\r\n"),
        ("reply", b"+OK", "+OK"),
        ("command", b"a\r\n", "a\r\n"),  # a literal: its line end is its own
        ("reply", "gr\u00fc\u00df".encode() + b"\xff\r\n", "gr\u00fc\u00df\\xff"),
    ],
)
def test_octets_are_shown_as_text(kind: str, octets: bytes, shown: str) -> None:
    assert read(1, kind, octets)[0].fields == {"text": shown}


def test_what_neither_json_nor_messagepack_can_hold() -> None:
    fields: dict[str, object] = {"half": "\udc80", "at": AT, "odd": Path("/x"), "raw": msgspec.Raw(b"[1]")}
    noted: list[int | str | bytes] = [1, "command", "whole", 2, "command", "half \udc80", 3, b"data", as_json(fields)]
    first, second, third = events(1, page([leaf(noted)]))
    assert first.fields == {"text": "whole"}
    assert second.fields == {"text": "half \udc80"}
    assert third.fields == {"half": "\udc80", "at": AT.isoformat(), "odd": "/x", "raw": [1]}
    assert len(noted) == 3 * PLACES


class Odd(str):
    """A library's own text."""

    __slots__ = ()


def test_a_librarys_own_text_is_text() -> None:
    assert read(1, "command", Odd("STAT"), 2, "reply", bytearray(b"+OK\r\n"))[1].fields == {"text": "+OK"}
    assert read(1, "command", Odd("STAT"))[0].fields == {"text": "STAT"}


def test_octets_behind_the_fields_end_the_text() -> None:
    fields = b'{"opcode":"text","text":"TEXT 3 "}' + REST + b"a\xff\0"
    assert read(1, b"data", fields)[0].fields == {"opcode": "text", "text": "TEXT 3 a\ufffd\0"}
