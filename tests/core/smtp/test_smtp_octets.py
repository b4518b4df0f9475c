"""Messages in packet captures are those that went over the wire, or gaps."""

from __future__ import annotations

import pytest

from portyard.smtp.octets import known
from tests.support.asyncio_tests import run
from tests.support.stored import Stored, told

MESSAGE = b"Subject: x\r\n\r\n.dot\r\n"
ADDED = b"Return-Path: <>\r\nReceived: from a\r\n\tby b; now\r\n"
DATA: tuple[str, dict[str, object]] = ("data", {"id": "1", "octets": len(MESSAGE)})
SENT = f"C: «message, {len(MESSAGE)} octets»"


def test_a_message_is_sent_with_its_dots_doubled() -> None:
    async def main() -> None:
        events = told("C: DATA", "S: 354 go", SENT, DATA, "S: 250 ok")
        found = await known(events, Stored({"1": ADDED + MESSAGE}))
        ((seq, (piece,)),) = found.items()
        assert (seq, piece.ours, piece.more, piece.at) == (3, False, 0, events[2].at)
        assert piece.kept == b"Subject: x\r\n\r\n..dot\r\n.\r\n"
        assert "mail store" in piece.notes[0]

    run(main())


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"1": MESSAGE},
        {"1": ADDED[:-1] + MESSAGE},
        {"1": ADDED + MESSAGE[2:]},
        {"1": ADDED + b"\r\n" + MESSAGE},
        {"2": ADDED + MESSAGE},
    ],
    ids=["gone", "nothing-added", "torn-above", "shorter", "in-a-body", "another"],
)
def test_what_may_be_another_message_stays_a_gap(stored: dict[str, bytes]) -> None:
    async def main() -> None:
        assert await known(told("C: DATA", "S: 354 go", SENT, DATA), Stored(stored)) == {}

    run(main())


def test_a_message_that_was_refused_or_counted_otherwise_stays_a_gap() -> None:
    async def main() -> None:
        stored = Stored({"1": ADDED + MESSAGE})
        assert await known(told(SENT, "S: 554 no", "C: NOOP", DATA), stored) == {}
        assert await known(told("C: «message, 3 octets»", DATA), stored) == {}

    run(main())
