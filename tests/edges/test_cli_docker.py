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
    """Its `docker` prints the file `ps`, unless it is asked for logs (the file `logs`), or to start (`trouble`, and fails)."""
    docker = tmp_path / "docker"
    docker.write_text(
        f"""#!/bin/sh
case "$*" in
  *" up "*) cat {tmp_path}/trouble >&2; exit 1 ;;
  logs*) echo "$*" >{tmp_path}/asked; cat {tmp_path}/logs >&2 ;;
  *) cat {tmp_path}/ps ;;
esac
"""
    )
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


TAKEN = "Error starting userland proxy: listen tcp4 127.0.0.1:3025: bind: address already in use"


@pytest.mark.parametrize(
    ("trouble", "logs", "told"),
    [
        (
            " Container yard-dns-1  Error\n",
            "portyard: capture = 'x': expected any or own\n",
            "capture = 'x': expected any or own",
        ),
        ("container yard-dns-1 exited (2)\n", "portyard: tls.x = 'y'\n", "tls.x = 'y'"),
        (" Container yard-dns-1  Error\n", "15:00:39 info ready\n", "docker compose: Container yard-dns-1  Error"),
        (f"{TAKEN}\n", "portyard: of before\n", f"docker compose: {TAKEN}"),
    ],
)
def test_what_a_service_said_as_it_failed_is_told(
    trouble: str, logs: str, told: str, engine: DockerEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(tmp_path, {})
    (tmp_path / "trouble").write_text(trouble)
    (tmp_path / "logs").write_text(logs)
    monkeypatch.setattr(engine, "_run", lambda _command, _trouble: None)  # the image stands
    with pytest.raises(CommandError) as caught:
        engine.up(lambda _waiting, _ready, _every: None)
    assert str(caught.value) == told
    if trouble != f"{TAKEN}\n":
        assert (tmp_path / "asked").read_text().split()[-1] == "yard-dns-1"


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
