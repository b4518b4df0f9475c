"""The kit's contract on a testbed in this process, and on one that runs elsewhere and is known by its URL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from portyard.testing import Testbed
from tests.support.kit import KitContract
from tests.support.process import serving


class TestEmbedded(KitContract):
    @pytest.fixture(scope="class")
    @classmethod
    def testbed(cls) -> Iterator[Testbed]:
        with Testbed.embedded() as running:
            yield running


class TestConnected(KitContract):
    @pytest.fixture(scope="class")
    @classmethod
    def testbed(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
        state: Path = tmp_path_factory.mktemp("state")
        with (
            serving(state, "all") as elsewhere,
            Testbed.connect(f"http://127.0.0.1:{elsewhere.port('console')}") as running,
        ):
            yield running
