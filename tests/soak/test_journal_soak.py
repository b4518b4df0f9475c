"""All rooms under full load for minutes: the journal keeps its bounds, and neither memory nor the state directory goes on growing.

`make soak` runs it; SOAK_SECONDS says for how long.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import imaplib
import os
import sqlite3
import statistics
import time
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from benchmarks.asking import Asking
from benchmarks.asking import run as ask
from benchmarks.load import Job
from benchmarks.load import run as send
from portyard.commons.journal.writing import PRUNE_EVENTS, PRUNE_OCTETS
from tests.support.control import Console
from tests.support.process import Running, serving

SECONDS = float(os.environ.get("SOAK_SECONDS", "300"))
EVENTS = 60_000  # that the journal may keep
OCTETS = 16 << 20
TURN_S = 3.0  # of one room's connections, which are new ones each time
GROWTH = 3 << 20  # octets a minute that the second half may show: mail that was read lies some minutes before it goes
FULL_LOG = (
    20 << 20
)  # octets of a write-ahead log of SQLite's when it is begun anew, some 16 MiB, and what goes on meanwhile
PROGRESS_S = 15.0
LOGIN = ("alice@portyard.test", "alice-secret")


@dataclass(slots=True)
class Course:
    """What was seen, second by second.

    Attributes:
        moments: Monotonic seconds since the start.
        memory: Resident octets.
        disk: Octets of the state directory.
        asked: Cycles that were answered, by room.
        ended: Every session that was seen to have ended, oldest first.
    """

    began: float = field(default_factory=time.monotonic)
    moments: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    disk: list[int] = field(default_factory=list)
    asked: dict[str, int] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)

    def look(self, testbed: Running) -> None:
        """Note how things stand."""
        self.moments.append(time.monotonic() - self.began)
        self.memory.append(testbed.resident_kilobytes << 10)
        self.disk.append(sum(_sizes(testbed.state)))

    def growth(self, values: Sequence[int]) -> float:
        """Octets a minute by which the second half rose: from the median of its first third to that of its last."""
        half = [(at, value) for at, value in zip(self.moments, values, strict=True) if at > self.moments[-1] / 2]
        third = len(half) // 3
        first, last = half[:third], half[-third:]
        rise = statistics.median(v for _, v in last) - statistics.median(v for _, v in first)
        minutes = (statistics.median(at for at, _ in last) - statistics.median(at for at, _ in first)) / 60
        return rise / minutes

    def told(self) -> str:
        """A line for people."""
        asked = " ".join(f"{room} {count:,}" for room, count in self.asked.items())
        return f"{self.moments[-1]:5.0f} s  memory {self.memory[-1] / 1e6:.1f} MB  state {self.disk[-1] / 1e6:.1f} MB  {asked}"


def _sizes(folder: Path) -> Iterator[int]:
    """Of all files; a write-ahead log's is that of a full one, for it fills once, for minutes, and is then written over."""
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # it went meanwhile
            yield max(path.stat().st_size, FULL_LOG if path.name.endswith("-wal") else 0)


def jobs(testbed: Running) -> dict[str, Asking]:
    """What is asked of each room, again and again."""

    def asking(
        port: str, prelude: list[tuple[str, str]], cycle: list[tuple[str, str]], greeted: str = "line"
    ) -> Asking:
        return Asking(testbed.port(port), tuple(prelude), tuple(cycle), greeted, TURN_S, 3)

    user, password = LOGIN
    token = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
    envelope = [
        ("MAIL FROM:<a@b.test>\r\n", "line"),
        ("RCPT TO:<bob@portyard.test>\r\n", "line"),
        ("RSET\r\n", "line"),
    ]
    upgrade = (
        "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    )
    upgrade += f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}\r\n\r\n"
    query = "\0\x1f\0\x07\x01\0\0\x01\0\0\0\0\0\0\x08portyard\x04test\0\0\x0f\0\x01"
    return {
        "mta": asking("smtp", [("EHLO x\r\n", "line")], envelope),
        "mda": asking("lmtp", [("LHLO x\r\n", "line")], envelope),
        "msa": asking("submission", [("EHLO x\r\n", "line"), (f"AUTH PLAIN {token}\r\n", "line")], envelope),
        "imap": asking(
            "imap",
            [(f"a LOGIN {user} {password}\r\n", "tagged"), ("a SELECT INBOX\r\n", "tagged")],
            [("a NOOP\r\n", "tagged"), ("a FETCH 1 (FLAGS BODY.PEEK[])\r\n", "tagged")],
        ),
        "pop3": asking(
            "pop3", [("USER u%n@portyard.test\r\n", "line"), ("PASS portyard\r\n", "line")], [("STAT\r\n", "line")]
        ),
        "http": asking("http", [], [("GET /get HTTP/1.1\r\nHost: x\r\n\r\n", "body")], ""),
        "ws": asking("ws", [(upgrade, "body")], [("\x81\x85\0\0\0\0hello", "frame")], ""),
        "ftp": asking("ftp", [(f"USER {user}\r\n", "line"), (f"PASS {password}\r\n", "line")], [("PWD\r\n", "line")]),
        "dns": asking("dns-tcp", [], [(query, "prefixed")], ""),
    }


async def keep_asking(course: Course, room: str, job: Asking) -> None:
    while time.monotonic() - course.began < SECONDS:
        result = await ask(job)
        assert not result.trouble, f"{room}: {result.trouble}"
        course.asked[room] = course.asked.get(room, 0) + result.cycles


async def keep_executing(course: Course, port: int) -> None:
    login: dict[str, Any] = {"username": "alice", "password": LOGIN[1], "known_hosts": None, "config": None}
    while time.monotonic() - course.began < SECONDS:
        async with asyncssh.connect("127.0.0.1", port, client_keys=None, **login) as connection:
            for _ in range(20):
                await connection.run("echo hello")
        course.asked["ssh"] = course.asked.get("ssh", 0) + 20


async def keep_delivering(course: Course, port: int, console: Console) -> None:
    """A trickle of mail, and a reset now and then, as tests do."""
    while time.monotonic() - course.began < SECONDS:
        result = await send(Job(port, "someone@soak.test", messages=5, connections=1, lmtp=True, octets=1024))
        assert not result.trouble, result.trouble
        await asyncio.to_thread(console.ask, "sandboxes/soak/reset", method="POST")
        await rest(console, 3.0)


async def keep_looking(course: Course, testbed: Running, console: Console, living: imaplib.IMAP4) -> None:
    told = 0.0
    while time.monotonic() - course.began < SECONDS:
        await asyncio.to_thread(living.noop)
        sessions = await asyncio.to_thread(console.get, "sessions", limit=500)
        course.ended |= {session["id"] for session in sessions if session["closed_at"] is not None}
        course.look(testbed)
        if course.moments[-1] - told > PROGRESS_S:
            told = course.moments[-1]
            print(course.told(), flush=True)
        await rest(console, 1.0)


async def rest(console: Console, seconds: float) -> None:
    """Let the testbed do the waiting: for a message that never comes."""
    found = await asyncio.to_thread(console.get, "messages/wait", subject="no such subject", count=1, timeout=seconds)
    assert not found["satisfied"]


async def load(course: Course, testbed: Running, console: Console, living: imaplib.IMAP4) -> None:
    for number in range(3):
        job = Job(testbed.port("lmtp"), f"u{number}@portyard.test", messages=1, connections=1, lmtp=True)
        assert not (await send(job)).trouble
    assert not (await send(Job(testbed.port("lmtp"), LOGIN[0], messages=1, connections=1, lmtp=True))).trouble
    work: list[Coroutine[Any, Any, None]] = [keep_asking(course, room, job) for room, job in jobs(testbed).items()]
    work.append(keep_executing(course, testbed.port("ssh")))
    work.append(keep_delivering(course, testbed.port("lmtp"), console))
    work.append(keep_looking(course, testbed, console, living))
    async with asyncio.TaskGroup() as group:
        for each in work:
            group.create_task(each)


def everything_kept(state: Path) -> tuple[list[str], int, int]:
    """The ended sessions that are left, oldest first, and how many events and octets the journal has."""
    with contextlib.closing(sqlite3.connect(f"file:{state / 'journal.db'}?mode=ro", uri=True)) as connection:
        ended = [
            row[0] for row in connection.execute("SELECT id FROM sessions WHERE closed_at IS NOT NULL ORDER BY id")
        ]
        ((events, octets),) = connection.execute("SELECT SUM(events - gone), SUM(octets) FROM sessions")
        ((stored, pages),) = connection.execute("SELECT SUM(LENGTH(body)), COUNT(*) FROM pages")
    assert octets == stored + 64 * pages, "what is counted is what is there"
    return ended, events, octets


@pytest.mark.soak
def test_minutes_of_full_load_leave_memory_and_disk_where_they_were(tmp_path: Path) -> None:
    limits = {"PORTYARD_LIMITS_JOURNAL_EVENTS": str(EVENTS), "PORTYARD_LIMITS_JOURNAL_BYTES": str(OCTETS)}
    with serving(tmp_path, "all", **limits) as testbed:
        console = Console(testbed.port("console"))
        console.ask("sandboxes", method="POST", body={"name": "soak"})
        living = imaplib.IMAP4("127.0.0.1", testbed.port("imap"))
        living.login("bob@portyard.test", "bob-secret")
        (oldest,) = console.get("sessions", room="imap")
        course = Course()
        asyncio.run(load(course, testbed, console, living))

        memory, disk = course.growth(course.memory), course.growth(course.disk)
        ended, events, octets = everything_kept(tmp_path)
        print(course.told())
        print(
            f"        growth a minute: memory {memory / 1e6:+.2f} MB, state {disk / 1e6:+.2f} MB; "
            f"kept: {events:,} events, {octets / 1e6:.1f} MB, {len(ended):,} ended sessions of {len(course.ended):,} that were seen"
        )
        assert events <= EVENTS + 2 * PRUNE_EVENTS
        assert octets <= OCTETS + PRUNE_OCTETS + (8 << 20)
        assert len(course.ended - set(ended)) > 0, "too little was said to pass a bound: ask for more SOAK_SECONDS"
        assert max(course.ended - set(ended)) < ended[0], "the oldest go first"
        alive = console.get(f"sessions/{oldest['id']}")
        assert [event["kind"] for event in alive["events"]][:2] == ["opened", "greeting"]
        assert sum(event["fields"].get("text", "").endswith("NOOP") for event in alive["events"]) > 10
        assert alive["events"][-1]["seq"] >= 2 * len(course.moments), (
            "each look begins with a NOOP, the newest are kept"
        )
        living.logout()
        assert memory < GROWTH
        assert disk < GROWTH
