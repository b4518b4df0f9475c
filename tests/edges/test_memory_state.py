"""What an embedded testbed keeps in memory goes with its process, and after a kill with the next one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from portyard.commons.memory_state import AT_ONCE, memory_state

LIMIT_S = 30
HOLDER = """
import sys
from pathlib import Path
from portyard.commons.memory_state import memory_state
with memory_state(Path(sys.argv[1])) as path:
    (path / "mail.db").write_bytes(b"x" * 1000)
    print(path, flush=True)
    sys.stdin.read()
"""


def holder(parent: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that uses such a directory."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(parent)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def ended(process: subprocess.Popen[str]) -> None:
    """Let it go on to its end."""
    process.communicate(timeout=LIMIT_S)


def test_it_goes_with_its_block(tmp_path: Path) -> None:
    with memory_state(tmp_path) as path:
        assert path.parent == tmp_path
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_goes_with_the_next(tmp_path: Path) -> None:
    process, path = holder(tmp_path)
    process.kill()
    ended(process)
    assert (path / "mail.db").exists()
    with memory_state(tmp_path) as mine:
        assert list(tmp_path.iterdir()) == [mine]


def test_a_living_ones_stays(tmp_path: Path) -> None:
    process, path = holder(tmp_path)
    with memory_state(tmp_path) as mine:
        assert {*tmp_path.iterdir()} == {path, mine}
        assert (path / "mail.db").exists()
    ended(process)
    assert not list(tmp_path.iterdir())


def test_what_is_no_such_directory_stays(tmp_path: Path) -> None:
    (tmp_path / "portyard-of-somebody").mkdir()
    (tmp_path / "portyard-notes").write_text("mine")
    with memory_state(tmp_path):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"portyard-of-somebody", "portyard-notes"}


def test_one_start_removes_some_of_many(tmp_path: Path) -> None:
    for number in range(AT_ONCE + 2):
        (tmp_path / f"portyard-{number}").mkdir()
        (tmp_path / f"portyard-{number}" / "alive").touch()
    with memory_state(tmp_path):
        assert len(list(tmp_path.iterdir())) == 3
    with memory_state(tmp_path) as mine:
        assert list(tmp_path.iterdir()) == [mine]
