"""Bad TLS by name through published ports: at every door a sample of what the embedded testbed shows whole.

The whole is tests/clients/test_tls_matrix.py, and by rule test_tls_by_rule.py.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.edges.tls.matrix import CELLS, CLIENTS, DOORS, LIMIT_S, Cell, Files, meet
from tests.support.containers import Containers
from tests.support.control import Console

# Of each kind one: the client's alert, ours before and after the handshake, no TLS at all, an end without its notify.
SAMPLE = ("expired", "tls13_only", "client_certificate_required", "plaintext", "no_close_notify")
SAMPLED = [
    pytest.param(cell, id=cell.id)
    for cell in CELLS
    if cell.recipe in SAMPLE and cell.view is next(each.view for each in CELLS if each.recipe == cell.recipe)
]


@pytest.fixture(scope="module")
def console(yard: Containers) -> Console:
    return Console(yard.ports["console"])


@pytest.fixture(scope="module")
def files(console: Console, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The CA as anybody gets it; the sampled clients show no certificate and look at no CRL."""
    ca = tmp_path_factory.mktemp("tls") / "ca.pem"
    ca.write_bytes(console.ask("ca.pem"))
    nothing = Path("/dev/null")
    return Files(ca, nothing, (nothing, nothing), (nothing, nothing))


def test_the_sample_is_of_every_door() -> None:
    assert {(cell.values[0].door.name, cell.values[0].recipe) for cell in SAMPLED} == {
        (door.name, recipe) for door in DOORS for recipe in SAMPLE
    }


@pytest.mark.parametrize("cell", SAMPLED)
def test_python_by_name(yard: Containers, files: Files, cell: Cell) -> None:
    view, name = cell.view, f"{cell.recipe.replace('_', '-')}.portyard.test"
    met = meet(cell.door, yard.ports[cell.door.port], CLIENTS[view.client].context(files), name)
    if view.error:
        assert view.error.lower() in met.error.lower()
    else:
        assert (met.error, met.version, met.said_bye) == ("", view.version, view.said_bye)


@pytest.mark.client
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl isn't installed")
@pytest.mark.parametrize("cell", SAMPLED)
def test_openssl_by_name(yard: Containers, files: Files, cell: Cell) -> None:
    name = f"{cell.recipe.replace('_', '-')}.portyard.test"
    starttls = ["-starttls", cell.door.starttls] if cell.door.starttls else []
    where = f"127.0.0.1:{yard.ports[cell.door.port]}"
    done = subprocess.run(
        [
            "openssl",
            "s_client",
            "-connect",
            where,
            *starttls,
            "-ign_eof",
            *CLIENTS[cell.view.client].s_client(files, name),
        ],
        input=cell.door.bye,
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )
    printed = (done.stdout + done.stderr).decode(errors="replace")
    assert cell.view.openssl.lower() in printed.lower(), printed
