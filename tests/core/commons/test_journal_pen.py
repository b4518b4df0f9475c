"""A pen notes without its desk, and comes to it when there is a leaf."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from portyard.commons.journal.model import JournalEvent, SessionRecord
from portyard.commons.journal.pages import events, page
from portyard.commons.journal.pen import LEAF_EVENTS, Pen

AT = datetime(2026, 3, 4, tzinfo=UTC)


@dataclass
class FakeDesk:
    """A desk that writes down what it is asked."""

    room: int = 1000
    bound: int = 0
    hurried: int = 0
    stirred: list[Pen] = field(default_factory=list)
    counted: Counter[object] = field(default_factory=Counter)

    def generation_of(self, sandbox: str) -> int:
        return len(sandbox)

    def moment(self) -> str:
        return AT.isoformat()

    def now(self) -> datetime:
        return AT

    def stir(self, pen: Pen) -> None:
        pen.stirred = True
        self.stirred.append(pen)

    def hurry(self) -> None:
        self.hurried += 1

    def takes(self, events: int) -> bool:
        self.bound += events
        return self.bound <= self.room

    def tally(self, room: str, service: str) -> Counter[object]:
        assert (room, service) == ("mail", "mx")
        return self.counted


def pen_at(desk: FakeDesk) -> Pen:
    return Pen(desk, SessionRecord("s1", "mail", "mx", "default", "p", AT, None, None), "l", "in", None)


def taken(pen: Pen) -> list[JournalEvent]:
    return list(events(1, page([leaf for _, leaf in pen.take()])))


def test_every_kind_of_note_is_counted_and_read() -> None:
    desk = FakeDesk()
    pen = pen_at(desk)
    pen.command(b"NOOP")
    pen.reply("ok")
    pen.event("data", octets=5)
    pen.event("unheard-of", text="x")
    pen.told("data", b'{"octets":6}')
    pen.authenticated("alice", "PLAIN")
    assert pen.waiting == 6
    assert [(event.kind, event.fields) for event in taken(pen)] == [
        ("command", {"text": "NOOP"}),
        ("reply", {"text": "ok"}),
        ("data", {"octets": 5}),
        ("unheard-of", {"text": "x"}),
        ("data", {"octets": 6}),
        ("auth", {"account": "alice", "mechanism": "PLAIN"}),
    ]
    assert desk.stirred == [pen]
    assert desk.counted == {"command": 1, "reply": 1, b"data": 2, b"unheard-of": 1, b"auth": 1}
    assert (pen.waiting, pen.stirred, pen.account, pen.take()) == (0, False, "alice", [])


def test_a_full_leaf_is_bound_at_once() -> None:
    desk = FakeDesk()
    pen = pen_at(desk)
    for number in range(LEAF_EVENTS * 2 + 1):
        pen.command(f"C{number}")
    assert [count for count, _ in pen.leaves] == [LEAF_EVENTS, LEAF_EVENTS]
    assert (desk.bound, pen.waiting) == (LEAF_EVENTS * 2, LEAF_EVENTS * 2 + 1)
    assert [event.fields["text"] for event in taken(pen)] == [f"C{number}" for number in range(LEAF_EVENTS * 2 + 1)]


def test_what_its_desk_has_no_room_for_is_gone() -> None:
    desk = FakeDesk(room=LEAF_EVENTS)
    pen = pen_at(desk)
    for number in range(LEAF_EVENTS * 3):
        pen.reply(f"R{number}")
    assert (len(pen.leaves), pen.noted) == (1, [])
    assert taken(pen)[-1].fields == {"text": f"R{LEAF_EVENTS - 1}"}


def test_sandboxes_are_joined_and_the_end_is_hurried() -> None:
    desk = FakeDesk()
    pen = pen_at(desk)
    pen.join("t1", also=True)
    assert (pen.visits.sandbox, pen.visits.generation, pen.visits.take()) == ("t1", 2, [])
    pen.join("three", also=True)
    assert (pen.visits.sandbox, pen.visits.take()) == ("t1", [("three", 5, 1, "")])
    pen.close("done")
    pen.close("again")
    assert (pen.closed_at, desk.hurried) == (AT, 1)
    assert [event.fields for event in taken(pen)] == [{"reason": "done"}]
