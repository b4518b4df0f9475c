"""What the machine did meanwhile: a program's processor time in nanoseconds, and how much of the processors others had."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import cpu_s

_TICKS = os.sysconf("SC_CLK_TCK")
_PROCESSORS = os.cpu_count() or 1
_OF_A_PROCESS = (
    2  # the kernel's word for the clock that adds up what the scheduler gave to a process (clock_getcpuclockid(3))
)
_STAT = Path("/proc/stat")
QUIET_S = 0.0005
IDLE_NS = 30_000  # that a process may still use in a look and count as idle
LOOKS = 2
MOST_LOOKS = 2000


def cpu_ns(pid: int) -> int:
    """Nanoseconds of processor time that a process has used, ended threads included; by the ticks where there is no such clock."""
    try:
        return time.clock_gettime_ns((~pid << 3) | _OF_A_PROCESS)
    except (OSError, AttributeError):
        return _by_schedule(pid) or int(cpu_s(pid) * 1e9)


def _by_schedule(pid: int) -> int:
    """The same by the scheduler's own figures of each thread; 0 where it tells none."""
    try:
        return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return 0


def wait_idle(pids: Sequence[int]) -> None:
    """Wait until processes do nothing any more (a thread that writes behind, say), without asking them."""
    quiet, before = 0, sum(map(cpu_ns, pids))
    for _ in range(MOST_LOOKS):
        time.sleep(QUIET_S)
        now = sum(map(cpu_ns, pids))
        quiet = quiet + 1 if now - before < IDLE_NS else 0
        before = now
        if quiet == LOOKS:
            return


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """What others did in a stretch of time.

    Attributes:
        stolen: The share of the machine that its host gave to other machines.
        others: The share that other programs had.
    """

    stolen: float = 0.0
    others: float = 0.0


class Host:
    """Watches the machine from look to look.

    Args:
        ours: The processes that are measured, or measure.
    """

    def __init__(self, ours: Sequence[int]) -> None:
        self._ours = ours
        self._last = self._read()

    def look(self) -> Meanwhile:
        """What others did since the last look."""
        before, self._last = self._last, self._read()
        elapsed, idle, stolen, ours = (now - then for now, then in zip(self._last, before, strict=True))
        whole = max(1e-9, elapsed * _PROCESSORS)
        return Meanwhile(stolen / whole, max(0.0, whole - idle - stolen - ours) / whole)

    def _read(self) -> tuple[float, float, float, float]:
        """Seconds: the clock, idle ones of all processors, stolen ones, those of ours."""
        ours = sum(map(cpu_ns, self._ours)) / 1e9
        try:
            words = _STAT.read_text().split("\n", 1)[0].split()
        except OSError:  # a system that doesn't tell: nothing counts as disturbed
            return 0.0, 0.0, 0.0, 0.0
        idle, waiting, stolen = int(words[4]), int(words[5]), int(words[8])
        return time.monotonic(), (idle + waiting) / _TICKS, stolen / _TICKS, ours
