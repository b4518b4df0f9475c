"""Every bad TLS by rule through published ports: at every door, to Python's ssl and to s_client."""

from __future__ import annotations

import base64
import shutil
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from portyard.commons.tls.recipes import RECIPES
from tests.edges.tls.matrix import (
    CELLS,
    CLIENTS,
    DOORS,
    FOR_EVER,
    LIMIT_S,
    STALL_S,
    VIEWS,
    Cell,
    Door,
    Files,
    Met,
    meet,
)
from tests.support.containers import Containers
from tests.support.control import Console

NAME = "localhost"
STATE = "/var/lib/portyard/tls"
OPENSSL = shutil.which("openssl") is not None


class Seen(NamedTuple):
    """What both clients saw of a cell, and what the rule tells."""

    met: Met
    printed: str


@pytest.fixture(scope="module")
def console(yard: Containers) -> Console:
    return Console(yard.ports["console"])


@pytest.fixture(scope="module")
def files(yard: Containers, console: Console, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The CA and its CRL as anybody gets them; certificates for clients from the state directory."""
    folder = tmp_path_factory.mktemp("tls")

    def written(name: str, octets: bytes | str) -> Path:
        (folder / name).write_bytes(octets if isinstance(octets, bytes) else octets.encode())
        return folder / name

    strict = CLIENTS["strict"].context(_only(console, folder))
    meet(DOORS[0], yard.ports[DOORS[0].port], strict, "self-signed.portyard.test")
    for door in DOORS:  # who was asked for another sandbox's names has a new leaf, whose number an older list lacks
        meet(door, yard.ports[door.port], strict, "revoked.portyard.test")
    crl = textwrap.fill(base64.b64encode(console.ask("ca.crl")).decode(), 64)
    pairs = {
        recipe: (
            written(f"{recipe}.pem", yard.execute("console", "cat", f"{STATE}/{recipe}.pem")),
            written(f"{recipe}.key", yard.execute("console", "cat", f"{STATE}/{recipe}.key")),
        )
        for recipe in ("good", "self_signed")
    }
    return Files(
        folder / "ca.pem",
        written("crl.pem", f"-----BEGIN X509 CRL-----\n{crl}\n-----END X509 CRL-----\n"),
        pairs["good"],
        pairs["self_signed"],
    )


def _only(console: Console, folder: Path) -> Files:
    """The CA alone."""
    (folder / "ca.pem").write_bytes(console.ask("ca.pem"))
    nothing = Path("/dev/null")
    return Files(folder / "ca.pem", nothing, (nothing, nothing), (nothing, nothing))


@pytest.fixture(scope="module")
def seen(yard: Containers, console: Console, files: Files) -> Mapping[str, Seen | int]:
    """By cell what the clients saw, and by door and recipe how often its rule acted: all doors at once, for they only wait."""
    console.ask("sandboxes/default/rules", method="DELETE")

    def look(door: Door) -> dict[str, Seen | int]:
        return {key: value for recipe in RECIPES for key, value in _looked_at(door, recipe, yard, console, files)}

    found: dict[str, Seen | int] = {}
    with ThreadPoolExecutor(len(DOORS)) as pool:
        for each in pool.map(look, DOORS):
            found |= each
    return found


def _looked_at(
    door: Door, recipe: str, yard: Containers, console: Console, files: Files
) -> Iterator[tuple[str, Seen | int]]:
    """A rule at the handshakes of one port, met by each client."""
    # Counted, so that what it tells afterwards is true at once.
    rule = {"on": f"{door.room}.tls", "where": {"port": door.port}, "times": 100, "then": {"tls": recipe}}
    made = console.post("rules", rule)
    met_by = 0

    def acted() -> int:
        """How often the rule has, once that is as often as clients have met it: a stalled one leaves before the room has to."""
        until = time.monotonic() + LIMIT_S
        while (hits := int(console.get(f"rules/{made['id']}")["hits"])) < met_by and time.monotonic() < until:
            pass
        return hits

    for view in VIEWS[recipe]:
        client = CLIENTS[view.client]
        stalls = view.error == FOR_EVER
        number = yard.ports[door.port]
        met = meet(door, number, client.context(files), NAME, STALL_S if stalls else LIMIT_S)
        met_by += 1 + OPENSSL
        printed = _s_client(door, number, client.s_client(files, NAME), acted if stalls else None) if OPENSSL else ""
        yield Cell(door, recipe, view).id, Seen(met, printed)
    yield f"{door.name}-{recipe}", acted()
    console.ask(f"sandboxes/default/rules/{made['id']}", method="DELETE")


def _s_client(door: Door, number: int, words: list[str], stalled: Callable[[], object] | None) -> str:
    """What it prints; "for ever" where it still waits a while after it was stalled."""
    starttls = ["-starttls", door.starttls] if door.starttls else []
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{number}", *starttls, "-ign_eof", *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            if stalled is not None:
                stalled()
            return process.communicate(door.bye, STALL_S if stalled else LIMIT_S)[0].decode(errors="replace")
        except subprocess.TimeoutExpired:
            return FOR_EVER
        finally:
            process.kill()


def test_each_protocol_has_an_implicit_port_and_an_upgrade() -> None:
    rooms = {door.room for door in DOORS}
    assert {door.room for door in DOORS if not door.starttls} == rooms
    assert {door.room for door in DOORS if door.starttls} == rooms - {"http", "websocket"}  # which have none
    assert {cell.recipe for cell in CELLS} == RECIPES.keys()


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.id)
def test_python(seen: Mapping[str, Seen | int], cell: Cell) -> None:
    found = seen[cell.id]
    assert isinstance(found, Seen)
    if cell.view.error:
        assert cell.view.error.lower() in found.met.error.lower()
    else:
        assert (found.met.error, found.met.version, found.met.said_bye) == ("", cell.view.version, cell.view.said_bye)
        assert found.met.tickets is cell.view.tickets


@pytest.mark.client
@pytest.mark.skipif(not OPENSSL, reason="openssl isn't installed")
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.id)
def test_openssl(seen: Mapping[str, Seen | int], cell: Cell) -> None:
    found = seen[cell.id]
    assert isinstance(found, Seen)
    wanted = cell.view.openssl if cell.view.error != FOR_EVER else FOR_EVER
    assert wanted.lower() in found.printed.lower(), found.printed


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
def test_the_rules_acted(seen: Mapping[str, Seen | int], door: Door) -> None:
    """At every handshake."""
    clients = 2 if OPENSSL else 1
    assert {recipe: seen[f"{door.name}-{recipe}"] for recipe in RECIPES} == {
        recipe: clients * len(VIEWS[recipe]) for recipe in RECIPES
    }
