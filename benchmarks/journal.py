"""What the journal costs: each room under full load with the journal off and on in turn, in one process on one state directory."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.asking import PATIENCE_S, Asking
from benchmarks.figures import Outcome, Table, median, percentile, shown, spread, verdict
from benchmarks.load import Job
from benchmarks.plan import Plan
from benchmarks.processes import HOST, ROOT, BenchmarkError, Testbed, clean_environment
from benchmarks.shells import Shells
from benchmarks.smtp import drive

LIMIT = 0.10
"""Wanted: what the journal may add to the time of a message or command."""
LOGIN = ("alice@portyard.test", "alice-secret")
SERVER = str(Path(__file__).with_name("switched.py"))
SETTLE_S = 0.3  # until what a turn noted is written
TURN_S = 1.0  # many short turns: what else the host does lasts longer
TURNS = 3  # for each of the plan's rounds
Tell = Callable[[str], None]


@dataclass(slots=True)
class Room:
    """One room under load.

    Attributes:
        name: What the table calls it.
        unit: What is counted.
        job: What is sent.
        off: Microseconds of processor time a unit took without the journal, turn by turn.
        on: The same with it.
        off_rates: Units a second without it.
        rates: Units a second with it.
    """

    name: str
    unit: str
    job: Asking | Shells | Job
    off: list[float] = field(default_factory=list)
    on: list[float] = field(default_factory=list)
    off_rates: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def costs(self) -> list[float]:
        """What each pair of turns says: the share of processor time that the journal adds."""
        return [on / off - 1 for off, on in zip(self.off, self.on, strict=True)]

    def cost(self) -> float:
        """The share that is added, by the lower quartiles: whatever else the host does makes a turn dearer, never cheaper."""
        return percentile(self.on, 0.25) / percentile(self.off, 0.25) - 1

    def slower(self) -> float:
        """By what share of the units a second it is slower; likewise by the upper quartiles."""
        return 1 - percentile(self.rates, 0.75) / percentile(self.off_rates, 0.75)


class Switched(Testbed):
    """A testbed whose journal a file switches off."""

    def __init__(self, folder: Path) -> None:
        self.switch = folder / "journal-is-off"
        super().__init__(folder, str(folder / "state"), program=(SERVER, str(self.switch)))

    def turn(self, *, journal: bool) -> None:
        """Switch, for the sessions that begin from now on."""
        if journal:
            self.switch.unlink(missing_ok=True)
        else:
            self.switch.touch()


def measure(plan: Plan, folder: Path, tell: Tell) -> Outcome:
    """All of it."""
    with contextlib.ExitStack() as running:
        testbed = Switched(folder)
        running.callback(testbed.stop)
        testbed.wait_open()
        rooms = _rooms(testbed, plan)
        _fill(testbed, plan.connections)
        turns = 1 if plan.quick else plan.rounds * TURNS
        for number in range(turns + 1):
            for room in rooms:
                tell(f"journal: round {number + 1} of {turns + 1}, {room.name}")
                _pair(testbed, room, plan, first_on=bool(number % 2), counts=number > 0 or plan.quick)
    data = {room.name: {"off_us": room.off, "on_us": room.on, "rate": room.rates} for room in rooms}
    return Outcome((_table(rooms),), data)


def _rooms(testbed: Testbed, plan: Plan) -> list[Room]:
    def asking(
        port: str, prelude: list[tuple[str, str]], cycle: list[tuple[str, str]], greeted: str = "line"
    ) -> Asking:
        number, seconds = testbed.port(port), min(TURN_S, plan.round_s)
        return Asking(number, tuple(prelude), tuple(cycle), greeted, seconds, plan.connections)

    user, password = LOGIN
    web = (f"GET /get HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n", "body")
    key = base64.b64encode(bytes(16)).decode()
    upgrade = f"GET /echo HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    upgrade += f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    seconds = min(TURN_S, plan.round_s)
    base = Job(port=0, recipient="bob@portyard.test", seconds=seconds, connections=plan.connections)
    read = replace(base, reader_port=testbed.port("imap"), reader_login=("bob@portyard.test", "bob-secret"))
    return [
        Room("SMTP, the MTA accepts and hands on", "message", replace(read, port=testbed.port("smtp"))),
        Room("LMTP, into the store", "message", replace(base, port=testbed.port("lmtp"), lmtp=True)),
        Room(
            "IMAP: NOOP, FETCH flags, FETCH a message of 4 KiB",
            "three commands",
            asking(
                "imap",
                [(f"a LOGIN {user} {password}\r\n", "tagged"), ("a SELECT INBOX\r\n", "tagged")],
                [
                    ("a NOOP\r\n", "tagged"),
                    ("a FETCH 1 (UID FLAGS)\r\n", "tagged"),
                    ("a FETCH 1 (BODY.PEEK[])\r\n", "tagged"),
                ],
            ),
        ),
        Room(
            "POP3: STAT, LIST 1, RETR 1 (4 KiB)",
            "three commands",
            asking(
                "pop3",
                [("USER u%n@portyard.test\r\n", "line"), ("PASS portyard\r\n", "line")],
                [("STAT\r\n", "line"), ("LIST 1\r\n", "line"), ("RETR 1\r\n", "block")],
            ),
        ),
        Room("HTTP: GET /get", "request", asking("http", [], [web], greeted="")),
        Room(
            "WebSocket: a text frame, echoed",
            "frame",
            asking("ws", [(upgrade, "body")], [("\x81\x85\0\0\0\0hello", "frame")], greeted=""),
        ),
        Room(
            "FTP: PWD, TYPE I, NOOP",
            "three commands",
            asking(
                "ftp",
                [(f"USER {user}\r\n", "line"), (f"PASS {password}\r\n", "line")],
                [("PWD\r\n", "line"), ("TYPE I\r\n", "line"), ("NOOP\r\n", "line")],
            ),
        ),
    ]


def _fill(testbed: Testbed, drops: int) -> None:
    """Something to read: one message of 4 KiB for those who log in. A maildrop has one session at a time, so each has its own."""
    for recipient in (LOGIN[0], *(f"u{number}@portyard.test" for number in range(drops))):
        drive(Job(testbed.port("lmtp"), recipient, messages=1, connections=1, lmtp=True))


def _pair(testbed: Switched, room: Room, plan: Plan, *, first_on: bool, counts: bool) -> None:
    """One turn with the journal and one without; which is first changes, so that drift hits both."""
    found: dict[bool, tuple[float, float]] = {}
    for journal in (first_on, not first_on):
        testbed.turn(journal=journal)
        time.sleep(SETTLE_S)
        before = testbed.cpu_s()
        units, seconds = _drive(room.job)
        time.sleep(SETTLE_S)
        found[journal] = ((testbed.cpu_s() - before) / units * 1e6, units / seconds)
    if counts:
        room.off.append(found[False][0])
        room.on.append(found[True][0])
        room.off_rates.append(found[False][1])
        room.rates.append(found[True][1])


def _drive(job: Asking | Shells | Job, program: str = "benchmarks.asking") -> tuple[int, float]:
    """Units and seconds of one turn, by the program that does such jobs."""
    if isinstance(job, Job):
        result = drive(job)
        return result.messages, result.ended - result.began
    done = subprocess.run(
        [sys.executable, "-m", program],
        cwd=ROOT,
        env=clean_environment(),
        input=json.dumps(asdict(job)),
        capture_output=True,
        text=True,
        timeout=job.seconds + PATIENCE_S + 10,
        check=False,
    )
    asked: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {"trouble": done.stderr.strip()[-200:]}
    if asked["trouble"] or not asked["cycles"]:
        raise BenchmarkError(f"port {job.port}: {asked['trouble'] or 'nothing was answered'}")
    return asked["cycles"], asked["seconds"]


def _table(rooms: list[Room]) -> Table:
    rows = []
    for room in rooms:
        costs = [each * 100 for each in room.costs()]
        rows.append(
            (
                room.name,
                f"{shown(room.cost() * 100, 1)} %",
                verdict(room.cost(), LIMIT),
                f"{shown(median(costs), 1)} %",
                spread(costs, 1),
                shown(percentile(room.off, 0.25)),
                shown(percentile(room.on, 0.25)),
                f"{shown(room.slower() * 100, 1)} %",
                f"{shown(median(room.rates))} / s",
            )
        )
    columns = (
        "room",
        "CPU more",
        f"< {LIMIT:.0%}",
        "median pair",
        "lowest … highest",
        "µs off",
        "µs on",
        "slower",
        "units, journal on",
    )
    note = (
        "The processor time of a unit, everything included (the journal's writes and the hops behind the MTA, too), with the journal on "
        "against off: the lower quartiles of the turns, for what else the host does makes one dearer, never cheaper. Off means that "
        "nothing is noted and nothing is made only to be noted."
    )
    return Table("The journal's cost at full load, eight kept connections", columns, tuple(rows), note)
