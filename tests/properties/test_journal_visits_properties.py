"""Whoever is in whichever part of a session: a sandbox sees its own parts and the preamble, and nothing of another's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from portyard.commons.journal.visits import LAST, WHOLE, Visits, shows, spans_of

NAMES = "abc"
PARTS = st.lists(
    st.tuples(st.lists(st.sampled_from(NAMES), max_size=3), st.integers(1, 3), st.booleans(), st.sampled_from(" abc")),
    max_size=12,
)


class Written:
    """What stands in the journal's tables."""

    def __init__(self, visits: Visits) -> None:
        self.visits = visits
        self.guests: dict[str, tuple[int, int | None, str]] = {}

    def write(self) -> None:
        for name, generation, since, spans in self.visits.take():
            before = self.guests.get(name)
            kept = before[2] if before is not None and before[0] == generation else ""
            self.guests[name] = (generation, since, kept + spans)

    def seen(self, name: str, generation: int, upto: int) -> set[int]:
        visits = self.visits
        known, since, spans = self.guests.get(name, (0, None, ""))
        if known != generation:
            since, spans = None, ""
        if name == visits.sandbox and visits.generation == generation:
            since = visits.since
        elif known != generation:
            return set()
        found = spans_of(visits.preamble, since, spans)
        return {number for number in range(1, upto + 1) if shows(found, number)}


@given(PARTS)
def test_each_sees_its_own(parts: list[tuple[list[str], int, bool, str]]) -> None:
    generations = dict.fromkeys(["default", *NAMES], 1)
    written = Written(Visits("default", 1))
    visits, number, first = written.visits, 1, None
    wanted: dict[str, set[int]] = {}
    last: list[str] = []
    joined = False
    for names, events, writes, reset in parts:
        if reset != " ":
            generations[reset] += 1
            wanted[reset] = set()
        number += 1
        visits.part(number)
        first = first or number
        for name in names:
            if not joined:  # the first name has all from the start
                joined, wanted[name] = True, set(range(1, number))
            if not visits.stays(name, generations[name]):
                visits.join(name, generations[name], number, also=True)
            wanted.setdefault(name, set())
        stay = last = list(names) or [name for name in last if name != reset]
        number += events - 1
        for name in stay:
            wanted[name] |= set(range(number - events + 1, number + 1))
        if writes:
            written.write()
    written.write()
    preamble = set(range(1, first)) if first else set()
    for name, numbers in wanted.items():
        seen = written.seen(name, generations[name], number)
        assert seen in (numbers, numbers | preamble)


@given(st.integers(0, 3), st.none() | st.integers(1, 30), st.lists(st.tuples(st.integers(1, 30), st.integers(0, 5))))
def test_spans_are_looked_up_as_they_were_written(
    preamble: int, since: int | None, some: list[tuple[int, int]]
) -> None:
    found = spans_of(preamble, since, "".join(f"{first}-{first + more} " for first, more in some))
    for number in range(1, 41):
        inside = number <= preamble or any(first <= number <= first + more for first, more in some)
        assert shows(found, number) == (inside or since == 1 or (since is not None and number >= since))
    assert shows(WHOLE, 1)
    assert shows(WHOLE, LAST)
