"""Messages in packet captures are those that RETR and TOP sent, or gaps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portyard.commons.mailstore.model import Message
from portyard.pop3.core.maildrop import MOST_TOLD, PIECE, Maildrop, numbered
from portyard.pop3.octets import known
from tests.support.asyncio_tests import run
from tests.support.stored import START, Stored, told

MESSAGE = b"Subject: x\r\n\r\n.dot\r\nmore\r\n"
LOGIN: tuple[str, dict[str, object]] = ("data", {"mailbox": 7, "maildrop": "2:3,9"})
SENT = f"«message, {len(MESSAGE)} octets»\r\n."
STORED = Stored(messages={(7, 3): MESSAGE})


def maildrop(uids: list[int]) -> Maildrop:
    messages = [Message(uid, 7, uid, frozenset(), 1, START, 1, b"", None, uid) for uid in uids]
    return Maildrop(None, 7, 1, messages)  # type: ignore[arg-type] - it tells of them without the store


@given(st.sets(st.integers(1, 50)).map(sorted))
def test_numbers_are_told_and_read_back(uids: list[int]) -> None:
    told_ = maildrop(uids).told()
    assert told_["mailbox"] == 7
    assert numbered(str(told_["maildrop"])) == uids


def test_what_is_told_of_a_huge_maildrop_has_a_bound() -> None:
    uids = list(range(1, 10 * MOST_TOLD, 2))
    assert numbered(str(maildrop(uids).told()["maildrop"])) == uids[:MOST_TOLD]


def test_a_message_is_sent_whole_and_its_top_alone() -> None:
    async def main() -> None:
        asked = ("C: retr 2", f"S: +OK 26 octets\r\n{SENT}", "C: TOP 2 1", f"S: +OK top\r\n{SENT}")
        found = await known(told(LOGIN, *asked), STORED)
        assert [b"".join(piece.kept for piece in found[seq]) for seq in (3, 5)] == [
            b"+OK 26 octets\r\nSubject: x\r\n\r\n..dot\r\nmore\r\n.\r\n",
            b"+OK top\r\nSubject: x\r\n\r\n..dot\r\n.\r\n",
        ]
        assert all(piece.ours and not piece.more for seq in found for piece in found[seq])

    run(main())


@pytest.mark.parametrize(("ends", "pieces"), [("", 1), ("\r\n", 2)])
def test_a_message_that_was_broken_off_between_its_pieces(ends: str, pieces: int) -> None:
    async def main() -> None:
        message = b"Subject: x\r\n\r\n" + b".line\r\n" * 30_000
        reply = f"S: +OK\r\n«message, {len(message)} octets»{ends}"
        found = await known(told(LOGIN, "C: RETR 2", reply), Stored(messages={(7, 3): message}))
        (_, piece) = found[3]
        assert piece.kept == message[: pieces * PIECE].replace(b"\n.", b"\n..")
        assert "broken off" in piece.notes[1]

    run(main())


@pytest.mark.parametrize(
    "events",
    [
        ("C: RETR 2", f"S: +OK 26 octets\r\n{SENT}"),
        (LOGIN, "C: RETR 1", f"S: +OK 26 octets\r\n{SENT}"),
        (LOGIN, "C: RETR 4", f"S: +OK 26 octets\r\n{SENT}"),
        (LOGIN, "C: RETR 2", "S: +OK 26 octets\r\n«message, 25 octets»\r\n."),
        (LOGIN, "C: XRETR 2", f"S: +OK 26 octets\r\n{SENT}"),
    ],
    ids=["not-told", "gone", "no-such", "another-size", "another-command"],
)
def test_what_may_be_another_message_stays_a_gap(events: tuple[str, ...]) -> None:
    async def main() -> None:
        assert await known(told(*events), STORED) == {}

    run(main())
