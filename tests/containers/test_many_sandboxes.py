"""Two hundred sandboxes stand in one testbed, used by four workers at once: nobody meets anybody."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from portyard.testing import Testbed
from tests.support.containers import IMAGE
from tests.support.crowd import TESTS
from tests.support.process import clean_environment

CROWD = Path(__file__).parents[1] / "support" / "crowd.py"
WORKERS = 4
LIMIT_S = 900.0  # wanted: 90


def test_two_hundred_sandboxes_never_meet(image: None, tmp_path: Path) -> None:
    shutil.copy(CROWD, tmp_path / "test_crowd.py")
    with Testbed.container(IMAGE) as testbed:
        began = time.monotonic()
        outcome = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n", str(WORKERS), "-p", "no:cacheprovider", "--tb", "short"],
            cwd=tmp_path,
            env=clean_environment(PORTYARD_URL=testbed.control.url),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        spent = time.monotonic() - began
        assert outcome.returncode == 0, outcome.stdout[-6000:] + outcome.stderr[-2000:]
        assert re.search(rf"^{TESTS} passed", outcome.stdout, re.MULTILINE), outcome.stdout[-500:]
        print(f"{TESTS} sandboxes in {spent:.1f} s")
        names = [each["name"] for each in testbed.control.get("sandboxes")]
        assert len(names) == TESTS + 1  # all at once
        for name in set(names) - {"default"}:
            assert [each["subject"] for each in testbed.control.get(f"sandboxes/{name}/messages")] == ["the news"]
        assert testbed.default().mail.all() == []
