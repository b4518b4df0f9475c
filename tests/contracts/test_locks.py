"""Named locks: one holder at a time, and nothing is left of a name that nobody holds."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest

from portyard.commons.locks import Lock, Locks

THREADS = 4
TURNS = 50


def test_a_lock_has_one_holder_and_leaves_nothing(tmp_path: Path) -> None:
    locks, others = Locks(tmp_path / "locks"), Locks(tmp_path / "locks")
    lock = locks.take("maildrop-1")
    assert lock is not None
    assert locks.take("maildrop-1") is None
    assert others.take("maildrop-1") is None
    other = others.take("maildrop-2")
    assert other is not None
    lock.release()
    lock.release()
    again = others.take("maildrop-1")
    assert again is not None
    again.release()
    other.release()
    assert list((tmp_path / "locks").iterdir()) == []


def test_a_file_that_a_killed_process_left_is_taken(tmp_path: Path) -> None:
    locks = Locks(tmp_path)
    (tmp_path / "relay").touch()
    lock = locks.take("relay")
    assert lock is not None
    lock.release()


def test_a_file_that_is_removed_before_it_is_locked_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a file while its holder lets go must not hold the old one beside somebody who holds a new one."""
    locks = Locks(tmp_path)
    first = locks.take("relay")
    assert first is not None
    flock = fcntl.flock

    def release_in_between(descriptor: int, operation: int) -> None:
        first.release()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", release_in_between)
    second = locks.take("relay")
    assert second is not None
    assert Locks(tmp_path).take("relay") is None
    second.release()


def test_many_who_want_it_hold_it_one_after_the_other(tmp_path: Path) -> None:
    holders: list[int] = []
    most: list[int] = []

    def work(locks: Locks) -> None:
        for _ in range(TURNS):
            lock: Lock | None = None
            while lock is None:
                lock = locks.take("relay")
            holders.append(1)
            most.append(len(holders))
            os.sched_yield()
            holders.pop()
            lock.release()

    threads = [threading.Thread(target=work, args=(Locks(tmp_path),)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == THREADS * TURNS
    assert max(most) == 1
    assert list(tmp_path.iterdir()) == []
