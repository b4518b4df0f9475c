"""Connections that are over for us while their clients still send, which are to read what was said last.

A socket that is closed with unread octets sends a RST. That can overtake the last reply, and a client whose write fails by it often leaves
without having read why. So the connection is half-closed, what still comes is dropped, and only who goes on for too long is cut off.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

from portyard.commons.gentle import Lingering

LINGER_S = 10.0  # how long a client may take to notice that it isn't listened to any more
LINGER_OCTETS = 64 << 20  # and what it may send meanwhile: one that never looks up gets the RST after all
_SINK = bytearray(64 * 1024)  # one for all: nobody looks at what is in it


class Leaving:
    """Those of one service, at most so many as may linger."""

    def __init__(self) -> None:
        self._lingering = Lingering()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._lingering)

    def see_out(self, sock: socket.socket | None) -> None:
        """Send the end, and drop what comes until the client ends too.

        Args:
            sock: The connection, which nobody else reads (see `gentle.kept_socket`); it is closed. None where it is gone already.
        """
        if sock is not None:
            with contextlib.suppress(OSError):  # gone
                sock.shutdown(socket.SHUT_WR)
            self._lingering.add(_Leaver(sock, self._lingering))

    async def close(self) -> None:
        """Let all go."""
        await self._lingering.close()


class _Leaver:
    """Implements `gentle.Lingerer`."""

    def __init__(self, sock: socket.socket, lingering: Lingering) -> None:
        self._sock = sock
        self._lingering = lingering
        self._task = asyncio.get_running_loop().create_task(self._drop())
        self._task.add_done_callback(self._close)

    def info(self, name: str) -> Any:  # noqa: ANN401 - as a transport's
        """See Lingerer."""
        return self._sock if name == "socket" else self._sock.getpeername()

    def let_go(self) -> None:
        """See Lingerer."""
        self._task.cancel()

    async def gone(self) -> None:
        """See Lingerer."""
        await asyncio.wait([self._task])

    async def _drop(self) -> None:
        loop, left = asyncio.get_running_loop(), LINGER_OCTETS
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while left > 0 and (taken := await loop.sock_recv_into(self._sock, _SINK)):
                    left -= taken
                    await asyncio.sleep(0)  # what has come already is read without ever waiting: others want their turn

    def _close(self, _: object) -> None:
        self._sock.close()
        self._lingering.discard(self)
