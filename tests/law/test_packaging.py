"""What is shipped beside the package: lock files, compose.yaml, image and scripts agree with the cards and with each other."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import msgspec
import pytest

from portyard.commons.settings import Settings, load

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "compose.yaml").read_text()
LOCKS = sorted(path.name for path in ROOT.glob("requirements*.lock"))
SERVICES = ("dns", "mda", "mta", "msa", "pop3", "imap", "ftp", "ssh", "http", "websocket", "console")
# inside → host of the design's table, by the name that the ports' variables carry
PORTS = {
    "DNS_UDP": (53, 3053),
    "DNS_TCP": (53, 3053),
    "SMTP": (25, 3025),
    "SUBMISSION": (587, 3587),
    "SUBMISSIONS": (465, 3465),
    "LMTP": (24, 3024),
    "POP3": (110, 3110),
    "POP3S": (995, 3995),
    "IMAP": (143, 3143),
    "IMAPS": (993, 3993),
    "FTP": (21, 3021),
    "FTPS": (990, 3990),
    "SSH": (22, 3022),
    "HTTP": (80, 3080),
    "HTTPS": (443, 3443),
    "WS": (80, 3081),
    "WSS": (443, 3444),
    "CONSOLE": (8025, 8025),
}


def compose_env(offset: str) -> dict[str, str]:
    """What scripts/compose-env prints, by name."""
    printed = subprocess.run([ROOT / "scripts" / "compose-env", offset], check=True, capture_output=True, text=True)
    return dict(line.partition("=")[::2] for line in printed.stdout.splitlines())


def published() -> list[tuple[str, str, int, int]]:
    """(address, variable, default host port, port inside) of every single port that compose.yaml publishes."""
    found = re.findall(r'"(\S+?):\$\{PORTYARD_PORT_(\w+):-(\d+)\}:(\d+)(?:/\w+)?"', COMPOSE)
    return [(address, name, int(host), int(inside)) for address, name, host, inside in found]


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_a_hash_and_no_source(name: str) -> None:
    text = (ROOT / name).read_text()
    blocks = re.split(r"\n(?=[a-z0-9])", text)
    assert len(blocks) > 20
    assert all("--hash=sha256:" in block for block in blocks)
    assert not re.search(r"://|--find-links|index-url|file:", text)


def test_the_locks_agree_with_each_other() -> None:
    pins = [dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE)) for name in LOCKS]
    everything = max(pins, key=len)
    assert all(pin.items() <= everything.items() for pin in pins)


@pytest.mark.parametrize(
    ("lock", "extra"),
    [("requirements.lock", None), ("requirements-user.lock", "test"), ("requirements-dev.lock", "dev")],
)
def test_the_locks_hold_what_pyproject_asks_for(lock: str, extra: str | None) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + (project["optional-dependencies"][extra] if extra else [])
    names = {re.split(r"[\[<>=~! ;]", requirement)[0].lower().replace("_", "-") for requirement in wanted}
    pinned = set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / lock).read_text(), re.MULTILINE))
    assert names <= pinned


def test_compose_publishes_the_table_on_loopback_only() -> None:
    assert {name: (inside, host) for _, name, host, inside in published()} == PORTS
    assert {address for address, *_ in published()} == {"127.0.0.1"}
    assert COMPOSE.count('- "127.0.0.1:${PORTYARD_PASSIVE_PORTS:-30000-30019}:${PORTYARD_PASSIVE_PORTS') == 1


def test_compose_runs_each_service_by_its_name() -> None:
    assert tuple(re.findall(r"command: \[serve, (\w+)\]", COMPOSE)) == SERVICES
    assert tuple(re.findall(r"test: \[CMD, portyard-healthy, (\w+)\]", COMPOSE)) == SERVICES


def test_services_are_told_the_ports_that_are_published() -> None:
    told = re.findall(r"([a-z0-9-]+)=\$\{PORTYARD_PORT_(\w+):-(\d+)\}", COMPOSE)
    assert {name: int(port) for _, name, port in told} == {name: host for name, (_, host) in PORTS.items()}
    assert all(port.upper().replace("-", "_") == name for port, name, _ in told)


def test_compose_passes_every_setting_on() -> None:
    """But those that it decides by itself, or for each service; a port's number is told in what it publishes."""
    ours = {"state", "listen", "advertise", "ports", "port_overrides", "leased_ports", "ready_dir", "engine_view"}
    names = set[str]()
    for field in msgspec.structs.fields(Settings):
        nested = getattr(field.type, "__struct_fields__", ())
        names |= {f"{field.name}_{each}" for each in nested} or {field.name}
    passed = {name.lower() for name in re.findall(r"(?m)^  PORTYARD_(\w+):", COMPOSE)}
    assert names - passed <= ours


def test_the_ports_are_the_cards() -> None:
    from portyard.rooms import cards

    ports = [port for card in cards() for service in card.services for port in service.ports]
    assert {port.name.upper().replace("-", "_"): (port.inside, port.host) for port in ports} == PORTS
    assert {service.name for card in cards() for service in card.services} == set(SERVICES)


def test_every_service_is_told_the_range_that_is_published_for_its_leases() -> None:
    told = dict(
        re.findall(r"(?m)^  (\w+):\n    <<: \*service\n    environment: .*LEASED_PORTS: \"(\$\{[^}]+\})\"", COMPOSE)
    )
    assert set(told) == set(SERVICES) - {"console"}
    for name, ports in told.items():
        assert ports.startswith(f"${{PORTYARD_LEASED_{name.upper()}:-")
        assert COMPOSE.count(f'      - "127.0.0.1:{ports}:{ports}"') == 1


@pytest.mark.parametrize("offset", ["0", "3000", "13500", "60000"])
def test_both_engines_move_the_passive_ports_alike(offset: str) -> None:
    assert load({"PORTYARD_PORT_OFFSET": offset}).passive_ports == compose_env(offset)["PORTYARD_PASSIVE_PORTS"]
    assert load({"PORTYARD_PORT_OFFSET": offset, "PORTYARD_PASSIVE_PORTS": ""}).passive_ports == ""


def test_the_default_offset_is_what_compose_defaults_to() -> None:
    defaults = dict(re.findall(r"\$\{(PORTYARD_(?:PORT_\w+|PASSIVE_PORTS|LEASED_\w+)):-([^}]+)\}", COMPOSE))
    assert compose_env("3000") == defaults


def test_offsets_a_thousand_apart_never_meet() -> None:
    def numbers(offset: str) -> set[str]:
        found: list[str] = []
        for value in compose_env(offset).values():
            first, _, last = value.partition("-")
            found += [str(port) for port in range(int(first), int(last or first) + 1)]
        assert len(set(found)) >= len(found) - 2  # the offset itself aside, UDP and TCP of one service share a number
        return set(found)

    assert not numbers("3000") & numbers("13000")
    assert not numbers("3000") & numbers("4000")
    assert all(int(port) < 32768 for port in numbers("13000"))


@pytest.mark.parametrize("offset", ["", "x", "-1", "60001", "3000.5"])
def test_a_wrong_offset_is_refused_with_its_value(offset: str) -> None:
    result = subprocess.run(
        [ROOT / "scripts" / "compose-env", offset or "''"], check=False, capture_output=True, text=True
    )
    assert result.returncode != 0
    assert result.stdout == ""
    assert offset in result.stderr
    assert "60000" in result.stderr
