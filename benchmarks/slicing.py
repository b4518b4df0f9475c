"""Slices of work on a few sides in turn, each charged with all that it caused."""

from __future__ import annotations

import itertools
import os
import random
import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.driver import Driver
from benchmarks.estimating import Slice
from benchmarks.host import Host, cpu_ns, wait_idle
from benchmarks.processes import START_S, BenchmarkError, Testbed, family

SLICE_S = 0.1
LEAD_S = 0.008  # a side's first cycles after a change go uncounted: what it remembers has to come back to the processor
TRIAL_S = 0.3
POLL_S = 0.002
MAIL_LIMIT_S = 20.0
STEERED = str(Path(__file__).with_name("steered.py"))
Prepare = Callable[[str], None]


class Steered(Testbed):
    """A testbed that can be told to settle, and whether new sessions have a journal."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "steering"
        self._mail = folder / "state" / "mail.db"
        self._socket: socket.socket | None = None
        self._spool: sqlite3.Connection | None = None
        super().__init__(folder, str(folder / "state"), program=(STEERED, str(self._path)))
        self.pids: list[int] = []

    def wait_open(self, limit_s: float = START_S) -> None:
        """See Testbed; then it is steered."""
        super().wait_open(limit_s)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(MAIL_LIMIT_S)
        self._socket.connect(str(self._path))
        self._spool = sqlite3.connect(f"file:{self._mail}?mode=ro", uri=True, isolation_level=None)
        self.pids = family(self.process.pid)

    def stop(self) -> None:
        """See Program."""
        for each in (self._socket, self._spool):
            if each is not None:
                each.close()
        super().stop()

    def turn(self, *, journal: bool) -> None:
        """Say whether sessions that begin from now on have a journal."""
        self._say("on" if journal else "off")

    def settle(self) -> float:
        """Wait until mail that was accepted is delivered, what was noted is written, and nothing is done any more.

        Returns:
            When the mail was.
        """
        assert self._spool is not None
        deadline = time.monotonic() + MAIL_LIMIT_S
        while self._spool.execute("SELECT 1 FROM spool_recipients WHERE state = 'queued' LIMIT 1").fetchone():
            if time.monotonic() > deadline:
                raise BenchmarkError("accepted mail isn't delivered")
            time.sleep(POLL_S)
        delivered = time.monotonic()
        self._say("settle")
        wait_idle(self.pids)
        return delivered

    def cpu_ns(self) -> int:
        """Nanoseconds of processor time that it has used."""
        return sum(map(cpu_ns, self.pids))

    def _say(self, word: str) -> None:
        assert self._socket is not None
        self._socket.sendall(f"{word}\n".encode())
        if self._socket.recv(64) != b"done\n":
            raise BenchmarkError(f"{self.name} stopped: {self.last_words()}")


class Slicer:
    """Runs a room's slices.

    Args:
        testbed: The server.
        driver: The load.
        teams: The driver's team of each side.
        prepare: Puts the testbed in a side's setting.
        handed_on: A unit is done when its mail is delivered.
        slice_s: About how long a slice takes.
    """

    def __init__(
        self,
        testbed: Steered,
        driver: Driver,
        teams: dict[str, str],
        prepare: Prepare,
        handed_on: bool = False,
        slice_s: float = SLICE_S,
    ) -> None:
        self._testbed = testbed
        self._driver = driver
        self._teams = teams
        self._prepare = prepare
        self._handed_on = handed_on
        self._host = Host([*testbed.pids, driver.pid, os.getpid()])
        self._set = ""
        self._lead = self._cycles = 1
        self._calibrate(slice_s)

    def run(self, until: float) -> list[Slice]:
        """As many blocks as there is time for; in each, every side twice: in an order by chance, and back."""
        chance = random.Random(7)
        found: list[Slice] = []
        for block in itertools.count():
            order = list(self._teams)
            chance.shuffle(order)
            found += [self._slice(side, block) for side in (*order, *reversed(order))]
            if time.monotonic() > until:
                break
        return found

    def _calibrate(self, slice_s: float) -> None:
        """How many cycles make a slice: as many on every side."""
        rate = 0.0
        for side in self._teams:
            self._enter(side)
            cycles, seconds = self._driver.work(self._teams[side], seconds=TRIAL_S)
            rate = max(rate, cycles / seconds)
            self._testbed.settle()
        self._cycles = max(8, round(rate * slice_s))
        self._lead = max(8, round(rate * LEAD_S))

    def _enter(self, side: str) -> None:
        if side != self._set:
            self._prepare(side)
            self._set = side

    def _slice(self, side: str, block: int) -> Slice:
        self._enter(side)
        team = self._teams[side]
        self._driver.work(team, cycles=self._lead)
        self._testbed.settle()
        self._host.look()
        before, began = self._testbed.cpu_ns(), time.monotonic()
        units, seconds = self._driver.work(team, cycles=self._cycles)
        delivered = self._testbed.settle() - began
        seconds = delivered if self._handed_on else seconds
        used = self._testbed.cpu_ns() - before
        meanwhile = self._host.look()
        return Slice(side, block, units, seconds, used, meanwhile.stolen, meanwhile.others)
