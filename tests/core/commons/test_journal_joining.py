"""A pen that joins the sandbox in which it is already looks no further than at one number."""

from __future__ import annotations

import pytest

from portyard.commons.journal.pen import ALWAYS_MOVES, Pen
from portyard.commons.journal.visits import Row
from tests.support.journal_desk import IdleDesk, pen_at


class Desk(IdleDesk):
    """One at which nothing is written; sandboxes have generations."""

    def __init__(self) -> None:
        self.generations = {"default": 1, "one": 1, "two": 1}
        self.asked = 0
        self.count = 7

    def generation_of(self, sandbox: str) -> int:
        self.asked += 1
        return self.generations[sandbox]

    def reset(self, sandbox: str) -> None:
        self.generations[sandbox] += 1
        self.count += 1

    def moved(self) -> int:
        return self.count


@pytest.fixture
def desk() -> Desk:
    return Desk()


def ask(pen: Pen, sandbox: str, *, parted: bool = True) -> None:
    """A request in a sandbox."""
    pen.command("GET /")
    if parted:
        pen.part()
    pen.join(sandbox)


@pytest.mark.parametrize("parted", [False, True])
def test_whoever_stays_where_it_is_asks_for_no_generation(desk: Desk, parted: bool) -> None:
    pen = pen_at(desk, moved=desk.moved)
    for _ in range(2):
        ask(pen, "one", parted=parted)
    before = desk.asked
    for _ in range(5):
        ask(pen, "one", parted=parted)
    assert desk.asked == before
    assert pen.visits.take() == []
    assert (pen.visits.sandbox, pen.visits.since) == ("one", 1)


@pytest.mark.parametrize("moved", ["the desk's", "at every look"])
def test_a_reset_begins_another_visit(desk: Desk, moved: str) -> None:
    pen = pen_at(desk, moved=desk.moved if moved == "the desk's" else ALWAYS_MOVES)
    for _ in range(3):
        ask(pen, "one")
    desk.reset("one")
    ask(pen, "one")
    assert (pen.visits.generation, pen.visits.since) == (2, 4)


@pytest.mark.parametrize("moved", ["the desk's", "at every look"])
def test_of_turns_in_two_sandboxes_each_sees_its_own(desk: Desk, moved: str) -> None:
    pen = pen_at(desk, moved=desk.moved if moved == "the desk's" else ALWAYS_MOVES)
    for sandbox in ("one", "one", "one", "two", "two", "one", "one"):
        ask(pen, sandbox)
    assert (pen.visits.sandbox, pen.visits.since) == ("one", 6)
    assert pen.visits.take() == [Row("one", 1, None, "1-3 "), Row("two", 1, None, "4-5 ")]


@pytest.mark.parametrize("moved", ["the desk's", "at every look"])
def test_one_more_beside_the_part_of_another_begins_where_that_part_does(desk: Desk, moved: str) -> None:
    pen = pen_at(desk, moved=desk.moved if moved == "the desk's" else ALWAYS_MOVES)
    for _ in range(3):
        ask(pen, "one")
    pen.join("two", also=True)  # within the last part
    pen.join("one", also=True)
    assert (pen.visits.sandbox, pen.visits.take()) == ("one", [Row("two", 1, 3, "")])
