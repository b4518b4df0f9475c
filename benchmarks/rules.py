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
from pathlib import Path
from typing import Any

from benchmarks import journal, sandboxes, scenario
from benchmarks.asking import Asking
from benchmarks.figures import Outcome, Table, median, percentile, shown, spread, verdict
from benchmarks.load import Job
from benchmarks.plan import Plan
from benchmarks.processes import HOST, Testbed
from benchmarks.shells import Shells
from benchmarks.smtp import drive
from portyard.commons.scenario.vocabulary import FieldKind, Vocabulary
from portyard.rooms import cards

LIMIT = 0.10
"""Wanted: what a thousand rules may add to the time of a command."""
RULES = 1000
LIVES = 200
Tell = Callable[[str], None]
_ROOMS = {
    "SMTP": "smtp",
    "LMTP": "smtp",
    "IMAP": "imap",
    "POP3": "pop3",
    "HTTP": "http",
    "WebSocket": "websocket",
    "FTP": "ftp",
    "DNS": "dns",
    "SFTP": "ssh",
    "SSH": "ssh",
}
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
    tell("rules: an event at the gate")
    events = asyncio.run(scenario.figures(folder / "gate", 0.05 if plan.quick else 0.4))
    lives = sandboxes.measure(20 if plan.quick else LIVES, folder, tell)
    rooms = _throughput(plan, folder, tell)
    data = {room.name: {"none_us": room.off, "rules_us": room.on, "rate": room.rates} for room in rooms}
    return Outcome((scenario.table(events), _table(rooms), lives), {"events_ns": events, "rooms": data})


def rules_of(vocabulary: Vocabulary, count: int = RULES) -> list[dict[str, Any]]:
    """Rules that match nothing: of every kind of pattern, on every field of every verb, a quarter of them on all verbs at once."""
    every = [
        (f"{vocabulary.room}.{verb}", name, field.kind)
        for verb, declared in vocabulary.verbs.items()
        if "hang_up" in declared.actions
        for name, field in declared.fields.items()
        if field.kind is not FieldKind.FLAG and not field.values and field.high is None
    ]
    common = [(f"{vocabulary.room}.*", name, FieldKind.TEXT) for name in ("peer", "account")]
    places: Iterator[tuple[str, str, FieldKind]] = itertools.cycle(
        place
        for first, *more in zip(itertools.cycle(common), *[iter(every * 3)] * 3, strict=False)
        for place in (first, *more)
    )
    return [
        {"on": on, "where": {name: _pattern(kind, number)}, "then": {"hang_up": True}}
        for number, (on, name, kind) in zip(range(count), places, strict=False)
    ]


def _pattern(kind: FieldKind, number: int) -> str | int:
    if kind is FieldKind.NUMBER:
        return 1_000_000_000 + number if number % 2 else f">{1_000_000_000 + number}"
    text = _TEXTS[number % len(_TEXTS)](number)
    return f"/{text}" if kind is FieldKind.PATH and text[0] not in "/*" else text


# ── throughput ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _throughput(plan: Plan, folder: Path, tell: Tell) -> list[journal.Room]:
    vocabularies = {card.name: card.vocabulary for card in cards() if card.vocabulary is not None}
    with contextlib.ExitStack() as running:
        testbed = Testbed(folder, str(folder / "state"))
        running.callback(testbed.stop)
        testbed.wait_open()
        rooms = _rooms(testbed, plan)
        journal._fill(testbed, plan.connections)
        turns = 1 if plan.quick else plan.rounds * 2
        for number in range(turns + 1):
            for room in rooms:
                tell(f"rules: round {number + 1} of {turns + 1}, {room.name}")
                rules = rules_of(vocabularies[_ROOMS[room.name.partition(":")[0].partition(",")[0]]])
                _pair(testbed, room, rules, first_on=bool(number % 2), counts=number > 0 or plan.quick)
    return rooms


def _rooms(testbed: Testbed, plan: Plan) -> list[journal.Room]:
    """Those whose journal is measured, and three more."""
    turn: dict[str, Any] = {"seconds": min(journal.TURN_S, plan.round_s), "connections": plan.connections}
    name = b"".join(bytes([len(label)]) + label for label in (b"portyard", b"test", b""))
    query = bytes((0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0)) + name + bytes((0, 15, 0, 1))  # MX, IN (RFC 1035 §4.1)
    resolve = ((query.decode("latin-1"), "resolved"),)
    dns, ssh = testbed.port("dns-udp"), testbed.port("ssh")
    return [
        *journal._rooms(testbed, plan),
        journal.Room(
            "DNS: an MX record, by UDP", "query", Asking(dns, (), resolve, greeted="", datagrams=True, **turn)
        ),
        journal.Room("SFTP: stat, open, read 4 KiB, close", "file", Shells(ssh, "sftp", journal.LOGIN, **turn)),
        journal.Room("SSH: exec echo", "command", Shells(ssh, "exec", journal.LOGIN, **turn)),
    ]


def _drive(job: Any) -> tuple[int, float]:  # noqa: ANN401 - any kind of job
    """Units and seconds of one turn; of mail that is handed on, until the last message is there."""
    if isinstance(job, Job):
        result = drive(job)
        return result.messages, max(result.ended, result.readable) - result.began
    return journal._drive(job, "benchmarks.shells" if isinstance(job, Shells) else "benchmarks.asking")


def _pair(testbed: Testbed, room: journal.Room, rules: list[dict[str, Any]], *, first_on: bool, counts: bool) -> None:
    """One turn beside the rules and one without; which is first changes."""
    found: dict[bool, tuple[float, float]] = {}
    for ruled in (first_on, not first_on):
        _set(testbed, rules if ruled else [])
        _drive(_short(room))  # the rules are read, and their index made, at the first event
        time.sleep(journal.SETTLE_S)
        before = testbed.cpu_s()
        units, seconds = _drive(room.job)
        time.sleep(journal.SETTLE_S)
        found[ruled] = ((testbed.cpu_s() - before) / units * 1e6, units / seconds)
    if counts:
        room.off.append(found[False][0])
        room.on.append(found[True][0])
        room.off_rates.append(found[False][1])
        room.rates.append(found[True][1])


def _short(room: journal.Room) -> Any:  # noqa: ANN401 - any kind of job
    return type(room.job)(**{**_fields(room.job), "seconds": 0.1})


def _fields(job: object) -> dict[str, Any]:
    return {name: getattr(job, name) for name in type(job).__slots__}  # type: ignore[attr-defined]


def _set(testbed: Testbed, rules: list[dict[str, Any]]) -> None:
    """These rules and no other in `default`."""
    client = http.client.HTTPConnection(HOST, testbed.port("console"), timeout=60)
    path = "/api/v1/sandboxes/default/rules"
    for method, body in (("DELETE", None), ("POST", json.dumps(rules))):
        if body != "[]":
            client.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            answer = client.getresponse()
            told = answer.read()
            if answer.status >= 300:
                raise RuntimeError(f"{method} {path}: {answer.status} {told[:300]!r}")
    client.close()


def _table(rooms: list[journal.Room]) -> Table:
    rows = []
    for room in rooms:
        costs = [each * 100 for each in room.costs()]
        slower = room.slower()
        rows.append(
            (
                room.name,
                f"{shown(slower * 100, 1)} %",
                verdict(slower, LIMIT),
                f"{shown(room.cost() * 100, 1)} %",
                spread(costs, 1),
                shown(percentile(room.off, 0.25)),
                shown(percentile(room.on, 0.25)),
                f"{shown(median(room.rates))} / s",
            )
        )
    columns = (
        "room",
        "slower",
        f"< {LIMIT:.0%}",
        "CPU more",
        "lowest … highest",
        "µs without",
        "µs with",
        "units, with rules",
    )
    note = (
        f"Units a second, and the processor time of one, beside {RULES} rules that don't match (exact text, globs, expressions and numbers "
        "on every field of every verb) against none: the upper quartiles of the turns' units a second and the lower ones of their "
        "processor time, turn by turn in one testbed."
    )
    return Table(f"{RULES} rules that don't match, at full load, eight kept connections", columns, tuple(rows), note)
