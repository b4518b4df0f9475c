"""The errands against compose.yaml's services, through their published ports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.containers import Containers
from tests.support.errands import ERRANDS, PASSWORD, Target


@pytest.mark.parametrize("errand", ERRANDS, ids=lambda errand: errand.__name__)
def test_errand(yard: Containers, errand: Callable[[Target], None], tmp_path: Path) -> None:
    target = Target(yard.ports.__getitem__, str(tmp_path / "ca.pem"), errand.__name__.replace("_", "-"))
    (tmp_path / "ca.pem").write_bytes(target.console.ask("ca.pem"))
    target.console.renew(target.name, PASSWORD)
    errand(target)
