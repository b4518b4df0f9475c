"""How the suite is run: which tests share a worker, and that no property is held against a wall clock."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings

CONTAINERS = "tests/containers/"  # its tests share one set of containers, so one worker runs them all

# A busy machine may take any time for an example; all else stays as the profile has it that hypothesis chose.
settings.register_profile(
    "unhurried",
    settings.get_profile(settings.get_current_profile_name()),
    deadline=None,
    suppress_health_check=[*settings.default.suppress_health_check, HealthCheck.too_slow],
)
settings.load_profile("unhurried")


def pytest_make_parametrize_id(val: object) -> str | None:
    """Octets that nobody can read are known by their number: what a library makes of the same text may differ from run to run.

    Every worker has to collect the same names, and gzip for one writes the time.
    """
    if isinstance(val, bytes) and not (val.isascii() and val.decode().isprintable()):
        return f"{len(val)} octets"
    return None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Xdist's own `loadgroup` tells groups by a private attribute that recent versions of pytest don't have any more."""
    from xdist.scheduler import LoadScopeScheduling

    class ContainersTogether(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return CONTAINERS if nodeid.startswith(CONTAINERS) else nodeid

    return ContainersTogether(config, log)
