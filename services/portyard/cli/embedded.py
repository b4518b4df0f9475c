"""The embedded engine: every room in one process in the background, its state in `.portyard/state`."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from portyard.cli.engines import EMBEDDED, CommandError, home
from portyard.commons.directory import Directory, Endpoint
from portyard.commons.holders import PROC, processes
from portyard.commons.settings import Settings
from portyard.rooms import cards

START_S = 60.0  # a machine that needs longer to bind sixteen ports has another problem
STARTING_S = 10.0  # so long after its start a process that isn't ready may be on its way
STOP_S = 10.0  # how long it may finish what it does before it is killed
POLL_S = 0.02
MEMORY = "memory"
_COMMAND = ("-m", "portyard", "serve", "all")
_STATE = "PORTYARD_STATE="


class EmbeddedEngine:
    """See `engines.Engine`."""

    name = EMBEDDED

    def __init__(self, settings: Settings) -> None:
        self._state = Path(settings.state)
        self._log = home() / "serve.log"
        self._pid_file = home() / "serve.pid"

    def up(self, tell: Callable[[str, int, int], None]) -> None:
        """See Engine."""
        if str(self._state) == MEMORY:
            raise CommandError(
                "state = 'memory': expected a directory, in which other commands find the testbed; "
                "memory is for portyard serve and the kit"
            )
        if self.running():
            if self._ready_within(self._patience(), tell, lambda: not self.running()):
                return
            self.down()  # its state was removed from under it, or it hangs
        process, start = self._start()
        if self._ready_within(START_S, tell, lambda: process.poll() is not None):
            return
        if process.poll() is not None:
            raise CommandError(
                self._last_words(start) or f"it stopped with status {process.returncode}, see {self._log}"
            )
        process.kill()
        raise CommandError(f"not ready after {START_S:.0f} s, see {self._log}")

    def _start(self) -> tuple[subprocess.Popen[bytes], int]:
        """The process, and where in the log it begins."""
        home().mkdir(exist_ok=True)
        with self._log.open("ab") as log:
            start = log.tell()
            process = subprocess.Popen(
                [sys.executable, *_COMMAND],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=os.environ | {"PORTYARD_STATE": str(self._state)},
            )
        self._pid_file.write_text(f"{process.pid}\n")
        return process, start

    def _patience(self) -> float:
        """How many seconds a process that runs already may still need, since somebody else may have started it just now."""
        with contextlib.suppress(OSError):
            return STARTING_S - (time.time() - self._pid_file.stat().st_mtime)
        return 0.0

    def _ready_within(self, seconds: float, tell: Callable[[str, int, int], None], ended: Callable[[], bool]) -> bool:
        """Whether every service is ready by then; no later than the process ends."""
        deadline = time.monotonic() + seconds
        while True:
            over = ended() or time.monotonic() > deadline
            health = self.health()
            waiting = [name for name, ready in health.items() if not ready]
            tell(", ".join(waiting), len(health) - len(waiting), len(health))
            if over or not waiting:
                return not waiting
            time.sleep(POLL_S)

    def down(self) -> str:
        """See Engine."""
        pid = self._pid()
        if pid is None:
            return ""
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        while self._is_ours(pid) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        if self._is_ours(pid):
            os.kill(pid, signal.SIGKILL)
        self._pid_file.unlink(missing_ok=True)
        return "stopped"

    def running(self) -> bool:
        """See Engine."""
        return self._pid() is not None

    def endpoints(self) -> list[Endpoint]:
        """See Engine."""
        return self._directory().all()

    def health(self) -> dict[str, bool]:
        """See Engine."""
        directory = self._directory()
        names = [service.name for card in cards() for service in card.services]
        return {name: bool(directory.of(name)) and directory.alive(name) for name in names}

    def ca_pem(self) -> bytes:
        """See Engine."""
        return (self._state / "tls" / "ca.pem").read_bytes()

    def _directory(self) -> Directory:
        return Directory(self._state / "endpoints")

    def _pid(self) -> int | None:
        """The process: the one that is noted, or, where the note was removed or is another's, whichever serves our state."""
        with contextlib.suppress(OSError, ValueError):
            pid = int(self._pid_file.read_text())
            if self._is_ours(pid):
                return pid
        return next((pid for pid in processes() if self._is_ours(pid)), None)

    def _is_ours(self, pid: int) -> bool:
        """Whether a process serves our state: a number that the system gave to another program doesn't count."""
        try:
            if not PROC.is_dir():  # nobody tells more than that there is one
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
                os.kill(pid, 0)
                return True
            command = (PROC / str(pid) / "cmdline").read_text().rstrip("\0").split("\0")
            if command[1:] != list(_COMMAND):
                return False
            entries = (PROC / str(pid) / "environ").read_text(errors="replace").split("\0")
            states = [entry.removeprefix(_STATE) for entry in entries if entry.startswith(_STATE)]
            folder = (PROC / str(pid) / "cwd").readlink()
        except (OSError, ValueError):
            return False
        return [folder / state for state in states] == [Path.cwd() / self._state]

    def _last_words(self, start: int) -> str:
        """The line by which the process said why it can't start."""
        with self._log.open("rb") as log:
            log.seek(start)
            lines = log.read().decode(errors="replace").splitlines()
        spoken = [line.removeprefix("portyard: ") for line in lines if line.startswith("portyard: ")]
        return spoken[-1] if spoken else "\n".join(lines[-5:])
