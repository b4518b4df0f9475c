"""Which engine runs the testbed, and what each one can do."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from portyard.commons.directory import Endpoint
from portyard.commons.settings import Settings

DOCKER, EMBEDDED = "docker", "embedded"
PROBE_S = 10.0  # a Docker engine that doesn't answer by then doesn't run


class CommandError(Exception):
    """What the user asked for can't be had; the message is one clear line with the remedy.

    Attributes:
        status: The command's exit status.
    """

    status = 1


class MistakeError(CommandError):
    """What the user asked for can't be meant, whatever the testbed holds."""

    status = 2


@dataclass(frozen=True, slots=True)
class Choice:
    """An engine and why it was chosen, for one line on the screen."""

    name: str
    why: str


class Engine(Protocol):
    """One way to run the testbed.

    Attributes:
        name: As PORTYARD_ENGINE has it.
    """

    @property
    def name(self) -> str:
        """See the class."""

    def up(self, tell: Callable[[str, int, int], None]) -> None:
        """Start what isn't running and wait until every service is ready; `tell(waiting for, ready, all)` as it goes."""

    def down(self) -> str:
        """Stop it, and say what was done; empty when there was nothing to do. Its state stays."""

    def running(self) -> bool:
        """Whether it runs."""

    def endpoints(self) -> list[Endpoint]:
        """Where its services are."""

    def health(self) -> dict[str, bool]:
        """Each service by name, and whether it is ready."""

    def ca_pem(self) -> bytes:
        """The CA's certificate."""


def home() -> Path:
    """Where what runs from here leaves its notes: `.portyard` in the working directory."""
    return Path.cwd() / ".portyard"


def project_root() -> Path | None:
    """The folder with compose.yaml, when the command is run from the project."""
    folder = Path.cwd()
    return folder if (folder / "compose.yaml").exists() and (folder / "services" / "Dockerfile").exists() else None


def choose() -> Choice:
    """The engine that PORTYARD_ENGINE forces, or the one that this machine has.

    Raises:
        CommandError: PORTYARD_ENGINE is neither, or forces a Docker that isn't there.
    """
    forced = os.environ.get("PORTYARD_ENGINE", "")
    if forced == EMBEDDED:
        return Choice(EMBEDDED, "PORTYARD_ENGINE says so")
    if forced not in ("", DOCKER):
        raise CommandError(f"PORTYARD_ENGINE = {forced!r}: expected docker or embedded")
    missing = _docker_missing()
    if forced == DOCKER:
        if missing:
            raise CommandError(
                f"PORTYARD_ENGINE=docker, but {missing}; scripts/engine installs one on Debian and Ubuntu"
            )
        return Choice(DOCKER, "PORTYARD_ENGINE says so")
    if missing:
        return Choice(EMBEDDED, missing)
    return Choice(DOCKER, "a Docker engine with Compose answers")


def _docker_missing() -> str:
    """What is missing for Docker, or nothing."""
    if project_root() is None:
        return "there is no compose.yaml here"
    if shutil.which("docker") is None:
        return "no docker command is installed"
    if not _answers("docker", "info"):
        return "no Docker engine answers"
    if not _answers("docker", "compose", "version"):
        return "Docker has no Compose"
    if not _answers("docker", "buildx", "version"):
        return "Docker has no buildx"
    return ""


def _answers(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=PROBE_S, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def engine_of(name: str, settings: Settings) -> Engine:
    """The engine of that name."""
    if name == DOCKER:
        from portyard.cli.docker import DockerEngine

        return DockerEngine(settings)
    from portyard.cli.embedded import EmbeddedEngine

    return EmbeddedEngine(settings)


@contextlib.contextmanager
def noted(engine: Engine) -> Iterator[None]:
    """Leave word of which engine runs here; of none where it can't be started, since it may be the other that has run on."""
    home().mkdir(exist_ok=True)
    _note().write_text(f"{engine.name}\n")
    try:
        yield
    except CommandError:
        if not engine.running():
            _note().unlink(missing_ok=True)
        raise


def known(settings: Settings) -> list[Engine]:
    """The engines that may run something here: the one of which word was left, or else every one that this machine has."""
    if _note().exists():
        return [engine_of(_note().read_text().strip(), settings)]
    forced = os.environ.get("PORTYARD_ENGINE", "")
    names = [forced] if forced in (DOCKER, EMBEDDED) else [EMBEDDED, DOCKER]
    return [engine_of(name, settings) for name in names if name == EMBEDDED or not _docker_missing()]


def current(settings: Settings) -> Engine:
    """The engine that runs here.

    Raises:
        CommandError: None does.
    """
    for engine in known(settings):
        if engine.running():
            return engine
    raise CommandError("no testbed runs here; start it with: make up (or: portyard up)")


def _note() -> Path:
    return home() / "engine"
