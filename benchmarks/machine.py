"""What the figures were measured on."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import resource
import shutil
import sqlite3
import ssl
import subprocess
from pathlib import Path


def facts() -> dict[str, str]:
    """Machine size, system and versions; no names of this machine."""
    libraries = ("portyard", "aiosmtpd", "uvloop", "cryptography")
    found = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{os.cpu_count()} processors ({_processor()}), {_memory_gb()} GB of memory",
        "load before": f"{os.getloadavg()[0]:.2f}",
        "system": f"{_system()}, kernel {platform.release()}",
        "Python": f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}, {ssl.OPENSSL_VERSION}",
        "libraries": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in libraries),
    }
    for name, command in {
        "Node": ["node", "--version"],
        "Docker": ["docker", "version", "--format", "{{.Server.Version}}"],
        "commit": ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"],
    }.items():
        found[name] = _version(command)
    return found


class Neighbours:
    """What others on this machine used of its processors meanwhile; the containers' work counts among the others'."""

    def __init__(self) -> None:
        self._busy, self._all = _ticks()
        self._own = _own_s()

    def share(self) -> float:
        """Since this was made, of all processors; our children count once they have ended."""
        busy, every = _ticks()
        own = (_own_s() - self._own) * os.sysconf("SC_CLK_TCK")
        return max(0.0, (busy - self._busy - own) / max(1, every - self._all))


def _ticks() -> tuple[int, int]:
    """Busy and all ticks of all processors since the start of the machine."""
    fields = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(fields) - fields[3] - fields[4], sum(fields)


def _own_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gb() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def _version(command: list[str]) -> str:
    if shutil.which(command[0]) is None:
        return "not installed"
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return done.stdout.strip().removeprefix("v") or "unknown"
