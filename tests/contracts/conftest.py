from __future__ import annotations

import pytest

from tests.contracts.engines import ENGINES


@pytest.fixture(params=sorted(ENGINES))
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine's name in turn."""
    name: str = request.param
    return name
