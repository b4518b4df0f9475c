"""Ends that services note for each other: seen by every process from before the connection until its end, and not beyond a death."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from portyard.commons.insiders import SharedInsiders, bound_towards, end_of, unmapped

HOLD = """
import sys
from pathlib import Path
from portyard.commons.insiders import SharedInsiders
insiders = SharedInsiders(Path(sys.argv[1]))
insiders.add(("127.0.0.1", 4711))
print("noted", flush=True)
if sys.stdin.readline():
    insiders.discard(("127.0.0.1", 4711))
    print("forgotten", flush=True)
sys.stdin.read()
"""
END = ("127.0.0.1", 4711)


@pytest.fixture
def other(tmp_path: Path) -> subprocess.Popen[str]:  # type: ignore[misc]
    """Another process that has noted END."""
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "noted\n"
        yield process
        process.kill()


def test_an_end_is_known_until_it_is_forgotten(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    insiders = SharedInsiders(tmp_path)
    assert END in insiders
    assert ("127.0.0.1", 4712) not in insiders
    assert ("127.0.0.2", 4711) not in insiders
    assert other.stdin is not None
    assert other.stdout is not None
    print("forget", file=other.stdin, flush=True)
    assert other.stdout.readline() == "forgotten\n"
    assert END not in insiders
    assert list(tmp_path.iterdir()) == []


def test_a_listener_of_both_families_knows_them_too(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    assert ("::ffff:127.0.0.1", 4711) in SharedInsiders(tmp_path)
    assert ("::ffff:127.0.0.1", 4712) not in SharedInsiders(tmp_path)
    assert ("::1", 4711) not in SharedInsiders(tmp_path)
    assert [unmapped((each, 5)) for each in ("::ffff:10.0.0.1", "10.0.0.1", "::1", "::ffff:1")] == [
        ("10.0.0.1", 5),
        ("10.0.0.1", 5),
        ("::1", 5),
        ("::ffff:1", 5),
    ]


def test_a_killed_process_counts_no_more(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    insiders = SharedInsiders(tmp_path)
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert END not in insiders
    insiders.add(END)  # the number is free again, the file lies there
    assert END in SharedInsiders(tmp_path)
    insiders.discard(END)
    assert END not in insiders


def test_what_the_dead_left_is_swept_and_the_living_stay(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    (tmp_path / "127.0.0.1-1").touch()
    SharedInsiders(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["127.0.0.1-4711"]


def test_two_may_note_the_same_end_in_networks_of_their_own(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    insiders, third = SharedInsiders(tmp_path), SharedInsiders(tmp_path)
    insiders.add(END)
    insiders.discard(END)
    assert END in third


def test_a_socket_knows_its_end_before_it_connects() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with bound_towards("127.0.0.1", server.getsockname()[1], kind) as sock:
                address, port = end_of(sock)
                assert address == "127.0.0.1"
                assert port
        with bound_towards("127.0.0.1", server.getsockname()[1]) as sock:
            sock.connect_ex(server.getsockname())
            accepted, peer = server.accept()
            accepted.close()
            assert peer == end_of(sock)


def test_descriptors_do_not_leak(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    insiders = SharedInsiders(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        insiders.add(("::1", 1))
        assert END in insiders
        assert ("::1", 2) not in insiders
        insiders.discard(("::1", 1))
    assert len(os.listdir("/proc/self/fd")) <= before  # those of earlier tests may go at any moment
