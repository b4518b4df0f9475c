"""Slices of work on a few sides in turn, each charged with all that it caused."""

from __future__ import annotations

import itertools
import os
import random
import socket
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.driver import Driver
from benchmarks.estimating import Slice
from benchmarks.host import Host, cpu_ns, wait_idle
from benchmarks.processes import START_S, BenchmarkError, Testbed, family

SLICE_S = 0.025
ROUNDS = 4  # of a block, each side twice in each: what they noted is written at its end, as often as it would be under such a load
TRIAL_S = 0.3
JOURNAL_EVENTS = 100_000  # so few that the journal is soon full, and each event paid for by dropping another
POLL_S = 0.002
MAIL_LIMIT_S = 20.0
STEERED = str(Path(__file__).with_name("steered.py"))


class Steered(Testbed):
    """A testbed that can be told to settle, whether new sessions have a journal, and whether rules are in force.

    Args:
        folder: For its output and its state.

    Attributes:
        state: The state directory.
        pids: Its processes.
    """

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self._path = folder / "steering"
        self._socket: socket.socket | None = None
        self._spool: sqlite3.Connection | None = None
        settings = {"PORTYARD_LIMITS_JOURNAL_EVENTS": str(JOURNAL_EVENTS)}
        super().__init__(folder, str(self.state), program=(STEERED, str(self._path)), settings=settings)
        self.pids: list[int] = []

    def wait_open(self, limit_s: float = START_S) -> None:
        """See Testbed; then it is steered."""
        super().wait_open(limit_s)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(MAIL_LIMIT_S)
        self._socket.connect(str(self._path))
        self._spool = sqlite3.connect(f"file:{self.state / 'mail.db'}?mode=ro", uri=True, isolation_level=None)
        self.pids = family(self.process.pid)

    def stop(self) -> None:
        """See Program."""
        for each in (self._socket, self._spool):
            if each is not None:
                each.close()
        super().stop()

    def steer(self, word: str) -> None:
        """Say what is the case from now on; see `steered` for the words."""
        self._say(word)

    def settle(self) -> float:
        """Wait until mail that was accepted is delivered, and nothing is done any more.

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
        words: What the testbed is told before a side's slice.
        journal: The sides whose slices are noted: what writing costs is theirs in equal parts.
        handed_on: A unit is done when its mail is delivered.
        least: Units of a slice, at least.
        lead: Whether a side's first cycles go uncounted: what is remembered between two events is another's then.
    """

    def __init__(
        self,
        testbed: Steered,
        driver: Driver,
        teams: dict[str, str],
        words: dict[str, str],
        journal: Sequence[str],
        *,
        handed_on: bool = False,
        least: int = 8,
        lead: bool = False,
    ) -> None:
        self._testbed = testbed
        self._driver = driver
        self._teams = teams
        self._words = words
        self._journal = journal
        self._handed_on = handed_on
        self._least = least
        self._lead = 2 * least if lead else 0
        self._host = Host([*testbed.pids, driver.pid, os.getpid()])
        self._word = ""
        self._cycles = 1
        self._calibrate()

    def run(self, until: float) -> list[Slice]:
        """As many blocks as there is time for."""
        chance = random.Random(7)
        found: list[Slice] = []
        self._testbed.steer("hold")
        self._write()
        for block in itertools.count():
            found += self._block(block, chance)
            if time.monotonic() > until:
                break
        return found

    def _block(self, block: int, chance: random.Random) -> list[Slice]:
        """A few rounds, in each of which every side has its slice twice, in an order by chance and back; then what was noted is written."""
        self._host.look()
        slices = []
        order = list(self._teams)
        for _ in range(ROUNDS):
            chance.shuffle(order)
            slices += [self._slice(side) for side in (*order, *reversed(order))]
        used = self._write()
        slices += [Slice(side, block, 0, 0.0, used // len(self._journal)) for side in self._journal]
        meanwhile = self._host.look()
        return [replace(one, block=block, stolen=meanwhile.stolen, others=meanwhile.others) for one in slices]

    def _calibrate(self) -> None:
        """How many cycles make a slice: as many on every side. Before that, what is slow once is done."""
        rate = 0.0
        for side, team in self._teams.items():
            self._enter(side)
            cycles, seconds = self._driver.work(team, seconds=TRIAL_S)
            rate = max(rate, cycles / seconds)
            self._testbed.settle()
        self._cycles = max(self._least, round(rate * SLICE_S))

    def _enter(self, side: str) -> bool:
        """Put the testbed in a side's setting; whether it was in another."""
        changes = self._words[side] != self._word
        if changes:
            self._testbed.steer(self._words[side])
            self._word = self._words[side]
        return changes

    def _slice(self, side: str) -> Slice:
        team = self._teams[side]
        if self._enter(side) and self._lead:
            self._driver.work(team, cycles=self._lead)
            self._testbed.settle()
        before, began = self._testbed.cpu_ns(), time.monotonic()
        units, seconds = self._driver.work(team, cycles=self._cycles)
        delivered = self._testbed.settle() - began
        used = self._testbed.cpu_ns() - before
        return Slice(side, 0, units, delivered if self._handed_on else seconds, used)

    def _write(self) -> int:
        """Have what was noted written; nanoseconds of processor time that it took."""
        before = self._testbed.cpu_ns()
        self._testbed.steer("write")
        self._testbed.settle()
        return self._testbed.cpu_ns() - before
