"""A pen notes without its desk, and comes to it when there is a leaf."""

from __future__ import annotations

from dataclasses import dataclass, field

from portyard.commons.journal.model import JournalEvent
from portyard.commons.journal.packing import PAGE_OCTETS, unpacked
from portyard.commons.journal.pages import LONG, as_json, events, form
from portyard.commons.journal.pen import LEAF_EVENTS, PAGE_EVENTS, Pen
from tests.support.journal_desk import AT, IdleDesk, pen_at

_SENT = form("data", {"octets": 0, "text": "LINE"}, skip=1)


@dataclass
class FakeDesk(IdleDesk):
    """A desk that writes down what it is asked."""

    room: int = 1000
    bound: int = 0
    hurried: int = 0
    stirred: list[Pen] = field(default_factory=list)

    def generation_of(self, sandbox: str) -> int:
        return len(sandbox)

    def stir(self, pen: Pen) -> None:
        pen.stirred = True
        self.stirred.append(pen)

    def hurry(self) -> None:
        self.hurried += 1

    def takes(self, events: int) -> bool:
        self.bound += events
        return self.bound <= self.room


def taken(pen: Pen) -> list[JournalEvent]:
    found: list[JournalEvent] = []
    for count, body in pen.take():
        found += events(len(found) + 1, unpacked(body))
        assert found[-1].seq == len(found)
        assert count <= len(found)
    return found


def test_every_kind_of_note_is_counted_and_read() -> None:
    desk = FakeDesk()
    pen = pen_at(desk)
    pen.command(b"NOOP")
    pen.reply("ok")
    pen.event("data", octets=5)
    pen.event("unheard-of", text="x")
    pen.told("data", b'{"octets":6}')
    pen.authenticated("alice", "PLAIN")
    pen.noter(_SENT)(b"-x")
    assert pen.waiting == 7
    assert [(event.kind, event.fields) for event in taken(pen)] == [
        ("command", {"text": "NOOP"}),
        ("reply", {"text": "ok"}),
        ("data", {"octets": 5}),
        ("unheard-of", {"text": "x"}),
        ("data", {"octets": 6}),
        ("auth", {"account": "alice", "mechanism": "PLAIN"}),
        ("data", {"octets": 1, "text": "LINE 1 x"}),
    ]
    assert desk.stirred == [pen]
    assert pen.counted == {"command": 1, "reply": 1, "data": 3, "other": 1, "auth": 1}
    assert (pen.waiting, pen.stirred, pen.account, pen.take()) == (0, False, "alice", [])


def test_who_notes_after_it_was_taken_is_stirred_again() -> None:
    desk = FakeDesk()
    pen = pen_at(desk)
    note = pen.noter(_SENT)
    for _ in range(2):
        note(b"-x")
        note(b"-y")
        assert [event.fields["text"] for event in taken(pen)] == ["LINE 1 x", "LINE 1 y"]
    pen.join("t1")
    pen.command("x")
    assert desk.stirred[:2] == [pen, pen]
    assert (pen.stirred, pen.waiting) == (True, 1)


def test_a_full_leaf_is_bound_at_once() -> None:
    desk = FakeDesk()
    pen = pen_at(desk)
    for number in range(LEAF_EVENTS * 2 + 1):
        pen.command(f"C{number}")
    assert (len(pen.hows), len(pen.noted)) == (LEAF_EVENTS * 2, 3)
    assert (desk.bound, pen.waiting) == (LEAF_EVENTS * 2, LEAF_EVENTS * 2 + 1)
    assert [event.fields["text"] for event in taken(pen)] == [f"C{number}" for number in range(LEAF_EVENTS * 2 + 1)]


def test_what_its_desk_has_no_room_for_is_gone() -> None:
    desk = FakeDesk(room=LEAF_EVENTS)
    pen = pen_at(desk)
    for number in range(LEAF_EVENTS * 3):
        pen.reply(f"R{number}")
    assert (len(pen.hows), pen.noted) == (LEAF_EVENTS, [])
    assert taken(pen)[-1].fields == {"text": f"R{LEAF_EVENTS - 1}"}


def test_a_full_page_is_closed() -> None:
    pen = pen_at(FakeDesk(room=10**6))
    for number in range(PAGE_EVENTS + LEAF_EVENTS):
        pen.command(f"C{number}")
    assert [PAGE_EVENTS <= count < PAGE_EVENTS + LEAF_EVENTS for count, _ in pen.pages] == [True]
    assert pen.waiting == PAGE_EVENTS + LEAF_EVENTS
    assert [event.fields["text"] for event in taken(pen)] == [f"C{n}" for n in range(PAGE_EVENTS + LEAF_EVENTS)]


def test_a_page_of_many_octets_is_closed_and_lies_there_in_a_fraction_of_them() -> None:
    pen = pen_at(FakeDesk(room=10**6))
    lines = [f"{number} {'of many ' * (PAGE_OCTETS // 8 // LEAF_EVENTS)}" for number in range(3 * LEAF_EVENTS)]
    for line in lines:
        pen.command(line)
    assert [count for count, _ in pen.pages] == [LEAF_EVENTS] * 3
    assert all(len(body) < PAGE_OCTETS // 20 for _, body in pen.pages)
    assert [event.fields["text"] for event in taken(pen)] == lines


def test_long_fields_that_were_dropped_are_told_again() -> None:
    desk = FakeDesk(room=LEAF_EVENTS)
    pen = pen_at(desk)
    kept, dropped = (as_json({"text": letter * LONG}) for letter in "kd")
    pen.told("reply", kept)
    for _ in range(LEAF_EVENTS - 1):
        pen.command("x")
    for _ in range(LEAF_EVENTS):
        pen.told("reply", dropped)
    assert pen.noted == []
    for fields in (dropped, kept, dropped):
        pen.told("reply", fields)
    texts = [str(event.fields["text"])[0] for event in taken(pen)]
    assert texts == ["k", *"x" * (LEAF_EVENTS - 1), "d", "k", "d"]


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
