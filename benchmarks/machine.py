"""What the figures were measured on."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
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
    }.items():
        found[name] = _version(command)
    return found


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
    return done.stdout.strip().removeprefix("v") or "doesn't answer"
