"""Testbed processes of a test's own: started, waited for by what they write, and ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LIMIT_S = 120.0


def clean_environment(**changes: str) -> dict[str, str]:
    """This process's environment without any PORTYARD_*, and these instead."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PORTYARD_")}
    return kept | changes


def portyard(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "portyard", *words],
        cwd=cwd,
        env=clean_environment(COLUMNS="200", **environment),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@dataclass(slots=True)
class Running:
    """A `portyard serve` that is ready.

    Attributes:
        process: It.
        state: Its state directory.
    """

    process: subprocess.Popen[str]
    state: Path

    def port(self, name: str) -> int:
        """A port's number by its name."""
        for path in (self.state / "endpoints").glob("*.json"):
            for fields in json.loads(path.read_text()):
                if fields["port"] == name:
                    return int(fields["host_number"])
        raise KeyError(name)

    @property
    def resident_kilobytes(self) -> int:
        """Its resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])

    def kill(self) -> None:
        """SIGKILL: no good-byes."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(LIMIT_S)


@contextlib.contextmanager
def serving(state: Path, *names: str, heard: list[str] | None = None, **environment: str) -> Iterator[Running]:
    """Run services in a process of their own on ephemeral ports, until the block ends; `heard` gets what they log."""
    heard = [] if heard is None else heard
    environment = {"PORTYARD_PORTS": "ephemeral", "PORTYARD_PASSIVE_PORTS": "", **environment}
    process = subprocess.Popen(
        [sys.executable, "-m", "portyard", "serve", *names],
        env=clean_environment(PORTYARD_STATE=str(state), **environment),
        cwd=state,
        stderr=subprocess.PIPE,
        text=True,
    )
    timer = threading.Timer(LIMIT_S, process.kill)
    timer.start()
    try:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if " ready: " in line:
                break
        else:
            raise AssertionError(f"it stopped: {''.join(said)}")
        timer.cancel()
        drain = threading.Thread(target=heard.extend, args=(process.stderr,), daemon=True)
        drain.start()
        yield Running(process, state)
    finally:
        timer.cancel()
        process.terminate()
        process.wait(LIMIT_S)
        if "drain" in locals():
            drain.join(LIMIT_S)
        if process.stderr is not None:
            process.stderr.close()
