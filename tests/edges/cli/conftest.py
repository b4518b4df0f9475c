"""A testbed of the module's own in a process, and the command line at its URL; its sandbox `default` is empty before each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Run, command_at
from tests.support.control import Console
from tests.support.process import Running, serving


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("state"), "all") as running:
        yield running


@pytest.fixture
def url(testbed: Running) -> str:
    return f"http://127.0.0.1:{testbed.port('console')}"


@pytest.fixture
def console(testbed: Running) -> Console:
    return Console(testbed.port("console"))


@pytest.fixture
def run(url: str, tmp_path: Path, console: Console) -> Run:
    console.ask("sandboxes/default/reset", method="POST")
    return command_at(url, tmp_path)
