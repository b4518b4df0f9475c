"""Programs that the benchmark starts, watches and ends, each in a process group of its own."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from portyard.commons.card import HOST_OFFSET
from portyard.rooms import cards

ROOT = Path(__file__).parents[1]
HOME = ROOT / ".portyard" / "bench"
"""Where peers are installed and byte code is kept: git-ignored, safe to remove."""
HOST = "127.0.0.1"
START_S = 30.0
STOP_S = 10.0
OFFSETS = range(8_100, 15_000, 1_700)
"""Beside what `make up` publishes, below the kit's containers and the numbers that the kernel gives to clients; none has another's port."""
_TICKS = os.sysconf("SC_CLK_TCK")


class BenchmarkError(Exception):
    """A measurement can't be made; the message says why."""


class Program:
    """A running program.

    Args:
        name: For messages.
        command: What to run.
        folder: Its working directory, where its output goes, too.
        environment: On top of `clean_environment`.
    """

    def __init__(
        self, name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._log = folder / f"{name.replace(' ', '-')}.log"
        self.started_at = time.monotonic()
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                list(command),
                cwd=folder,
                env=clean_environment() | dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_for(self, word: str, limit_s: float = START_S) -> None:
        """Wait until its output holds a word.

        Raises:
            BenchmarkError: It stopped, or took too long.
        """
        deadline = time.monotonic() + limit_s
        while word.encode() not in self._log.read_bytes():
            self._check(deadline, f"{word!r} in its output")
            time.sleep(0.01)

    def wait_for_port(self, port: int, limit_s: float = START_S) -> None:
        """Wait until a port accepts connections.

        Raises:
            BenchmarkError: It stopped, or took too long.
        """
        deadline = time.monotonic() + limit_s
        while True:
            with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1.0):
                return
            self._check(deadline, f"port {port}")
            time.sleep(0.01)

    def last_words(self) -> str:
        """The end of its output on one line."""
        return " | ".join(self._log.read_text(errors="replace").strip().splitlines()[-3:])[-300:]

    def cpu_s(self) -> float:
        """Processor seconds that it has used, its children's with them."""
        return sum(cpu_s(pid) for pid in family(self.process.pid))

    def stop(self) -> None:
        """End it and what it started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_S)
                break

    def _check(self, deadline: float, awaited: str) -> None:
        if self.process.poll() is not None:
            raise BenchmarkError(f"{self.name} stopped: {self.last_words() or self.process.returncode}")
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{self.name}: no {awaited} in time: {self.last_words()}")


def clean_environment() -> dict[str, str]:
    """This environment as an ordinary user's: no setting of the testbed, and byte code is kept (in a place of the benchmark's own)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PORTYARD_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept | {"PYTHONPYCACHEPREFIX": str(HOME / "pycache"), "PYTHONUNBUFFERED": "1"}


def family(pid: int) -> list[int]:
    """A process and its descendants that still run."""
    found = [pid]
    for process in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{process}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def cpu_s(pid: int) -> float:
    """Processor seconds that a process has used, by the ticks; 0 of one that is gone."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS
    return 0.0


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def reserved_offset() -> Iterator[int]:
    """A port offset at which every port of the testbed is free, until the block ends kept from others that ask for one.

    A connection's other end may get any port that the kernel gives to clients between the look and the testbed's start, so that none is
    taken of those; and who asks at the same time finds the offset itself, a port that no service has, bound.

    Raises:
        BenchmarkError: There is none.
    """
    with contextlib.ExitStack() as held:
        yield _reserve(held)


def _reserve(held: contextlib.ExitStack) -> int:
    for offset in random.sample(OFFSETS, len(OFFSETS)):  # who starts at the same time looks elsewhere first
        mark = socket.socket()
        try:
            mark.bind((HOST, offset))
        except OSError:
            mark.close()
            continue
        if all(_is_free(offset + number) for number in _numbers()):
            held.enter_context(mark)
            return offset
        mark.close()
    raise BenchmarkError(f"no port offset of {', '.join(map(str, OFFSETS))} at which every port is free")


def _numbers() -> list[int]:
    return [port.host - HOST_OFFSET for card in cards() for service in card.services for port in service.ports]


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(type=kind) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(kind is socket.SOCK_STREAM))
            try:
                sock.bind((HOST, port))
            except OSError:
                return False
    return True


class Testbed(Program):
    """`portyard serve …` on a state directory.

    Args:
        folder: For its output.
        state: The state directory, or "memory".
        rooms: What to serve.
        offset: Its port offset.
        program: What the interpreter is to run.
        settings: Environment variables.
    """

    __test__ = False

    def __init__(
        self,
        folder: Path,
        state: str,
        rooms: Sequence[str] = ("all",),
        offset: int = 0,
        program: Sequence[str] = ("-m", "portyard"),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._held = contextlib.ExitStack()
        self.offset = offset or self._held.enter_context(reserved_offset())
        self._rooms = rooms
        super().__init__(
            f"portyard serve {' '.join(rooms)}",
            [sys.executable, *program, "serve", *rooms],
            folder,
            {"PORTYARD_STATE": state, "PORTYARD_PORT_OFFSET": str(self.offset), "PORTYARD_PASSIVE_PORTS": ""}
            | dict(settings or {}),
        )

    def port(self, name: str) -> int:
        """A port's number by its name on the card."""
        every = (port for card in cards() for service in card.services for port in service.ports)
        return next(port.host - HOST_OFFSET + self.offset for port in every if port.name == name)

    def wait_open(self, limit_s: float = START_S) -> None:
        """Wait until every room is imported and accepts.

        Raises:
            BenchmarkError: It stopped, or took too long.
        """
        named = [
            service.name
            for card in cards()
            for service in card.services
            if "all" in self._rooms or {card.name, service.name} & set(self._rooms)
        ]
        for name in named:
            self.wait_for(f"{name} is open", limit_s)

    def stop(self) -> None:
        """See Program; its ports are others' then."""
        super().stop()
        self._held.close()
