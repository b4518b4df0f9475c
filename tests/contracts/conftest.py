from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from portyard.commons.filestore.model import FileRoot, Filestore
from tests.contracts.engines import ENGINES
from tests.contracts.files import ALICE, FILESTORES


@pytest.fixture(params=sorted(ENGINES))
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine's name in turn."""
    name: str = request.param
    return name


@pytest.fixture(params=sorted(FILESTORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Filestore:
    """A filestore of each engine in turn, and a file outside it."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"outside")
    return FILESTORES[request.param](tmp_path)


@pytest.fixture
def root(store: Filestore) -> FileRoot:
    """Alice's files."""
    return store.root(ALICE)


@pytest.fixture
def no_descriptor_is_left() -> Iterator[None]:
    """The test closes every file that it opens."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before
