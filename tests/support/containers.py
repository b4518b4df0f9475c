"""The testbed in containers, for tests: compose.yaml under a project name and at ports of its own."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from testcontainers.compose import DockerCompose

ROOT = Path(__file__).parents[2]
PROJECT = os.environ.get("TESTBED_PROJECT", "portyard-test")
OFFSET = os.environ.get("TESTBED_PORT_OFFSET", "13000")
IMAGE = os.environ.get("PORTYARD_IMAGE", "portyard:local")
LIMIT_S = 300.0  # an engine may be new, and busy


@functools.cache
def why_no_engine() -> str:
    """Empty where a Docker engine with Compose and buildx answers; else the reason, with the remedy."""
    checked = subprocess.run([ROOT / "scripts" / "engine", "--check"], check=False, capture_output=True, text=True)
    return "" if checked.returncode == 0 else f"{checked.stderr.strip()} (scripts/engine installs one)"


def docker(*arguments: str, timeout_s: float = LIMIT_S) -> str:
    """What a docker command prints; its error output is in the exception when it fails."""
    done = subprocess.run(["docker", *arguments], check=False, capture_output=True, text=True, timeout=timeout_s)
    if done.returncode != 0:
        raise RuntimeError(f"docker {' '.join(arguments)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


class Containers:
    """The running services.

    Args:
        compose: The project, started.
        ports: Host port numbers by the port's name as the cards have it ("submission", "dns-udp").
    """

    host = "127.0.0.1"

    def __init__(self, compose: DockerCompose, ports: dict[str, int]) -> None:
        self.compose = compose
        self.ports = ports

    def run(self, *arguments: str, timeout_s: float = LIMIT_S) -> str:
        """What `docker compose …` prints for this project."""
        return docker(*self.compose.docker_compose_command()[1:], *arguments, timeout_s=timeout_s)

    def kill(self, service: str) -> None:
        """SIGKILL, as a crash would; the service stays down until `start`."""
        self.run("kill", "--signal", "SIGKILL", service)

    def start(self, *services: str) -> None:
        """Start these again and wait until they are healthy."""
        self.run("up", "--detach", "--wait", "--no-build", "--no-deps", *services)

    def execute(self, service: str, *command: str) -> str:
        """What a command prints inside a service's container."""
        return self.run("exec", "--no-TTY", service, *command)

    def inspect(self, service: str) -> dict[str, Any]:
        """The engine's description of a service's container."""
        identity = self.run("ps", "--all", "--quiet", service).strip()
        (description,) = json.loads(docker("inspect", identity))
        return dict(description)


def _write_environment(folder: Path) -> tuple[Path, dict[str, int]]:
    printed = subprocess.run([ROOT / "scripts" / "compose-env", OFFSET], check=True, capture_output=True, text=True)
    file = folder / "compose.env"
    file.write_text(f"COMPOSE_PROJECT_NAME={PROJECT}\nPORTYARD_IMAGE={IMAGE}\n{printed.stdout}")
    values = dict(line.split("=") for line in printed.stdout.splitlines())
    prefix = "PORTYARD_PORT_"
    ports = {
        name.removeprefix(prefix).lower().replace("_", "-"): int(value)
        for name, value in values.items()
        if name.startswith(prefix) and name != "PORTYARD_PORT_OFFSET"
    }
    return file, ports


@contextmanager
def containers(folder: Path) -> Iterator[Containers]:
    """All services, healthy, with an empty state; gone with it afterwards.

    Args:
        folder: Where the env file may be written.
    """
    subprocess.run([ROOT / "scripts" / "image"], check=True, timeout=900)
    file, ports = _write_environment(folder)
    compose = DockerCompose(ROOT, compose_file_name=str(ROOT / "compose.yaml"), env_file=str(file))
    running = Containers(compose, ports)
    running.run("down", "--volumes", "--remove-orphans")  # what a killed run left behind
    try:
        running.run("up", "--detach", "--wait", "--no-build", timeout_s=2 * LIMIT_S)
    except RuntimeError as error:
        raise RuntimeError(f"{error}\n{running.run('ps', '--all')}\n{running.run('logs', '--tail', '20')}") from error
    try:
        yield running
    finally:
        running.run("down", "--volumes", "--remove-orphans")
