"""One set of containers for all tests of this folder, in one xdist worker; without an engine each is skipped, saying why."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.containers import ROOT, Containers, containers, why_no_engine

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.container)


@pytest.fixture(scope="session")
def engine() -> None:
    """Skips where no Docker engine with Compose answers."""
    if reason := why_no_engine():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def image(engine: None) -> None:
    """The image, built of what stands here."""
    subprocess.run([ROOT / "scripts" / "image"], check=True, timeout=900)


@pytest.fixture(scope="session")
def yard(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    """Every service of compose.yaml, healthy, at the tests' own ports."""
    with containers(tmp_path_factory.mktemp("compose")) as running:
        yield running
