"""What the journal costs: each room under full load by sessions that have a journal and by others that have none, in one process."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import estimating
from benchmarks.driver import Driver
from benchmarks.estimating import Slice, compare, per_unit, undisturbed
from benchmarks.figures import Outcome, Table, between, percent, shown, verdict
from benchmarks.loads import Load, chosen, fill, fill_journal
from benchmarks.plan import Plan
from benchmarks.slicing import JOURNAL_EVENTS, ROUNDS, SLICE_S, Slicer, Steered

LIMIT = 0.10
"""Wanted: what the journal may add to the time of a message or command."""
ON, OFF, AGAIN = "on", "off", "off again"
SIDES = (ON, OFF, AGAIN)
WORDS = {ON: "on", OFF: "off", AGAIN: "off"}
ROOM_S = 26.0  # for one room
Tell = Callable[[str], None]


@dataclass(slots=True)
class Found:
    """What was found of one room.

    Attributes:
        load: What was asked of it.
        slices: Every slice.
    """

    load: Load
    slices: list[Slice]

    @property
    def kept(self) -> list[Slice]:
        """Those that count."""
        return undisturbed(self.slices)

    def counted(self) -> str:
        """Of how many blocks how many count."""
        return f"{len({one.block for one in self.kept})} of {len({one.block for one in self.slices})}"


def measure(plan: Plan, folder: Path, tell: Tell) -> Outcome:
    """All of it."""
    found = []
    with contextlib.ExitStack() as running:
        testbed = Steered(folder)
        running.callback(testbed.stop)
        testbed.wait_open()
        fill(testbed, plan.connections)
        fill_journal(testbed, JOURNAL_EVENTS)
        loads = [load for load in chosen(plan.rooms) if load.journal]
        for number, load in enumerate(loads):
            tell(f"journal: {number + 1} of {len(loads)}, {load.title}")
            found.append(_room(testbed, load, plan))
    data = {room.load.key: [asdict(one) for one in room.slices] for room in found}
    return Outcome((_table(found),), data)


def _room(testbed: Steered, load: Load, plan: Plan) -> Found:
    """One room: a team of sessions with a journal, and two without, which have to come out alike."""
    with Driver() as driver:
        for number, side in enumerate(SIDES):
            testbed.steer(WORDS[side])
            driver.open(side, load.make(testbed, number * plan.connections, plan.connections))
        slicer = Slicer(
            testbed, driver, {side: side for side in SIDES}, WORDS, [ON], handed_on=load.handed_on, least=load.least
        )
        return Found(load, slicer.run(time.monotonic() + (1.0 if plan.quick else plan.room_s or ROOM_S)))


def _table(rooms: Sequence[Found]) -> Table:
    rows = []
    for room in rooms:
        kept = room.kept
        cost, null = compare(kept, ON, OFF), compare(kept, AGAIN, OFF)
        rows.append(
            (
                room.load.title,
                percent(cost.share),
                between(cost),
                verdict(cost.share, LIMIT),
                f"{percent(null.share)} ({between(null)})",
                *(shown(per_unit(kept, side, estimating.cpu) / 1000, 1) for side in (OFF, ON)),
                room.counted(),
            )
        )
    columns = (
        "room",
        "CPU more",
        "95 % interval",
        f"< {LIMIT:.0%}",
        "off against off",
        "µs off",
        "µs on",
        "blocks",
    )
    return Table("The journal's cost at full load, eight kept connections", columns, tuple(rows), NOTE)


DISTURBED = (
    "The intervals are a bootstrap's over blocks of slices. Blocks during which the host took more than "
    f"{estimating.STOLEN:.0%} of the machine away, or other programs had more than {estimating.OTHERS:.0%} of it, don't count; where most "
    "were so, all do."
)
NOTE = (
    "The processor time of a unit, everything included (the journal's writes, its dropping of old events, and the hops behind the MTA), "
    "of sessions that have a journal against others that have none, in one process: slices of some "
    f"{SLICE_S * 1000:.0f} ms in turn (of every room at once two rounds), each charged with all that it caused; what they noted is written "
    f"after {ROUNDS * 2}, as often as under such a load, and the journal is full ({JOURNAL_EVENTS:,} events), so that old ones go. "
    "Off means that nothing is noted and nothing is made only to be noted. "
    "“Off against off” compares two teams of sessions without a journal in the same run and ought to be nothing: it shows how fine the "
    f"measure is. {DISTURBED}"
)
