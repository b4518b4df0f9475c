"""Room by fault in containers: from inside their network every cell is seen as it is, through published ports all that these carry.

One probe, a container of the image on the run's network, looks at all cells that the embedded testbed is looked at for.
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import tarfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from portyard.commons.scenario.vocabulary import FAULTS
from portyard.console.core.unseen import HIDDEN, PEER
from portyard.rooms import cards
from portyard.testing import Testbed, UnseenWarning
from tests.support.containers import IMAGE, Containers
from tests.support.control import Console
from tests.support.matrix.joined import JOINABLE
from tests.support.matrix.midst import MOMENTS
from tests.support.matrix.octets import SPEECHES
from tests.support.matrix.place import Place
from tests.support.matrix.probe import Report, octets
from tests.support.matrix.rooms import ROOMS

ROOT = Path(__file__).parents[2]
PROBE = "tests.support.matrix.probe"
PORTS = {
    port.name: (service.name, port.inside) for card in cards() for service in card.services for port in service.ports
}
WAYS = ("down", "up")
LIMIT_S = 900.0
OWN = "m-own"
"""The sandbox that sessions have to name."""


def packed() -> bytes:
    """The probe and what it imports, as a tar."""
    packet = io.BytesIO()
    with tarfile.open(fileobj=packet, mode="w") as tar:
        for name in ("tests/__init__.py", "tests/support/__init__.py"):
            tar.add(ROOT / name, name)
        for path in sorted((ROOT / "tests/support/matrix").glob("*.py")):
            tar.add(path, str(path.relative_to(ROOT)))
    return packet.getvalue()


def probed(network: str) -> Any:
    """What a container of the image sees on the network."""
    place = json.dumps({"console": PORTS["console"], "ports": PORTS, "sandbox": OWN})
    command = ["docker", "run", "--rm", "--interactive", "--network", network, "--entrypoint", "sh"]
    script = f'mkdir /tmp/probe && cd /tmp/probe && tar -x && exec python -m {PROBE} "$0"'
    done = subprocess.run([*command, IMAGE, "-c", script, place], input=packed(), capture_output=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return json.loads(done.stdout)


@contextlib.contextmanager
def cleared(console: Console) -> Iterator[None]:
    """No rules, and afterwards none of the accounts and rules that the cells made."""

    def clear() -> None:
        console.ask("sandboxes/default/rules", method="DELETE")
        for account in console.get("accounts"):
            if account["name"].startswith("m-"):
                console.ask(f"sandboxes/default/accounts/{account['address']}", method="DELETE")

    clear()
    yield
    clear()


@pytest.fixture(scope="module")
def console(yard: Containers) -> Console:
    return Console(yard.ports["console"])


@pytest.fixture(scope="module")
def inside(yard: Containers, console: Console) -> Any:
    """What the probe saw."""
    (network,) = yard.inspect("console")["NetworkSettings"]["Networks"]
    with cleared(console):
        console.ask("sandboxes", method="POST", body={"name": OWN})
        try:
            return probed(network)
        finally:
            console.ask(f"sandboxes/{OWN}", method="DELETE")


@pytest.fixture(scope="module")
def published(yard: Containers, console: Console) -> Report:
    """What a client on the host sees."""
    ports = {name: (yard.host, number) for name, number in yard.ports.items()}
    with cleared(console):
        return octets(Place((yard.host, yard.ports["console"]), ports))


def wrong(report: Mapping[str, str], beginning: str = "") -> dict[str, str]:
    return {name: why for name, why in report.items() if why and name.startswith(beginning)}


def test_the_tables_have_every_room() -> None:
    assert ROOMS.keys() == SPEECHES.keys()


@pytest.mark.parametrize("room", ROOMS)
def test_every_verb_and_action_from_inside(room: str, inside: Any) -> None:
    report = inside["meanings"][room]
    assert report
    assert wrong(report) == {}


@pytest.mark.parametrize("room", SPEECHES)
@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_bytes_from_inside(room: str, fault: str, inside: Any) -> None:
    report = inside["octets"][room]
    assert {f"{room}.connect {fault} {way}" for way in WAYS} <= report.keys()
    assert wrong(report, f"{room}.connect {fault} ") == {}


@pytest.mark.parametrize("room", MOMENTS)
def test_bytes_in_the_midst_from_inside(room: str, inside: Any) -> None:
    report = inside["midst"][room]
    for moment in MOMENTS[room]:
        assert {f"{room}.{moment.verb} {fault} {way}" for fault in FAULTS for way in moment.ways} <= report.keys()
    assert wrong(report) == {}


@pytest.mark.parametrize("room", MOMENTS)
def test_bytes_in_the_midst_of_a_sandbox(room: str, inside: Any) -> None:
    """On the listeners that all share, in other containers than the one that took the rule."""
    assert inside["own"][room].keys() == inside["midst"][room].keys()
    assert wrong(inside["own"][room]) == {}


@pytest.mark.parametrize("room", JOINABLE)
def test_every_means_to_join_a_sandbox(room: str, inside: Any) -> None:
    assert inside["joined"][room]
    assert wrong(inside["joined"][room]) == {}


@pytest.mark.parametrize("room", SPEECHES)
@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_bytes_through_published_ports(room: str, fault: str, published: Report) -> None:
    seen = {way: published[room][f"{room}.connect {fault} {way}"] for way in WAYS}
    if fault in HIDDEN:
        for why in seen.values():
            assert "no RST but an orderly end" in why, f"the warning isn't true: {why or 'a RST came'}"
    else:
        assert seen == dict.fromkeys(WAYS, "")


def test_the_peer(console: Console, inside: Any, published: Report) -> None:
    """A client inside the network is journalled by its own address, all on the host by another."""
    peers = {session["peer"].rpartition(":")[0] for session in console.get("sessions", limit=1000)}
    assert inside["peer"] in peers
    assert "127.0.0.1" not in peers


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"on": "pop3.stat", "then": {"reset": True}}, [HIDDEN["reset"]]),
        ({"on": "pop3.stat", "where": {"peer": "10.*"}, "then": {"hang_up": True}}, [PEER]),
        ({"on": "pop3.stat", "then": {"half_close": True, "latency": 1}}, []),
    ],
)
def test_warnings(console: Console, rule: dict[str, object], told: list[str]) -> None:
    with cleared(console):
        made = json.loads(console.ask("sandboxes/default/rules", method="POST", body=rule))
        assert made["warnings"] == told


def test_the_kit_warns_once_at_the_line_that_sets_the_rule(yard: Containers, console: Console) -> None:
    with cleared(console), Testbed.connect(f"http://{yard.host}:{console.port}") as testbed:
        sandbox = testbed.default()
        with pytest.warns(UnseenWarning, match=r"pop3\.stat: .*FIN") as told:
            sandbox.pop3.reset(on="stat")
        assert [Path(each.filename).name for each in told] == [Path(__file__).name]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            sandbox.pop3.reset(on="stat")
            sandbox.pop3.hang_up(on="stat")
        with pytest.warns(UnseenWarning, match="gateway"):
            sandbox.pop3.rule("stat", {"hang_up": True}, where={"peer": "10.*"})


def test_the_command_warns_when_a_rule_is_set_and_in_the_list(yard: Containers, console: Console) -> None:
    def run(*words: str) -> tuple[str, str]:
        command = [sys.executable, "-m", "portyard", *words, "--url", f"http://{yard.host}:{console.port}"]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT_S)
        return done.stdout, done.stderr

    with cleared(console):
        set_, told = run("rules", "create", "--on", "imap.noop", "--then", '{"reset": true}')
        number = set_.split()[1].rstrip(":")
        assert told == f"rule {number}: {HIDDEN['reset']}\n"
        run("rules", "create", "--on", "imap.noop", "--per", "peer", "--times", "1", "--hang-up")
        _, told = run("rules")
        assert (told.count(HIDDEN["reset"]), told.count(PEER)) == (1, 1)
        assert run("rules", "--json")[1] == ""
