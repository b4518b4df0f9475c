"""The view: sequence numbers hold until an EXPUNGE is told."""

from __future__ import annotations

import pytest

from portyard.commons.mailstore.model import Changes, Entry, Mailbox
from portyard.imap.core.model import STAR, SequenceSet
from portyard.imap.core.view import RECENT, View

BOX = Mailbox(1, 1, "INBOX", 7, 100, 5, False, None, 4, 4, 0, 1)


def view_of(*uids: int, recent_from: int = 1000) -> View:
    return View(BOX, [Entry(uid, frozenset(), 1) for uid in uids], recent_from, read_only=False)


def numbers(*ranges: tuple[int, int]) -> SequenceSet:
    return SequenceSet(ranges)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (numbers((1, 1)), [0]),
        (numbers((3, 2), (2, 4)), [1, 2, 3]),
        (numbers((STAR, STAR)), [3]),
        (numbers((STAR, 3)), [2, 3]),
        (numbers((1, STAR)), [0, 1, 2, 3]),
        (numbers((5, 5)), None),
        (numbers((2, 9)), None),
    ],
)
def test_sequence_numbers(asked: SequenceSet, found: list[int] | None) -> None:
    assert view_of(10, 20, 30, 40).by_number(asked) == found


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (numbers((15, 35)), [1, 2]),
        (numbers((40, 40), (10, 20)), [0, 1, 3]),
        (numbers((99, STAR)), [3]),
        (numbers((11, 12)), []),
    ],
)
def test_uids(asked: SequenceSet, found: list[int]) -> None:
    assert view_of(10, 20, 30, 40).by_uid(asked) == found


def test_an_empty_mailbox_has_no_star() -> None:
    assert view_of().by_number(numbers((1, STAR))) is None
    assert view_of().by_uid(numbers((1, STAR))) == []


def test_numbers_move_only_when_told() -> None:
    view = view_of(10, 20, 30, 40)
    fresh, changed = view.take(Changes(9, (Entry(50, frozenset({"a"}), 8),), (10, 30, 77)), recent_from=50)
    assert (fresh, changed) == (True, [])
    assert len(view) == 5
    assert view.tell_gone() == [1, 2]
    assert list(view.uids) == [20, 40, 50]
    assert view.tell_gone() == []
    assert view.shown_flags(2) == {"a", RECENT}


def test_flags_that_did_not_change_are_not_told() -> None:
    view = view_of(10, 20)
    change = Changes(9, (Entry(10, frozenset(), 8), Entry(20, frozenset({"\\Seen"}), 9)), ())
    assert view.take(change, recent_from=1000) == (False, [1])
    assert view.take(change, recent_from=1000) == (False, [])
    assert view.modseq == 9


def test_keywords_keep_their_first_case() -> None:
    view = view_of(10)
    view.set_flags(Entry(10, frozenset({"$Junk"}), 2))
    assert view.canonical(["$JUNK", "\\Seen", "New"]) == {"$Junk", "\\Seen", "New"}
