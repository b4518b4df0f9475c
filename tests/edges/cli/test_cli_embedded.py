"""The embedded engine after what happens to it: killed, its notes or its state removed, its number or its ports another's."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.process import portyard

Yard = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    """`portyard …` in a folder of the test's own."""

    def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        apart = {"PORTYARD_ENGINE": "embedded", "PORTYARD_PORTS": "ephemeral", "PORTYARD_PASSIVE_PORTS": ""}
        return portyard(*words, cwd=tmp_path, **apart, **environment)

    yield command
    command("down")


def started(yard: Yard, folder: Path) -> int:
    """The process that serves after `up`, with which every service is ready."""
    up = yard("up")
    assert up.returncode == 0, up.stderr
    status = yard("status")
    assert (status.returncode, status.stdout.count(" ready")) == (0, 11)
    return int((folder / ".portyard" / "serve.pid").read_text())


def remove(path: Path) -> None:
    """Take a folder away from under a process that may still write into it."""
    away = path.rename(path.with_name(f"{path.name}-{uuid.uuid4().hex}"))
    shutil.rmtree(away, ignore_errors=True)


def is_alive(pid: int) -> bool:
    """Whether it runs; one that ended and that nobody has asked for doesn't."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_killed_one_is_started_again(yard: Yard, tmp_path: Path) -> None:
    killed = started(yard, tmp_path)
    os.kill(killed, signal.SIGKILL)
    assert started(yard, tmp_path) != killed


def test_one_without_its_state_is_replaced(yard: Yard, tmp_path: Path) -> None:
    old = started(yard, tmp_path)
    remove(tmp_path / ".portyard" / "state")
    os.utime(tmp_path / ".portyard" / "serve.pid", (0, 0))  # it had its time
    assert started(yard, tmp_path) != old
    assert not is_alive(old)


def test_one_without_notes_is_found(yard: Yard, tmp_path: Path) -> None:
    old = started(yard, tmp_path)
    remove(tmp_path / ".portyard")
    new = started(yard, tmp_path)
    assert new != old
    assert not is_alive(old)
    remove(tmp_path / ".portyard")
    assert yard("down").stdout == "stopped\n"
    assert not is_alive(new)
    assert yard("down").stdout == "nothing runs here\n"


def test_another_programs_number_is_left_alone(yard: Yard, tmp_path: Path) -> None:
    words = [sys.executable, "-c", "input()", "-m", "portyard", "serve", "all"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, cwd=tmp_path) as other:
        (tmp_path / ".portyard").mkdir()
        (tmp_path / ".portyard" / "engine").write_text("embedded\n")
        (tmp_path / ".portyard" / "serve.pid").write_text(f"{other.pid}\n")
        assert yard("down").stdout == "nothing runs here\n"
        assert started(yard, tmp_path) != other.pid
        assert other.poll() is None
        other.communicate(b"\n")


def test_another_folders_testbed_is_left_alone(yard: Yard, tmp_path: Path) -> None:
    ours = started(yard, tmp_path)
    apart = tmp_path / "apart"
    (apart / ".portyard").mkdir(parents=True)
    shutil.copy(tmp_path / ".portyard" / "serve.pid", apart / ".portyard")
    down = portyard("down", cwd=apart, PORTYARD_ENGINE="embedded")
    assert down.stdout == "nothing runs here\n"
    assert is_alive(ours)


def test_who_has_a_port_is_told(yard: Yard) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        name = Path("/proc/self/comm").read_text().strip()
        up = yard("up", PORTYARD_PORT_IMAP=str(number))
    assert up.returncode == 1
    (told,) = [line for line in up.stderr.splitlines() if line.startswith("portyard: ")]
    assert f"127.0.0.1:{number} (imap): the port is taken by {name} (pid {os.getpid()}); stop it, or set" in told
    assert yard("down").stdout == "nothing runs here\n"


def test_memory_is_refused(yard: Yard, tmp_path: Path) -> None:
    up = yard("up", PORTYARD_STATE="memory")
    assert up.returncode == 1
    assert up.stderr.startswith("portyard: state = 'memory': expected a directory, in which other commands find")
    assert up.stderr.count("\n") == 1
    assert not (tmp_path / "memory").exists()
