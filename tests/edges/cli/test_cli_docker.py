"""What the Docker engine makes of compose's word, from a `docker` command that says what a test wants."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from portyard.cli.docker import DockerEngine
from portyard.cli.engines import CommandError
from portyard.commons.settings import Settings
from portyard.rooms import cards
from tests.support.process import serving

ROOT = Path(__file__).parents[3]
SERVICES = [service.name for card in cards() for service in card.services]


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DockerEngine:
    """Its `docker` prints what the files here say, and notes in `asked` what it was asked to do; without `trouble`, it starts."""
    docker = tmp_path / "docker"
    docker.write_text(
        f"""#!/bin/sh
cd {tmp_path}
case "$*" in
  *" ps --all"*) cat ps || exit ;;
  *) echo "$*" >>asked ;;
esac
case "$*" in
  *" up "*) cat trouble >&2 2>/dev/null; test ! -e trouble ;;
  logs*) cat logs >&2 ;;
  *" down "*) rm -f ps network; touch ps ;;
  *" unpause "*) sed -i s/paused/running/ ps ;;
  "ps --filter publish="*) cat container 2>/dev/null ;;
  "network ls"*) cat network 2>/dev/null ;;
esac
"""
    )
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.chdir(ROOT)
    made = DockerEngine(Settings())
    monkeypatch.setattr(made, "_run", lambda _command, _trouble: None)  # the image stands
    return made


def says(folder: Path, services: dict[str, str], state: str = "running") -> None:
    """Compose lists every container, whatever became of it."""
    rows = [
        json.dumps({"Name": f"yard-{name}-1", "Service": name, "State": state, "Health": health})
        for name, health in services.items()
    ]
    with (folder / "ps").open("a") as file:
        file.write("".join(f"{row}\n" for row in rows))


def asked(folder: Path, verb: str) -> list[list[str]]:
    """The words that followed a verb, each time that it was asked."""
    lines = (folder / "asked").read_text().splitlines() if (folder / "asked").exists() else []
    return [line.split(f" {verb}", 1)[1].split() for line in lines if f" {verb}" in line]


def silent(_waiting: str, _ready: int, _every: int) -> None:
    """Nobody watches."""


def test_a_service_without_a_running_container_is_not_ready(engine: DockerEngine, tmp_path: Path) -> None:
    says(tmp_path, {name: "healthy" for name in SERVICES if name not in ("ftp", "ssh")})
    assert engine.running()
    assert engine.health() == {name: name not in ("ftp", "ssh") for name in SERVICES}


def test_every_service_is_ready_when_compose_says_so(engine: DockerEngine, tmp_path: Path) -> None:
    says(tmp_path, dict.fromkeys(SERVICES, "healthy") | {"mta": "starting"})
    assert [name for name, ready in engine.health().items() if not ready] == ["mta"]


@pytest.mark.parametrize("state", ["exited", "created"])
def test_nothing_runs_where_all_have_stopped(state: str, engine: DockerEngine, tmp_path: Path) -> None:
    says(tmp_path, {})
    assert not engine.running()
    says(tmp_path, dict.fromkeys(SERVICES, ""), state)
    assert not engine.running()
    assert engine.health() == {}


def test_docker_that_does_not_answer_is_no_testbed_that_has_stopped(engine: DockerEngine) -> None:
    with pytest.raises(CommandError, match="docker compose: "):  # without what it is to say, this `docker` fails
        engine.running()


def test_a_paused_service_is_not_ready_and_goes_on(engine: DockerEngine, tmp_path: Path) -> None:
    says(tmp_path, {name: "healthy" for name in SERVICES if name != "ssh"})
    says(tmp_path, {"ssh": "healthy"}, "paused")
    assert [name for name, ready in engine.health().items() if not ready] == ["ssh"]
    engine.up(silent)
    assert asked(tmp_path, "unpause") == [["ssh"]]
    assert all(engine.health().values())


def test_down_says_what_it_did(engine: DockerEngine, tmp_path: Path) -> None:
    says(tmp_path, dict.fromkeys(SERVICES, "healthy"))
    assert engine.down() == "stopped"
    assert engine.down() == ""
    says(tmp_path, dict.fromkeys(SERVICES, ""), "exited")
    assert engine.down() == "nothing ran; removed the containers and the network that were left"
    (tmp_path / "network").write_text("4f1c\n")
    assert engine.down() == "nothing ran; removed the containers and the network that were left"
    assert engine.down() == ""
    assert len(asked(tmp_path, "down")) == 3


TAKEN = "Error response from daemon: failed: Error starting userland proxy: listen tcp4 127.0.0.1:{}: bind: address already in use"


@pytest.mark.parametrize(
    ("trouble", "logs", "told"),
    [
        (
            " Container yard-dns-1  Error\n",
            "portyard: capture = 'x': expected any or own\n",
            "capture = 'x': expected any or own",
        ),
        (
            "container yard-dns-1 exited (2)\n",
            "portyard: /etc/portyard.toml: Permission denied; give the settings file's path or remove PORTYARD_CONFIG\n",
            "portyard.toml: the containers' user can't read it; say: chmod a+r portyard.toml",
        ),
        ("container yard-dns-1 exited (2)\n", "portyard: tls.x = 'y'\n", "tls.x = 'y'"),
        (" Container yard-dns-1  Error\n", "15:00:39 info ready\n", "docker compose: Container yard-dns-1  Error"),
        ("Error: no space left\n", "portyard: of before\n", "docker compose: Error: no space left"),
    ],
)
def test_what_a_service_said_as_it_failed_is_told(
    trouble: str, logs: str, told: str, engine: DockerEngine, tmp_path: Path
) -> None:
    says(tmp_path, {})
    (tmp_path / "trouble").write_text(trouble)
    (tmp_path / "logs").write_text(logs)
    with pytest.raises(CommandError) as caught:
        engine.up(silent)
    assert str(caught.value) == told
    assert [words[-1] for words in asked(tmp_path, "--tail")] == ["yard-dns-1"] * ("yard-dns-1" in trouble)
    assert asked(tmp_path, "stop") == [SERVICES]  # nothing goes on restarting


def test_a_service_that_restarts_is_refused_in_its_own_words(engine: DockerEngine, tmp_path: Path) -> None:
    """Compose is content with a service for which no other waits as soon as its container has been started."""
    says(tmp_path, {name: "healthy" for name in SERVICES if name != "ssh"})
    says(tmp_path, {"ssh": ""}, "restarting")
    (tmp_path / "logs").write_text("portyard: limits.upload = 3: expected an integer >= 1024\n")
    with pytest.raises(CommandError, match=r"^limits.upload = 3: expected an integer >= 1024$"):
        engine.up(silent)
    assert asked(tmp_path, "stop") == [["ssh"]]  # what ran before goes on


@pytest.mark.parametrize("container", ["", "container other-imap-1\n"])
def test_who_has_a_port_is_told(container: str, engine: DockerEngine, tmp_path: Path) -> None:
    says(tmp_path, {})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        (tmp_path / "trouble").write_text(TAKEN.format(number))
        (tmp_path / "container").write_text(container)
        with pytest.raises(CommandError) as caught:
            engine.up(silent)
    who = container.strip() or f"{Path('/proc/self/comm').read_text().strip()} (pid {os.getpid()})"
    remedy = "stop it, or set PORTYARD_PORT_OFFSET for all"
    assert str(caught.value) == f"the port 127.0.0.1:{number} is taken by {who}; {remedy}"


def test_the_setting_of_a_taken_port_is_named(engine: DockerEngine, tmp_path: Path) -> None:
    says(tmp_path, {})
    (tmp_path / "trouble").write_text("Bind for 127.0.0.1:3143 failed: port is already allocated\n")
    (tmp_path / "container").write_text("container other-imap-1\n")
    with pytest.raises(CommandError, match=r"stop it, or set PORTYARD_PORT_IMAP to another number, or PORTYARD_PORT_"):
        engine.up(silent)


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
