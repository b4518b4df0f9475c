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
from portyard.commons.journal.pages import FIELDS, OTHER, TEXTS, as_json, events, fold, form, formed, kind_of, page

AT = datetime(2026, 3, 4, 5, 6, 7, 890123, UTC)
_VALUES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()
_FIELDS = st.dictionaries(st.text(), _VALUES | st.lists(_VALUES, max_size=3), max_size=4)
_WHATS = st.text() | st.binary() | _FIELDS


def nanoseconds(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def page_of(*leaves: list[Any]) -> bytes:
    hows, values = bytearray(), bytearray()
    for noted in leaves:
        fold(noted, hows, values)
        assert noted == []
    return page(hows, values)


def read(*noted: Any) -> list[JournalEvent]:
    return list(events(1, page_of(list(noted))))


@given(st.lists(st.tuples(st.datetimes(timezones=st.just(UTC)), st.sampled_from(KINDS), _WHATS), max_size=8))
def test_what_is_noted_is_what_is_read(noted: list[tuple[datetime, str, Any]]) -> None:
    leaves = []
    for at, kind, what in noted:
        fields = isinstance(what, dict)
        leaves.append([at.isoformat(), (FIELDS if fields else TEXTS)[kind], as_json(what) if fields else what])
    found = list(events(7, page_of(*leaves)))
    assert [event.seq for event in found] == list(range(7, 7 + len(noted)))
    for event, (at, kind, what) in zip(found, noted, strict=True):
        assert (event.at, event.kind) == (at, kind)
        if isinstance(what, dict):
            assert event.fields == what
        elif isinstance(what, str):
            assert event.fields == {"text": what}


def test_several_events_become_octets_at_once() -> None:
    at = nanoseconds(AT)
    found = read(
        at, TEXTS["command"], "STAT", at + 1000, FIELDS["data"], b'{"octets":5}', at + 1999, TEXTS["reply"], "+OK"
    )
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
        ("command", b"a\r\n", "a\r\n"),  # a literal: its line end is its own
        ("reply", "gr\u00fc\u00df".encode() + b"\xff\r\n", "gr\u00fc\u00df\\xff"),
    ],
)
def test_octets_are_shown_as_text(kind: str, octets: bytes, shown: str) -> None:
    assert read(1, TEXTS[kind], octets)[0].fields == {"text": shown}


def test_an_answer_without_a_line_end_was_broken_off() -> None:
    for octets in (b"* 1 FETCH (BODY[] {9}\r\nabc", b"\r\n\r"):
        assert read(1, TEXTS["reply"], octets)[0].fields == {"text": octets.decode(), "broken_off": True}
    assert read(1, TEXTS["reply"], b"")[0].fields == {"text": ""}
    assert read(1, TEXTS["reply"], "text has none")[0].fields == {"text": "text has none"}


def test_what_neither_json_nor_messagepack_can_hold() -> None:
    fields: dict[str, object] = {"half": "\udc80", "at": AT, "odd": Path("/x"), "raw": msgspec.Raw(b"[1]")}
    first, second, third, fourth = read(
        1,
        TEXTS["command"],
        "whole",
        2,
        TEXTS["command"],
        "half \udc80",
        3,
        FIELDS["data"],
        as_json(fields),
        4,
        TEXTS["reply"],
        b"+OK\r\n",
    )
    assert (first.kind, first.fields) == ("command", {"text": "whole"})
    assert (second.kind, second.fields) == ("command", {"text": "half \udc80"})
    assert third.fields == {"half": "\udc80", "at": AT.isoformat(), "odd": "/x", "raw": [1]}
    assert (fourth.kind, fourth.fields) == ("reply", {"text": "+OK"})


class Odd(str):
    """A library's own text."""

    __slots__ = ()


def test_a_librarys_own_text_is_text() -> None:
    command, reply = TEXTS["command"], TEXTS["reply"]
    assert read(1, command, Odd("STAT"), 2, reply, bytearray(b"+OK\r\n"))[1].fields == {"text": "+OK"}
    assert read(1, command, Odd("STAT"))[0].fields == {"text": "STAT"}


def test_a_kind_of_ones_own_is_kept_with_its_fields() -> None:
    (event,) = read(1, OTHER, b'odd\0{"a":1}')
    assert (event.kind, event.fields, kind_of(OTHER)) == ("odd", {"a": 1}, "other")


def test_fields_that_are_there_already_are_the_number_of_their_event() -> None:
    told = FIELDS["reply"]
    found = list(events(3, page_of([1, told, b'{"a":1}', 2, told, b'{"a":2}'], [3, told, 1, 4, told, 0, 5, told, 1])))
    assert [(event.seq, event.fields["a"]) for event in found] == [(3, 1), (4, 2), (5, 2), (6, 1), (7, 2)]


@pytest.mark.parametrize("events_of_a_leaf", [1, 7, 8, 40, 22_000])
def test_a_leaf_may_have_any_length(events_of_a_leaf: int) -> None:
    noted = [place for number in range(events_of_a_leaf) for place in (number, TEXTS["command"], str(number))]
    found = list(events(1, page_of(list(noted), list(noted))))
    assert [event.fields["text"] for event in found] == [str(number) for number in range(events_of_a_leaf)] * 2


_CAME = form("data", {"direction": "in", "octets": 0, "text": "WORD"}, skip=2, veiled=True)
_SENT = form("reply", {"octets": 0, "text": "LINE"}, skip=1)
_BINARY = form("data", {"octets": 0, "text": "BYTES"}, veiled=True, binary=True)
_BARE = form("data", {"part": "body"}, bare=True)
_CUT = form("data", {"octets": 0, "text": "WORD"}, skip=3, length=1)
_CUT_BYTES = form("data", {"octets": 0, "text": "BYTES"}, skip=2, length=0, binary=True)
_LONG_BYTES = form("data", {"octets": 0, "text": "BYTES"}, skip=3, length=1, veiled=True, binary=True)


@pytest.mark.parametrize(
    ("how", "octets", "shown"),
    [
        (_CAME, b"\xff\xff\0\1\2\3abcdef", {"direction": "in", "octets": 6, "text": "WORD 6 acageg"}),
        (_CAME, b"\xff\xff\0\1\2\3", {"direction": "in", "octets": 0, "text": "WORD 0 "}),
        (_SENT, b'\0a\0"\xff', {"octets": 4, "text": 'LINE 4 a\0"\ufffd'}),
        (_SENT, b"\0", {"octets": 0, "text": "LINE 0 "}),
        (_BINARY, b"\1\2\3\4\1\2", {"octets": 2, "text": "BYTES 2", "base64": "AAA="}),
        (_BARE, b'"\xc3\xbc"\r\n', {"part": "body", "octets": 6, "text": '"ü"\r\n'}),
        (_BARE, b"\xff", {"part": "body", "octets": 1, "base64": "/w=="}),
        (_CUT, b"\0\1\4abcd", {"octets": 260, "text": "WORD 260 abcd…"}),
        (_CUT, b"\0\0\4abcd", {"octets": 4, "text": "WORD 4 abcd"}),
        (_CUT_BYTES, b"\0\0", {"octets": 0, "text": "BYTES 0", "base64": ""}),
        (_LONG_BYTES, b"\0\1\4\1\1\1\1\1\1", {"octets": 260, "text": "BYTES 260", "base64": "AAA="}),
        (_LONG_BYTES, b"\0\1\4\1\1\1\1", {"octets": 260, "text": "BYTES 260"}),
        (_SENT, b'-{"token": "abc"}', {"octets": 16, "text": 'LINE 16 {"token": "«secret, 3 bytes»"}'}),
        (_BARE, b"a\0", {"part": "body", "octets": 2, "base64": "YQA="}),
    ],
)
def test_a_form_is_filled_with_octets_of_the_wire(how: int, octets: bytes, shown: dict[str, object]) -> None:
    kind = "reply" if how == _SENT else "data"
    assert formed(how, octets) == (kind, shown)
    before, event, after = read(1, TEXTS["command"], "x", 2, how, octets, 3, FIELDS["data"], b"{}")
    assert (before.kind, event.kind, after.kind) == ("command", kind, "data")
    assert (event.fields, kind_of(how)) == (shown, kind)


def test_a_page_brings_its_forms_along() -> None:
    body = page_of([1, _SENT, b"-a", 2, _SENT, b"-b"])
    assert body.count(b"LINE") == 1
    assert b"WORD" not in body


def test_what_came_before_is_not_told() -> None:
    elsewhere = form("reply", {}, room="nowhere")  # nobody could tell what it says
    body = page_of([1, TEXTS["command"], "STAT", 2, elsewhere, b"+OK", 3, TEXTS["command"], "QUIT"])
    for after in (0, 1, 4):
        with pytest.raises(ModuleNotFoundError):
            list(events(5, body, after))
    for after in (6, 7, 8):
        assert [(event.seq, event.fields["text"]) for event in events(5, body, after)] == (
            [(7, "QUIT")] if after < 7 else []
        )
