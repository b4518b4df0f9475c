"""An embedded testbed that nobody closes: its state, which is memory's, goes with the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LIMIT_S = 60
PROGRAM = """
import signal, sys, tempfile
from portyard.testing import Testbed

make = tempfile.mkdtemp

def recorded(*arguments, **options):
    made = make(*arguments, **options)
    print(made, flush=True)
    if "interrupted" in sys.argv:
        signal.raise_signal(signal.SIGINT)
    return made

signal.signal(signal.SIGINT, signal.default_int_handler)
tempfile.mkdtemp = recorded
testbed = Testbed.embedded()
if "open" in sys.argv:
    testbed.wait_until_open()
testbed.sandbox().account("mira")
if "closed" in sys.argv:
    testbed.close()
"""


@pytest.mark.parametrize("how", ["early", "open", "interrupted", "closed"])
def test_its_state_is_gone_with_the_process(how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, how],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    (state,) = done.stdout.split()
    assert not Path(state).exists()
    if how == "interrupted":
        assert done.stderr.strip().endswith("KeyboardInterrupt")
    else:
        assert (done.returncode, done.stderr) == (0, "")
