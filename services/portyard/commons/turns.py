"""Whose turn it is in a process in which something computes for long: turns come sooner, and nobody waits for collections of garbage."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Final

BRISK_S: Final = 0.0002

_lock: Final = threading.Lock()
_usual_s: Final[list[float]] = []  # what it was, once for each who wants it brisk
_left: Final[ContextVar[threading.Event | None]] = ContextVar("left", default=None)


class GivenUpError(Exception):
    """Nobody waits any more for what is computed."""


@contextlib.contextmanager
def awaited() -> Iterator[None]:
    """What is begun in a thread within the block is given up with it, where it asks by `go_on`."""
    left = threading.Event()
    token = _left.set(left)
    try:
        yield
    finally:
        _left.reset(token)
        left.set()


def go_on() -> None:
    """To be called by what computes for long, every few milliseconds: a thread can't be ended from outside.

    Raises:
        GivenUpError: Nobody waits for it.
    """
    left = _left.get()
    if left is not None and left.is_set():
        raise GivenUpError


@contextlib.contextmanager
def briskly() -> Iterator[None]:
    """Have threads take turns every 0.2 ms until the block ends.

    A loop lets go of the interpreter whenever it asks the system or the store for something, and a thread that computes keeps it for
    Python's usual 5 ms each time: a request of ten such questions would take as many turns.
    """
    with _lock:
        _usual_s.append(_usual_s[0] if _usual_s else sys.getswitchinterval())
        sys.setswitchinterval(BRISK_S)
    try:
        yield
    finally:
        with _lock:
            usual_s = _usual_s.pop()
            if not _usual_s:
                sys.setswitchinterval(usual_s)


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Without collections of garbage until the block ends: each would walk all that is there, and everybody waits for it.

    For what makes hardly any, soon ends and waits for nobody.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
