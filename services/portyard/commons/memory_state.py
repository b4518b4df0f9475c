"""A state directory in memory: it goes with its process, and when that was killed, with the next one that makes such a directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from portyard.commons.locks import is_held

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a directory of its own is made in it
PREFIX: Final = "portyard-"
ALIVE: Final = "alive"
"""The file whose lock says that somebody uses the directory; the kernel lets go of it, however the process ends."""
AT_ONCE: Final = 8
"""So many left directories one start removes: it takes some milliseconds for each, and somebody waits for the testbed."""


@contextlib.contextmanager
def memory_state(parent: Path | None = None) -> Iterator[Path]:
    """A directory of this process's own, removed behind the block.

    Args:
        parent: Where it is made; on tmpfs where there is one, else where temporary files are, when None.

    Raises:
        OSError: It can't be made.
    """
    parent = parent or (MEMORY if os.access(MEMORY, os.W_OK) else Path(tempfile.gettempdir()))
    _sweep(parent)
    path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    descriptor = os.open(path / f".{ALIVE}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        (path / f".{ALIVE}").rename(path / ALIVE)  # held before anybody can find it free
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


def _sweep(parent: Path) -> None:
    """Remove what processes left that were killed."""
    left = 0
    for path in parent.glob(f"{PREFIX}*/{ALIVE}"):
        with contextlib.suppress(OSError):  # it goes at this moment
            if path.parent.stat().st_uid == os.getuid() and not is_held(path):
                shutil.rmtree(path.parent, ignore_errors=True)
                left += 1
        if left == AT_ONCE:
            return
