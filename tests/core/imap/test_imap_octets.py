"""Literals in packet captures are those that went over the wire, or gaps."""

from __future__ import annotations

from typing import Any

import pytest

from portyard.commons.journal.export_octets import pieces
from portyard.imap.octets import known
from tests.support.asyncio_tests import run
from tests.support.stored import Stored, told

HEADER = b"Subject: x\r\nTo: a@example.com\r\n\r\n"
MESSAGE = HEADER + b"body of \xe9 octets\r\n" * 300
SIZE = len(MESSAGE)
SELECTED = "* 2 EXISTS\r\n* OK [UIDVALIDITY 5] valid\r\n* OK [UIDNEXT 9] next\r\na OK done"
SELECT = ("C: a SELECT INBOX", f"S: {SELECTED}")
COUNTED = f"«{SIZE} bytes»\r\n"


def store(**changes: Any) -> Stored:
    fields: dict[str, Any] = {"messages": {(7, 4): b"Subject: y\r\n\r\n", (7, 8): MESSAGE}, "validities": {5: 7}}
    return Stored(**{**fields, **changes})


def wire(stored: Stored, *events: str | tuple[str, dict[str, object]]) -> tuple[bytes, int]:
    """What the server sent at last, and how much of it isn't known."""
    found: list[tuple[bytes, int]] = []

    async def main() -> None:
        listed = told(*events)
        reply = [piece for piece in pieces(listed, known=await known(listed, stored)) if piece.at == listed[-1].at]
        found.append((b"".join(piece.kept for piece in reply), sum(piece.more for piece in reply)))

    run(main())
    return found[0]


def fetched(number: int, item: str, octets: bytes) -> bytes:
    return b"* %d FETCH (%s {%d}\r\n%s)\r\nb OK done\r\n" % (number, item.encode(), len(octets), octets)


def test_a_literal_that_was_counted_by_its_sequence_number() -> None:
    reply = f"S: * 2 FETCH (RFC822 {{{SIZE}}}\r\n{COUNTED})\r\nb OK done"
    assert wire(store(), *SELECT, "C: b FETCH 2 (RFC822)", reply) == (fetched(2, "RFC822", MESSAGE), 0)


def test_a_literal_in_pieces_by_its_uid_in_a_mailbox_where_some_went() -> None:
    reply = f"S: * 2 FETCH (UID 8 BODY[] {{{SIZE}}}\r\n«4000 bytes»\r\n«{SIZE - 4000} bytes»\r\n)\r\nb OK done"
    stored = store(gone={4})
    assert wire(stored, *SELECT, "C: b UID FETCH 8 BODY[]", reply) == (fetched(2, "UID 8 BODY[]", MESSAGE), 0)


@pytest.mark.parametrize("kept", [0, 30, 60, 500], ids=str)
def test_a_literal_that_was_cut_is_whole_and_what_followed_is_a_gap(kept: int) -> None:
    text = f"* 2 FETCH (BODY[] {{{SIZE}}}\r\n{MESSAGE[:kept].decode('utf-8', 'backslashreplace')}"
    cut: tuple[str, dict[str, object]] = ("reply", {"text": text, "unkept": SIZE - kept + 20})
    octets, more = wire(store(), *SELECT, "C: b FETCH 2 BODY[]", cut)
    assert (octets, more) == (b"* 2 FETCH (BODY[] {%d}\r\n%s" % (SIZE, MESSAGE), 20)


@pytest.mark.parametrize("stored", [store(), store(messages={(7, 4): b""})], ids=["known", "gone"])
def test_a_literal_of_more_pieces_than_the_journal_tells(stored: Stored) -> None:
    """One of several megabytes: its pieces alone are more than is kept of an answer."""
    text = f"* 2 FETCH (BODY[] {{{SIZE}}}\r\n«2000 bytes»\r\n«50 bytes»\r\n"
    end = "octets\r\n)\r\n* 1 FETCH (FLAGS ())\r\nb OK done\r\n"
    cut: tuple[str, dict[str, object]] = ("reply", {"text": text, "unkept": SIZE - 2050 + len(end) - 8, "end": end})
    octets, more = wire(stored, *SELECT, "C: b FETCH 2 BODY[]", cut)
    whole = b"* 2 FETCH (BODY[] {%d}\r\n%s%s" % (SIZE, MESSAGE, end[8:].encode())
    assert len(octets) + more == len(whole)
    assert (octets, more) == (whole, 0) or not stored.messages.get((7, 8))


def test_a_literal_that_was_broken_off() -> None:
    reply = f"S: * 2 FETCH (BODY[] {{{SIZE}}}\r\n«2000 bytes»\r\n«50 bytes»"
    octets, more = wire(store(), *SELECT, "C: b FETCH 2 BODY[]", reply)
    assert (octets, more) == (b"* 2 FETCH (BODY[] {%d}\r\n%s" % (SIZE, MESSAGE[:2050]), 0)


@pytest.mark.parametrize("sent", [0, 30, 60, 77], ids=str)
def test_a_literal_that_was_broken_off_while_it_was_shown(sent: int) -> None:
    text = f"* 2 FETCH (BODY[] {{{SIZE}}}\r\n{MESSAGE[:sent].decode('utf-8', 'backslashreplace')}"
    broken: tuple[str, dict[str, object]] = ("reply", {"text": text, "broken_off": True})
    octets, more = wire(store(), *SELECT, "C: b FETCH 2 BODY[]", broken)
    assert (octets, more) == (b"* 2 FETCH (BODY[] {%d}\r\n%s" % (SIZE, MESSAGE[:sent]), 0)


@pytest.mark.parametrize("end", [")\r\nb OK done\r\n", "octets\r\n)\r\nb OK done\r\n"])
def test_how_a_reply_that_was_cut_ended(end: str) -> None:
    text = f"* 2 FETCH (BODY[] {{{SIZE}}}\r\n{MESSAGE[:30].decode()}"
    cut: tuple[str, dict[str, object]] = ("reply", {"text": text, "unkept": SIZE - 30 + 14, "end": end})
    assert wire(store(), *SELECT, "C: b FETCH 2 BODY[]", cut) == (fetched(2, "BODY[]", MESSAGE), 0)
    cut[1]["unkept"] = SIZE - 30 + 40
    octets, more = wire(store(), *SELECT, "C: b FETCH 2 BODY[]", cut)
    assert (octets, more) == (b"* 2 FETCH (BODY[] {%d}\r\n%s%s" % (SIZE, MESSAGE, end.encode()), 40 - len(end))


@pytest.mark.parametrize(
    ("item", "octets"),
    [
        ("BODY[HEADER]", HEADER),
        ("RFC822.TEXT", MESSAGE[len(HEADER) :]),
        ("BODY[1]", MESSAGE[len(HEADER) :]),
        ("BODY[HEADER.FIELDS (TO)]", b"To: a@example.com\r\n\r\n"),
        ("BODY[]<40>", MESSAGE[40:5040]),
    ],
)
def test_a_part_of_a_message(item: str, octets: bytes) -> None:
    reply = f"S: * 2 FETCH ({item} {{{len(octets)}}}\r\n«{len(octets)} bytes»\r\n)\r\nb OK done"
    assert wire(store(), *SELECT, "C: b FETCH 2 x", reply) == (fetched(2, item, octets), 0)


def test_numbers_follow_what_came_and_went() -> None:
    gone = ("C: b EXPUNGE", "S: * 1 EXPUNGE\r\nb OK done")
    stored = store(messages={**store().messages, (7, 9): b"z" * 5000})
    reply = f"S: * {{}} FETCH (BODY[] {{{{{SIZE}}}}}\r\n{COUNTED})\r\nb OK done"
    assert wire(stored, *SELECT, *gone, "C: b FETCH 1 BODY[]", reply.format(1)) == (fetched(1, "BODY[]", MESSAGE), 0)
    came = "S: * 3 EXISTS\r\n* 3 FETCH (BODY[] {5000}\r\n«5000 bytes»\r\n)\r\nb OK done"
    octets, more = wire(stored, *SELECT, "C: b FETCH 3 BODY[]", came)
    assert (octets, more) == (b"* 3 EXISTS\r\n" + fetched(3, "BODY[]", b"z" * 5000), 0)


COUNTED_REPLY = f"S: * 2 FETCH (BODY[] {{{SIZE}}}\r\n{COUNTED})\r\nb OK done"


@pytest.mark.parametrize(
    ("stored", "events"),
    [
        (store(gone={4}), (*SELECT, "C: b FETCH 2 BODY[]", COUNTED_REPLY)),
        (store(validities={}), (*SELECT, "C: b FETCH 2 BODY[]", COUNTED_REPLY)),
        (store(messages={(7, 4): b"", (7, 8): MESSAGE[:-1]}), (*SELECT, "C: b FETCH 2 BODY[]", COUNTED_REPLY)),
        (store(), ("C: b FETCH 2 BODY[]", COUNTED_REPLY)),
        (store(), (*SELECT, "C: c SELECT {1}", "S: + go", "C: x", "C: ", "S: c NO", "C: b FETCH 2 x", COUNTED_REPLY)),
        (store(), (*SELECT, "C: b FETCH 2 BINARY[]", COUNTED_REPLY.replace("BODY", "BINARY"))),
    ],
    ids=["some-went", "no-mailbox", "another-size", "none-selected", "another-selected", "another-item"],
)
def test_what_may_be_another_message_stays_a_gap(stored: Stored, events: tuple[str, ...]) -> None:
    octets, more = wire(stored, *events)
    assert more == SIZE
    assert b"octets" not in octets


def test_a_message_that_does_not_begin_as_the_journal_shows_it_is_another() -> None:
    cut: tuple[str, dict[str, object]] = (
        "reply",
        {"text": f"* 2 FETCH (BODY[] {{{SIZE}}}\r\nSubject: z", "unkept": SIZE},
    )
    octets, more = wire(store(), *SELECT, "C: b FETCH 2 BODY[]", cut)
    assert octets.endswith(b"Subject: z")
    assert more == SIZE


@pytest.mark.parametrize(("told_uid", "whole"), [(8, True), (4, False)])
def test_a_message_that_was_appended(told_uid: int, whole: bool) -> None:
    async def main() -> None:
        append = (f"C: a APPEND x {{{SIZE}}}", "S: + go", f"C: «literal, {SIZE} bytes»", "C: ")
        events = told(*append, f"S: a OK [APPENDUID 5 {told_uid}] done")
        found = await known(events, store())
        assert {seq: [piece.kept for piece in each] for seq, each in found.items()} == ({3: [MESSAGE]} if whole else {})

    run(main())
