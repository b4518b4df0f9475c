"""The Docker engine: compose.yaml's services from one image."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from portyard.cli.engines import DOCKER, CommandError, home, project_root
from portyard.commons.directory import Endpoint
from portyard.commons.holders import holder
from portyard.commons.settings import Settings
from portyard.rooms import cards

START_S = 180.0  # eleven containers on a slow disk; a warm start takes a few seconds
POLL_S = 0.25
CONSOLE_S = 5.0
_ALIVE = ("running", "restarting", "paused")
_LABEL = "com.docker.compose.project"
_SINGLE = "PORTYARD_PORT_"
_TAKEN = re.compile(r"127\.0\.0\.1:(\d+).*(?:already in use|already allocated)")
_UNREADABLE = "/etc/portyard.toml: Permission denied"  # it is mounted with the owner and mode that it has here
_FAILED = re.compile(r"[Cc]ontainer (\S+)\s+(?:Error|exited|is unhealthy)")


class DockerEngine:
    """See `engines.Engine`."""

    name = DOCKER

    def __init__(self, settings: Settings) -> None:
        root = project_root()
        if root is None:
            raise CommandError("there is no compose.yaml here; run this from the project's folder")
        self._root = root
        self._settings = settings
        self._project = os.environ.get("PORTYARD_PROJECT", "portyard")

    def up(self, tell: Callable[[str, int, int], None]) -> None:
        """See Engine. What can't be had is stopped, so that nothing goes on restarting; what ran before goes on running."""
        if paused := [row["Service"] for row in self._rows() if row["State"] == "paused"]:
            self._compose("unpause", *paused)
        before = self.health()
        if before and all(before.values()):
            return
        tell("the image", 0, len(self._services()))
        self._run([str(self._root / "scripts" / "image")], "the image could not be built")
        started = self._compose("up", "--detach", "--no-build", "--quiet-pull", wait=False)
        with started:
            try:
                self._await(started, tell)
            except CommandError:
                started.kill()
                self._stop([name for name, ready in self.health().items() if not ready] if before else self._services())
                raise
            started.communicate()

    def _stop(self, services: list[str]) -> None:
        """Stop these, and leave their containers: what they said may tell more."""
        if services:  # none would mean all
            self._compose("stop", *services)

    def _await(self, started: subprocess.Popen[str], tell: Callable[[str, int, int], None]) -> None:
        """Wait until every service is ready."""
        deadline = time.monotonic() + START_S
        while True:
            over = started.poll()
            rows = self._rows()
            health = self._health(rows)
            waiting = [name for name in self._services() if not health.get(name)]
            tell(", ".join(waiting), len(self._services()) - len(waiting), len(self._services()))
            if not waiting:
                return
            if over:
                raise CommandError(self._why(started))
            if over == 0 and (refused := self._refusal(rows)):
                raise CommandError(refused)
            if time.monotonic() > deadline:
                raise CommandError(
                    f"{', '.join(waiting)}: not ready after {START_S:.0f} s; see docker compose -p {self._project} logs"
                )
            time.sleep(POLL_S)

    def down(self) -> str:
        """See Engine."""
        rows = self._rows()
        if not rows and not self._said(
            "docker", "network", "ls", "--quiet", "--filter", f"label={_LABEL}={self._project}"
        ):
            return ""
        process = self._compose("down", "--remove-orphans")
        if process.returncode:
            raise CommandError(self._why(process))
        if self._health(rows):
            return "stopped"
        return "nothing ran; removed the containers and the network that were left"

    def running(self) -> bool:
        """See Engine. Where Docker doesn't answer, nobody knows: that is told."""
        process = self._compose("ps", "--all", "--format", "json")
        if process.returncode:
            raise CommandError(self._why(process))
        return bool(self._health(self._read(process)))

    def endpoints(self) -> list[Endpoint]:
        """See Engine."""
        return [Endpoint(**fields) for fields in json.loads(self._ask("endpoints"))]

    def health(self) -> dict[str, bool]:
        """See Engine. A service whose container stopped or never started is one that isn't ready; empty when none runs."""
        return self._health(self._rows())

    def _health(self, rows: list[dict[str, Any]]) -> dict[str, bool]:
        if not any(row["State"] in _ALIVE for row in rows):
            return {}
        ready = {row["Service"] for row in rows if row["State"] == "running" and row.get("Health") == "healthy"}
        return {name: name in ready for name in self._services()}

    def _rows(self) -> list[dict[str, Any]]:
        """What Compose says of each container, whether it runs or not."""
        return self._read(self._compose("ps", "--all", "--format", "json"))

    def _read(self, process: subprocess.Popen[str]) -> list[dict[str, Any]]:
        output = process.stdout.read() if process.stdout else ""
        return [row for line in output.splitlines() if (row := json.loads(line))]

    def _refusal(self, rows: list[dict[str, Any]]) -> str:
        """Why a service that has been started can't serve, in its own words; empty while none says so."""
        ended = (row["Name"] for row in rows if row["State"] in ("restarting", "exited"))
        return next(filter(None, map(self._last_word, ended)), "")

    def ca_pem(self) -> bytes:
        """See Engine."""
        return self._ask("ca.pem")

    def _services(self) -> list[str]:
        return [service.name for card in cards() for service in card.services]

    def _ask(self, path: str) -> bytes:
        """The console's answer."""
        number = self._environment()["PORTYARD_PORT_CONSOLE"]
        url = f"http://127.0.0.1:{number}/api/v1/{path}"
        token = self._settings.token
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy stands before loopback
        direct.addheaders = [("Authorization", f"Bearer {token}")] if token else []
        try:
            with direct.open(url, timeout=CONSOLE_S) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == HTTPStatus.UNAUTHORIZED:
                raise CommandError(f"the console at {url} wants its token: set PORTYARD_TOKEN to it") from None
            raise CommandError(f"the console doesn't answer at {url}: {error}") from None
        except (urllib.error.URLError, OSError) as error:
            raise CommandError(f"the console doesn't answer at {url}: {error}") from None

    def _environment(self) -> dict[str, str]:
        """Compose's variables: scripts/compose-env computes the ports from the offset."""
        lines = subprocess.run(
            [str(self._root / "scripts" / "compose-env"), str(self._settings.port_offset)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        computed = dict(line.split("=", 1) for line in lines.splitlines() if "=" in line)
        for name, number in self._settings.port_overrides.items():
            computed[f"PORTYARD_PORT_{name.upper().replace('-', '_')}"] = str(number)
        file = Path.cwd() / "portyard.toml"
        if file.exists():
            computed["PORTYARD_CONFIG"] = str(file)
        return computed | dict(os.environ)

    def _compose(self, *words: str, wait: bool = True) -> subprocess.Popen[str]:
        try:
            process = subprocess.Popen(
                ["docker", "compose", "--project-name", self._project, "--file", "compose.yaml", *words],
                cwd=self._root,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        except FileNotFoundError:
            raise CommandError("the testbed was started by Docker, and no docker command is installed") from None
        if wait:
            output, errors = process.communicate()
            process.stdout, process.stderr = _Said(output), _Said(errors)  # type: ignore[assignment]
        return process

    def _run(self, command: list[str], trouble: str) -> None:
        if subprocess.run(command, cwd=self._root, check=False).returncode:
            raise CommandError(trouble)

    def _said(self, *command: str) -> str:
        """What a command printed, on either stream."""
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr).strip()

    def _why(self, process: subprocess.Popen[str]) -> str:
        lines = (process.stderr.read() if process.stderr else "").strip().splitlines()
        telling = [line for line in lines if "rror" in line or "already" in line] or lines[-1:] or ["it gave no reason"]
        if taken := _TAKEN.search(telling[-1]):
            return self._taken(taken[1])
        if failed := _FAILED.search("\n".join(lines)):
            return self._last_word(failed[1]) or f"docker compose: {telling[-1].strip()}"
        return f"docker compose: {telling[-1].strip()}"

    def _taken(self, number: str) -> str:
        """A port that can't be published, by whom it is taken as far as anybody tells, and the remedy."""
        container = self._said("docker", "ps", "--filter", f"publish={number}", "--format", "container {{.Names}}")
        who = container.partition("\n")[0] or holder(int(number)) or holder(int(number), "udp")
        single = [name for name, value in self._environment().items() if value == number and name.startswith(_SINGLE)]
        remedy = "".join(f"{name} to another number, or " for name in single[:1])
        taken = f"is taken by {who}; stop it" if who else "is taken; stop what uses it"
        return f"the port 127.0.0.1:{number} {taken}, or set {remedy}PORTYARD_PORT_OFFSET for all"

    def _last_word(self, container: str) -> str:
        """Why a container can't serve, in its own words, which name the setting; none where it says nothing."""
        _, told, word = self._said("docker", "logs", "--tail", "1", container).rpartition("portyard: ")
        if told and word.startswith(_UNREADABLE):
            return "portyard.toml: the containers' user can't read it; say: chmod a+r portyard.toml"
        return word.strip() if told else ""


class _Said:
    """What a finished process said, to be read any number of times."""

    def __init__(self, text: str) -> None:
        self._text = text

    def read(self) -> str:
        return self._text


def save_ca(pem: bytes) -> Path:
    """The CA as a file on the user's machine, for clients' `--cacert`."""
    path = home() / "ca.pem"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pem)
    return path
