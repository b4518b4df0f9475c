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

from portyard.cli.engines import CommandError, home
from portyard.commons.directory import Directory, Endpoint
from portyard.commons.settings import Settings
from portyard.rooms import cards

START_S = 60.0  # a machine that needs longer to bind sixteen ports has another problem
STOP_S = 10.0  # how long it may finish what it does before it is killed
POLL_S = 0.02


class EmbeddedEngine:
    """See `engines.Engine`."""

    def __init__(self, settings: Settings) -> None:
        self._state = Path(settings.state)
        self._log = home() / "serve.log"
        self._pid_file = home() / "serve.pid"

    def up(self, tell: Callable[[str, int, int], None]) -> None:
        """See Engine."""
        if self.running() and all(self.health().values()):
            return
        home().mkdir(exist_ok=True)
        with self._log.open("ab") as log:
            start = log.tell()
            process = subprocess.Popen(
                [sys.executable, "-m", "portyard", "serve", "all"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=os.environ | {"PORTYARD_STATE": str(self._state)},
            )
        self._pid_file.write_text(f"{process.pid}\n")
        deadline = time.monotonic() + START_S
        while True:
            health = self.health()
            waiting = [name for name, ready in health.items() if not ready]
            tell(", ".join(waiting), len(health) - len(waiting), len(health))
            if not waiting:
                return
            if process.poll() is not None:
                raise CommandError(
                    self._last_words(start) or f"it stopped with status {process.returncode}, see {self._log}"
                )
            if time.monotonic() > deadline:
                process.kill()
                raise CommandError(f"{', '.join(waiting)}: not ready after {START_S:.0f} s, see {self._log}")
            time.sleep(POLL_S)

    def down(self) -> bool:
        """See Engine."""
        pid = self._pid()
        if pid is None:
            return False
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        while self._pid() is not None and time.monotonic() < deadline:
            time.sleep(POLL_S)
        if self._pid() is not None:
            os.kill(pid, signal.SIGKILL)
        self._pid_file.unlink(missing_ok=True)
        return True

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
        """The process, if it is still ours: a number that the system gave to another program doesn't count."""
        with contextlib.suppress(OSError, ValueError):
            pid = int(self._pid_file.read_text())
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            command = Path(f"/proc/{pid}/cmdline").read_bytes() if Path("/proc").exists() else b"portyard"
            if b"portyard" in command:
                os.kill(pid, 0)
                return pid
        return None

    def _last_words(self, start: int) -> str:
        """The line by which the process said why it can't start."""
        with self._log.open("rb") as log:
            log.seek(start)
            lines = log.read().decode(errors="replace").splitlines()
        spoken = [line.removeprefix("portyard: ") for line in lines if line.startswith("portyard: ")]
        return spoken[-1] if spoken else "\n".join(lines[-5:])
