"""What docs/kit.md says of containers, run as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.clients.test_kit_document import DOCUMENT
from tests.support.containers import IMAGE
from tests.support.document import blocks, unhurried
from tests.support.process import clean_environment

LIMIT_S = 600.0


def run(folder: Path, *words: str) -> str:
    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words],
        cwd=folder,
        env=clean_environment(TESTCONTAINERS_RYUK_DISABLED="true"),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout[-4000:]
    return outcome.stdout


def test_the_blocks(image: None, tmp_path: Path) -> None:
    code = blocks(DOCUMENT, "python")["One container"].replace("portyard:local", IMAGE)
    (tmp_path / "test_container.py").write_text(unhurried(code))
    assert re.search(r"^3 passed", run(tmp_path), re.MULTILINE)


def test_all_workers_share_one_container(image: None, tmp_path: Path) -> None:
    (tmp_path / "test_shared.py").write_text("""
import pytest

@pytest.mark.parametrize("number", range(8))
def test_one(sandbox, testbed, number):
    sandbox.account("mira")
    with open("urls", "a") as file:
        file.write(testbed.control.url + "\\n")
""")
    assert re.search(r"^8 passed", run(tmp_path, "-n", "3", "--portyard-image", IMAGE), re.MULTILINE)
    assert len(set((tmp_path / "urls").read_text().split())) == 1


def test_workers_with_the_same_settings_share_one_container(image: None, tmp_path: Path) -> None:
    (tmp_path / "test_shared.py").write_text("""
import pytest

@pytest.fixture(scope="session")
def portyard_settings():
    return {"domains": ("a.test",), "limits": {"message": 2048}, "token": "let-me-in"}

@pytest.mark.parametrize("number", range(4))
def test_one(sandbox, testbed, number):
    assert "a.test" in testbed.control.get("sandboxes/default")["domains"]
    with open("urls", "a") as file:
        file.write(testbed.control.url + "\\n")
""")
    assert re.search(r"^4 passed", run(tmp_path, "-n", "2", "--portyard-image", IMAGE), re.MULTILINE)
    assert len(set((tmp_path / "urls").read_text().split())) == 1


def test_without_workers_the_run_starts_the_container(image: None, tmp_path: Path) -> None:
    (tmp_path / "test_alone.py").write_text("""
import pytest

@pytest.fixture(scope="session")
def portyard_settings():
    return {"require_tls": True, "domains": ("a.test", "b.test")}

def test_one(testbed):
    assert testbed.default().domain == "portyard.test"
    assert {"a.test", "b.test"} <= set(testbed.control.get("sandboxes/default")["domains"])
""")
    assert re.search(r"^1 passed", run(tmp_path, "--portyard-image", IMAGE), re.MULTILINE)
