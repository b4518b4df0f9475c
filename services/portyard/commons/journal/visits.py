"""Which sandboxes a session shows in, and which of its events in each.

A kept connection may be in one sandbox after the other: an HTTP client's pool that several tests use, a mail server's connection that is
kept for the next message. Each sandbox sees how the connection came about, and then its own parts alone; what was in it before it was reset
it doesn't see any more.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

Span = tuple[int, int]
"""The numbers of a first and a last event."""
LAST: Final = 1 << 62
"""The last event of a visit that goes on."""
WHOLE: Final[Sequence[Span]] = ((1, LAST),)
"""All events."""


class Row(NamedTuple):
    """What is written of a visit.

    Attributes:
        sandbox: Whose.
        generation: Of which generation.
        since: The number of its first event, where it goes on.
        spans: Those that are over, as text.
    """

    sandbox: str
    generation: int
    since: int | None
    spans: str


class _Visit(NamedTuple):
    generation: int
    since: int


class Visits:
    """Of one session.

    Args:
        sandbox: Where it is until it names another.
        generation: That one's.

    Attributes:
        sandbox: The one in which it is; of several at once the first.
        preamble: Events before the first part, which each sandbox sees.
        parted: Whether a part began in which nobody was joined.
    """

    __slots__ = ("_alone", "_joined", "_left", "_mark", "_new", "_open", "parted", "preamble", "sandbox")

    def __init__(self, sandbox: str, generation: int) -> None:
        self.sandbox = sandbox
        self.preamble = 0
        self._open = {sandbox: _Visit(generation, 1)}
        self._left: list[tuple[str, _Visit, int]] = []
        self._new: set[str] = set()
        self._mark = 1
        self._joined = False
        self.parted = False
        self._alone: tuple[str, int] | None = None  # sandbox and generation, where it joined one and is in no other

    @property
    def generation(self) -> int:
        """The sandbox's."""
        return self._open[self.sandbox].generation

    @property
    def since(self) -> int:
        """The number of the first event of its visit."""
        return self._open[self.sandbox].since

    def part(self, number: int) -> None:
        """A part begins, with the event of this number: whoever it is that is joined next, it is all theirs."""
        self._mark = number
        self.parted = True
        if not self.preamble:
            self.preamble = number - 1

    def stays(self, sandbox: str, generation: int) -> bool:
        """Whether joining this sandbox changes nothing: it is in it already, and in no other."""
        if self._alone != (sandbox, generation):
            return False
        self.parted = False
        return True

    def join(self, sandbox: str, generation: int, number: int, *, also: bool) -> None:
        """See SessionLog.

        Args:
            sandbox: Which.
            generation: Its generation at this moment.
            number: The last event's.
            also: It is one more in this part, and the others stay.
        """
        here = self._open.get(sandbox)
        since = self._mark
        if not self._joined:  # what nobody had named as his belongs to whoever names it first
            self._open.clear()
            since = 1
        elif self.parted or not also:
            for name in [name for name in self._open if name != sandbox]:
                self._leave(name, self._mark)
        if here is not None and here.generation != generation and sandbox in self._open:
            since = self._mark if self.parted else number  # nothing of before the reset
            self._leave(sandbox, since)
        self._joined, self.parted = True, False
        if sandbox not in self._open:
            self._open[sandbox] = _Visit(generation, since)
            self._new.add(sandbox)
        if self.sandbox not in self._open:
            self.sandbox = sandbox
        self._alone = (sandbox, generation) if len(self._open) == 1 else None

    def take(self) -> list[Row]:
        """What is to be written of visits that are over, or of others than the one in which it is."""
        rows: dict[tuple[str, int], Row] = {}
        for name, visit, last in self._left:
            before = rows.get((name, visit.generation))
            spans = f"{before.spans if before else ''}{visit.since}-{last} "
            rows[name, visit.generation] = Row(name, visit.generation, None, spans)
        for name in self._new & self._open.keys():
            if name != self.sandbox:
                visit = self._open[name]
                before = rows.get((name, visit.generation))
                rows[name, visit.generation] = Row(name, visit.generation, visit.since, before.spans if before else "")
        self._left.clear()
        self._new.clear()
        return list(rows.values())

    def _leave(self, name: str, upto: int) -> None:
        visit = self._open.pop(name)
        if visit.since < upto:
            self._left.append((name, visit, upto - 1))


def spans_of(preamble: int, since: int | None, spans: str) -> Sequence[Span]:
    """What a sandbox sees, in order and apart.

    Args:
        preamble: Events that everybody sees.
        since: The first event of the visit that goes on.
        spans: Those that are over, as they were written.
    """
    if since == 1:
        return WHOLE
    found = [(1, preamble)] if preamble else []
    for span in spans.split():
        first, _, last = span.partition("-")
        found.append((int(first), int(last)))
    if since is not None:
        found.append((since, LAST))
    return _merged(sorted(found))


def _merged(spans: Iterable[Span]) -> Sequence[Span]:
    merged: list[Span] = []
    for first, last in spans:
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def shows(spans: Sequence[Span], number: int) -> bool:
    """Whether an event is in one of them."""
    place = bisect_right(spans, (number, LAST))
    return place > 0 and number <= spans[place - 1][1]
