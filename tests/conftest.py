"""How the suite is spread over workers: the containers' tests share one set of containers, so one worker runs them all."""

from __future__ import annotations

from typing import Any

import pytest

CONTAINERS = "tests/containers/"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Xdist's own `loadgroup` tells groups by a private attribute that recent versions of pytest don't have any more."""
    from xdist.scheduler import LoadScopeScheduling

    class ContainersTogether(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return CONTAINERS if nodeid.startswith(CONTAINERS) else nodeid

    return ContainersTogether(config, log)
