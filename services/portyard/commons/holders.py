"""Which program has a port of this machine, as Linux tells it in /proc; elsewhere, and of another user's programs, nobody does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
_SERVING = {"tcp": "0A", "udp": "07"}  # the kernel's tcp_states.h: TCP_LISTEN, and TCP_CLOSE for what has no peer


def holder(number: int, transport: str = "tcp") -> str:
    """The program that has a port and its number among the processes, "nginx (pid 123)"; empty where nobody tells."""
    sockets = set(_sockets(number, transport))
    for pid in processes() if sockets else ():
        if sockets.intersection(_open_files(pid)):
            return f"{_name(pid)} (pid {pid})"
    return ""


def processes() -> list[int]:
    """The numbers of all processes, the eldest mostly first; none where there is no /proc."""
    return sorted(int(folder.name) for folder in PROC.glob("[0-9]*"))


def _sockets(number: int, transport: str) -> Iterator[str]:
    """The sockets that serve a port, as the kernel's tables list them, whatever their address; a client's may have its number, too."""
    for table in (transport, f"{transport}6"):
        try:
            lines = (PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == number and fields[3] == _SERVING[transport]:
                yield f"socket:[{fields[9]}]"


def _open_files(pid: int) -> Iterator[str]:
    try:
        with os.scandir(PROC / str(pid) / "fd") as entries:
            for entry in entries:
                yield os.readlink(entry.path)
    except OSError:  # another user's, or it has ended
        return


def _name(pid: int) -> str:
    try:
        return (PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return "a program"
