"""An embedded testbed that nobody closes: its state, which is memory's, goes with the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LIMIT_S = 60
PROGRAM = """
import signal, sys, tempfile, threading
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
if "busy" in sys.argv:  # with what is ready only when the program has ended
    from concurrent.futures import thread

    from portyard.ssh import keys
    from portyard.testing.embedded import Embedded

    begun, closing, ensure, close = threading.Event(), threading.Event(), keys.ensure, Embedded.close
    Embedded.close = lambda running: (closing.set(), close(running))

    def ensured(folder, kinds):
        found = ensure(folder, kinds)
        if len(kinds) == len(keys.KINDS):
            begun.set()
            while not closing.wait(0.001) and not thread._shutdown:
                pass
        return found

    keys.ensure = ensured
testbed = Testbed.embedded()
if "open" in sys.argv:
    testbed.wait_until_open()
if "busy" in sys.argv:
    testbed.wait_until_open()
    begun.wait()
testbed.sandbox().account("mira")
if "closed" in sys.argv:
    testbed.close()
"""


@pytest.mark.parametrize("how", ["early", "open", "busy", "interrupted", "closed"])
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
