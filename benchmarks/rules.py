"""What rules that don't match cost: an event at the gate, and each room's throughput beside a thousand of them.

Rules are set and removed turn by turn in one testbed, so that drift of the machine hits both sides.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import estimating, sandboxes, scenario
from benchmarks.driver import Driver
from benchmarks.estimating import compare, per_unit
from benchmarks.figures import Outcome, Table, between, percent, shown, verdict
from benchmarks.journal import DISTURBED, Found
from benchmarks.loads import Load, chosen, fill
from benchmarks.plan import Plan
from benchmarks.processes import HOST
from benchmarks.slicing import SLICE_S, Slicer, Steered
from portyard.commons.scenario.vocabulary import FieldKind, Vocabulary
from portyard.rooms import cards

LIMIT = 0.10
"""Wanted: what a thousand rules may add to the time of a command."""
RULES = 1000
LIVES = 200
Tell = Callable[[str], None]
ROOM_S = 24.0  # for one room
RULED, NONE, AGAIN = "rules", "none", "none again"
SIDES = (RULED, NONE, AGAIN)
WORDS = {RULED: "ruled", NONE: "bare", AGAIN: "bare"}
_TEXTS: tuple[Callable[[int], str], ...] = (
    lambda n: f"nobody{n}@nowhere.test",
    lambda n: f"*@nowhere{n}.test",
    lambda n: f"nobody{n}*",
    lambda n: f"*nobody{n}*",
    lambda n: f"/nobody{n}[.@].*where$/",
    lambda n: f"/^(no|any)body{n}\\b/i",
)


def measure(plan: Plan, folder: Path, tell: Tell) -> Outcome:
    """All of it."""
    if plan.rooms:
        rooms = _throughput(plan, folder, tell)
        return Outcome((_table(rooms),), {"rooms": _data(rooms)})
    tell("rules: an event at the gate")
    events = asyncio.run(scenario.figures(folder / "gate", 0.05 if plan.quick else 0.4))
    lives = sandboxes.measure(20 if plan.quick else LIVES, folder, tell)
    rooms = _throughput(plan, folder, tell)
    return Outcome((scenario.table(events), _table(rooms), lives), {"events_ns": events, "rooms": _data(rooms)})


def _data(rooms: list[Found]) -> dict[str, Any]:
    return {room.load.key: [asdict(one) for one in room.slices] for room in rooms}


def rules_of(vocabulary: Vocabulary, count: int = RULES) -> list[dict[str, Any]]:
    """Rules that match nothing: of every kind of pattern, on every field of every verb, a quarter of them on all verbs at once."""
    every = [
        (f"{vocabulary.room}.{verb}", name, field.kind)
        for verb, declared in vocabulary.verbs.items()
        if "hang_up" in declared.actions
        for name, field in declared.fields.items()
        if field.kind is not FieldKind.FLAG and not field.values and field.high is None
    ]
    logins = {*(vocabulary.roles or (vocabulary.room,))} - vocabulary.anonymous
    common = [(f"{vocabulary.room}.*", name, FieldKind.TEXT) for name in ("peer", *(("account",) if logins else ()))]
    places: Iterator[tuple[str, str, FieldKind]] = itertools.cycle(
        place
        for first, *more in zip(itertools.cycle(common), *[iter(every * 3)] * 3, strict=False)
        for place in (first, *more)
    )
    return [
        {
            "on": on,
            "where": {name: _peer(number) if name == "peer" else _pattern(name, kind, number)},
            "then": {"hang_up": True},
        }
        for number, (on, name, kind) in zip(range(count), places, strict=False)
    ]


def _peer(number: int) -> str:
    high, low = divmod(number, 250)
    return (f"10.{high}.{low}.7", f"10.{high}.{low}.*", rf"/^10\.{high}\.{low}\./")[number % 3]


def _pattern(name: str, kind: FieldKind, number: int) -> str | int:
    if kind is FieldKind.NUMBER:
        return 1_000_000_000 + number if number % 2 else f">{1_000_000_000 + number}"
    text = _TEXTS[number % len(_TEXTS)](number)
    if name == "server_name":
        text = text.replace("@", "-")  # no host has one
    return f"/{text}" if kind is FieldKind.PATH and text[0] not in "/*" else text


# ── throughput ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _throughput(plan: Plan, folder: Path, tell: Tell) -> list[Found]:
    vocabularies = {card.name: card.vocabulary for card in cards() if card.vocabulary is not None}
    found = []
    with contextlib.ExitStack() as running:
        testbed = Steered(folder)
        running.callback(testbed.stop)
        testbed.wait_open()
        fill(testbed, plan.connections)
        loads = chosen(plan.rooms)
        for number, load in enumerate(loads):
            tell(f"rules: {number + 1} of {len(loads)}, {load.title}")
            found.append(_room(testbed, load, _rules(vocabularies, load.room), plan))
    return found


def _rules(vocabularies: dict[str, Vocabulary], room: str) -> list[dict[str, Any]]:
    """A room's rules, or as many of all rooms."""
    if room:
        return rules_of(vocabularies[room])
    share = -(-RULES // len(vocabularies))
    return [rule for each in vocabularies.values() for rule in rules_of(each, share)][:RULES]


def _room(testbed: Steered, load: Load, rules: list[dict[str, Any]], plan: Plan) -> Found:
    """One room: the same sessions beside the rules and without, and without once more, which has to come out alike."""
    client = http.client.HTTPConnection(HOST, testbed.port("console"), timeout=60)
    with contextlib.closing(client), Driver() as driver:
        ask(client, "POST", json.dumps(rules))
        driver.open("all", load.make(testbed, 0, plan.connections))
        slicer = Slicer(
            testbed,
            driver,
            dict.fromkeys(SIDES, "all"),
            WORDS,
            SIDES,
            handed_on=load.handed_on,
            least=load.least,
            lead=True,
        )
        found = slicer.run(time.monotonic() + (1.0 if plan.quick else plan.room_s or ROOM_S))
        ask(client, "DELETE", None)
        testbed.steer("ruled")
    return Found(load, found)


def ask(client: http.client.HTTPConnection, method: str, body: str | None) -> None:
    """Set rules in `default`, or remove them all."""
    path = "/api/v1/sandboxes/default/rules"
    client.request(method, path, body, {"Content-Type": "application/json"} if body else {})
    answer = client.getresponse()
    told = answer.read()
    if answer.status >= 300:
        raise RuntimeError(f"{method} {path}: {answer.status} {told[:300]!r}")


def _table(rooms: list[Found]) -> Table:
    rows = []
    for room in rooms:
        kept = room.kept
        slower, null = (compare(kept, side, NONE, estimating.time) for side in (RULED, AGAIN))
        cost = compare(kept, RULED, NONE)
        seconds = per_unit(kept, RULED, estimating.time)
        rows.append(
            (
                room.load.title,
                percent(slower.share),
                between(slower),
                verdict(slower.share, LIMIT),
                f"{percent(null.share)} ({between(null)})",
                f"{percent(cost.share)} ({between(cost)})",
                *(shown(per_unit(kept, side, estimating.cpu) / 1000, 1) for side in (NONE, RULED)),
                f"{shown(1 / seconds)} / s",
                room.counted(),
            )
        )
    columns = (
        "room",
        "time more",
        "95 % interval",
        f"< {LIMIT:.0%}",
        "none against none",
        "CPU more",
        "µs without",
        "µs with",
        "units, with rules",
        "blocks",
    )
    note = (
        f"How much longer a unit takes, and how much more processor time, beside {RULES} rules that don't match (exact text, globs, "
        "expressions and numbers on every field of every verb) than beside none: the same sessions in one testbed, with slices of some "
        f"{SLICE_S * 1000:.0f} ms in turn. “None against none” compares slices without a rule with others without one in the same run and "
        f"ought to be nothing: it shows how fine the measure is. {DISTURBED}"
    )
    return Table(f"{RULES} rules that don't match, at full load, eight kept connections", columns, tuple(rows), note)
