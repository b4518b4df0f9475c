"""The kit's two fixtures over a testbed of the module's own. A module that wants another one, or more in its sandbox, overrides them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from portyard.testing import Sandbox, Testbed


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    with Testbed.embedded() as running:
        yield running


@pytest.fixture
def sandbox(testbed: Testbed) -> Iterator[Sandbox]:
    with testbed.own_sandbox() as own:
        yield own
