"""A connect that hangs: a listening socket whose backlog is full, so that the kernel answers no SYN.

Only a kernel does that to a client; a proxy in front of the port (Docker's) accepts by itself.
"""

from __future__ import annotations

import contextlib
import socket

from portyard.commons.wire.pair import Address
from portyard.commons.wire.sockets import close_now, is_established

MOST_FILLERS = 16  # a backlog of 0 takes one connection, and those in the queue already count


class Clog:
    """A listening socket that takes no connection until it is released.

    Its owner must not accept meanwhile. A client that connects waits in its own SYN's retransmission (1 s, 2 s, 4 s …), and is connected
    by the first one after the release.

    Args:
        listening: The listening, non-blocking socket.
        backlog: Its backlog, for afterwards.

    Raises:
        OSError: It can't be filled.
    """

    def __init__(self, listening: socket.socket, backlog: int) -> None:
        self._listening = listening
        self._backlog = backlog
        self._fillers: list[socket.socket] = []
        listening.listen(0)
        for _ in range(MOST_FILLERS):
            if not self._fill():
                return
        self.release()
        raise OSError("the backlog can't be filled")

    def release(self) -> list[tuple[socket.socket, Address]]:
        """Take connections again.

        Returns:
            Clients that had connected before and were waiting to be accepted, with their addresses.
        """
        ours = {filler.getsockname() for filler in self._fillers}
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()
        waiting = []
        with contextlib.suppress(OSError):  # nobody is left
            while True:
                sock, address = self._listening.accept()
                if address in ours:
                    close_now(sock)
                else:
                    waiting.append((sock, address))
        self._listening.listen(self._backlog)
        return waiting

    def _fill(self) -> bool:
        """False once the kernel takes no more."""
        filler = socket.socket(self._listening.family, socket.SOCK_STREAM)
        filler.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            filler.connect(_reachable(self._listening.getsockname()))
        if is_established(filler):
            self._fillers.append(filler)
            return True
        filler.close()
        return False


def _reachable(address: Address) -> Address:
    """Where a socket that listens everywhere is met from this host."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address[0], address[0])  # noqa: S104 - compared
    return (host, *address[1:])
