"""Which connections the testbed's services make to each other, known to all its processes before their first word.

Whoever dials binds its socket, notes that end here and only then connects; whoever accepts looks here. An end is a file that its process
holds a lock on, so one that a killed process left behind doesn't count. Knows sockets and files; knows no protocol.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from portyard.commons.locks import is_held

End = tuple[str, int]
"""An IP address and a port."""
_MAPPED = "::ffff:"


class SharedInsiders:
    """The ends of one state directory.

    Args:
        folder: `insiders/` of the state directory; made when missing, and swept.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._held: dict[End, int] = {}
        for path in folder.iterdir():
            self._sweep(path)

    def add(self, end: End) -> None:
        """Note an end of ours, before it is connected."""
        path = self._path(end)
        while True:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_SH)  # held up only by somebody who is just looking, or removing
            if os.fstat(lock).st_nlink:
                break
            os.close(lock)  # it was removed before it was ours
        self._held[end] = lock

    def discard(self, end: End) -> None:
        """Forget an end; fine when it isn't noted."""
        lock = self._held.pop(end, None)
        if lock is not None:
            _remove(lock, self._path(end))
            os.close(lock)

    def __contains__(self, end: object) -> bool:
        """Whether some process that lives has noted the end."""
        plain = unmapped(cast(End, end))
        return plain in self._held or is_held(self._path(plain))

    def close(self) -> None:
        """Forget all ends of this process."""
        for end in list(self._held):
            self.discard(end)

    def _path(self, end: End) -> Path:
        return self._folder / f"{end[0]}-{end[1]}"

    def _sweep(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                _remove(lock, path)
            finally:
                os.close(lock)


@contextlib.contextmanager
def noted(insiders: SharedInsiders | None, end: End) -> Iterator[None]:
    """An end that is noted until the block ends."""
    if insiders is None:
        yield
        return
    insiders.add(end)
    try:
        yield
    finally:
        insiders.discard(end)


def bound_towards(host: str, port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    """A non-blocking socket whose own end is known before it connects: the address by which this machine reaches another.

    Raises:
        OSError: There is no way there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((host, port))  # asks the kernel's routes; nothing is sent
        address = probe.getsockname()[0]
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        sock.bind((address, 0))
    except BaseException:
        sock.close()
        raise
    return sock


def unmapped(end: End) -> End:
    """An end by its IPv4 address where it has one: a listener of both families tells it as an IPv6 address (RFC 4291 §2.5.5.2)."""
    address = end[0].removeprefix(_MAPPED)
    return (address, end[1]) if "." in address else end


def end_of(sock: socket.socket) -> End:
    """A socket's own end."""
    address, port, *_ = sock.getsockname()
    return address, port


def _remove(lock: int, path: Path) -> None:
    """Remove an end's file, unless another process holds it, too."""
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
