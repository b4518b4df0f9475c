"""What the Docker engine makes of compose's word, from a `docker` command that says what a test wants."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from portyard.cli.docker import DockerEngine
from portyard.cli.engines import CommandError
from portyard.commons.settings import Settings
from portyard.rooms import cards
from tests.support.process import serving

ROOT = Path(__file__).parents[2]
SERVICES = [service.name for card in cards() for service in card.services]


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DockerEngine:
    """Its `docker` prints the file `ps`, whatever it is asked."""
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\ncat {tmp_path}/ps\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.chdir(ROOT)
    return DockerEngine(Settings())


def says(folder: Path, running: dict[str, str]) -> None:
    """Compose lists what runs, and leaves out what stopped or never started."""
    rows = [json.dumps({"Service": name, "Health": health}) for name, health in running.items()]
    (folder / "ps").write_text("".join(f"{row}\n" for row in rows))


def test_a_service_without_a_running_container_is_not_ready(engine: DockerEngine, tmp_path: Path) -> None:
    says(tmp_path, {name: "healthy" for name in SERVICES if name not in ("ftp", "ssh")})
    assert engine.running()
    assert engine.health() == {name: name not in ("ftp", "ssh") for name in SERVICES}


def test_every_service_is_ready_when_compose_says_so(engine: DockerEngine, tmp_path: Path) -> None:
    says(tmp_path, dict.fromkeys(SERVICES, "healthy") | {"mta": "starting"})
    assert [name for name, ready in engine.health().items() if not ready] == ["mta"]


def test_nothing_runs_where_compose_lists_nothing(engine: DockerEngine, tmp_path: Path) -> None:
    says(tmp_path, {})
    assert not engine.running()
    assert engine.health() == {}


def test_a_console_with_a_token_is_asked_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with serving(tmp_path, "console", PORTYARD_TOKEN="deep-water") as testbed:
        monkeypatch.setenv("PORTYARD_PORT_CONSOLE", str(testbed.port("console")))
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # nobody is there, nor is to be asked
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        engine = DockerEngine(Settings(token="deep-water"))
        assert [endpoint.port for endpoint in engine.endpoints()] == ["console"]
        assert engine.ca_pem().startswith(b"-----BEGIN CERTIFICATE-----")
        for wrong in ("", "shallows"):
            with pytest.raises(CommandError, match="wants its token: set PORTYARD_TOKEN"):
                DockerEngine(Settings(token=wrong)).endpoints()
