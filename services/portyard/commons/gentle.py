"""Closing a connection so that its peer reads to the end."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

MOST: Final = 1000
"""Connections of one service that may linger at once: descriptors are for those who still have something to say."""

QUIET_S: Final = 0.1
"""Of silence behind the last word of a service that shuts down: whoever was in the midst of sending goes on as soon as it is read, and
whoever idles isn't waited for any longer."""
SEEING_OFF_S: Final = 2.0
"""For those who go on sending behind it. With the time for the word itself (`SAYING_S`) it stays within a container's stop grace of 5 s."""
SAYING_S: Final = 2.5
"""For the last word itself, when a service shuts down: a peer that takes nothing so long won't read it."""


class GentleTransport:
    """A transport whose `close` lets the peer read to the end.

    A socket that is closed with unread octets sends a reset, which can overtake the last answer. So: half-close, read and drop until the
    peer closes too, give up after a while. Of a transport that does this itself (it `lingers`), as the TLS layer's does, it is the duty.

    Args:
        below: The real transport.
        linger_s: How long the peer may take.
    """

    def __init__(self, below: asyncio.Transport, linger_s: float) -> None:
        self._below = below
        self._linger_s = linger_s
        self._timer: asyncio.TimerHandle | None = None
        self.peer_ended = False  # nothing is left to be read

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - all that a transport has
        return getattr(self._below, name)

    @property
    def lingering(self) -> bool:
        """Whether we closed and only wait for the peer to see it."""
        return self._timer is not None

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        return self.lingering or self._below.is_closing()

    def close(self) -> None:
        """Half-close, and read on a little until the peer closes too."""
        if self.is_closing():
            return
        if self.peer_ended or getattr(self._below, "lingers", False) or not self._below.can_write_eof():
            self._below.close()
            return
        self._timer = asyncio.get_running_loop().call_later(self._linger_s, self._below.abort)
        try:
            self._below.write_eof()
        except OSError:  # the peer reset the connection already, and there is nothing to linger for
            self._below.abort()
        else:
            self._below.resume_reading()

    def ended(self) -> None:
        """The connection is gone."""
        if self._timer is not None:
            self._timer.cancel()


class PartingTransport(GentleTransport):
    """The same where a library aborts whenever it has said its last word: the peer still reads that."""

    def abort(self) -> None:
        """As `close`."""
        self.close()

    def let_go(self) -> None:
        """Close at once, whoever is still reading."""
        self._below.abort()


class Lingerer(Protocol):
    """A connection whose session is over."""

    def info(self, name: str) -> Any:  # noqa: ANN401 - asyncio's own type
        """Its transport's extra information."""

    def let_go(self) -> None:
        """Close at once, whoever is still reading."""

    async def gone(self) -> None:
        """Wait until the connection is no more."""


class Lingering:
    """Those of one service whose sessions are over, and whose peers have yet to read the last word.

    Nobody waits for them, so they are held here: at most so many at once (the oldest is let go for one more), and none after `let_go`.

    Args:
        most: How many.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._held: dict[Lingerer, None] = {}
        self._ended = False

    def __len__(self) -> int:
        """How many linger."""
        return len(self._held)

    def add(self, connection: Lingerer) -> None:
        """One more, until `discard`."""
        if self._ended:
            connection.let_go()
            return
        self._held[connection] = None
        if len(self._held) > self._most:
            oldest = next(iter(self._held))
            self.discard(oldest)
            oldest.let_go()

    def discard(self, connection: Lingerer) -> None:
        """It is gone; fine when it never lingered."""
        self._held.pop(connection, None)

    def let_go(self) -> None:
        """Let all go, soon, and whoever comes later."""
        self._ended = True
        for connection in list(self._held):
            connection.let_go()

    async def close(self) -> None:
        """Let all go, and see them off."""
        held = list(self._held)
        socks = [kept(connection.info) for connection in held]
        self.let_go()
        await see_off(socks)
        await asyncio.gather(*(connection.gone() for connection in held))


def kept(info: Callable[[str], Any]) -> socket.socket | None:
    """A transport's connection under a descriptor of its own, so that it stays when the transport is gone.

    Args:
        info: The transport's `get_extra_info`.

    Returns:
        None where the connection is gone already.
    """
    try:
        sock, peer = info("socket"), info("peername")
    except (OSError, ValueError):  # a loop may ask the descriptor, which is closed
        return None
    own = None if sock is None else kept_socket(sock)
    if own is not None and _peer_of(own) != peer:  # somebody else has got the descriptor's number meanwhile
        own.close()
        return None
    return own


def kept_socket(sock: Any) -> socket.socket | None:  # noqa: ANN401 - whatever has a descriptor
    """The same of a socket that nobody has closed."""
    try:
        own = socket.socket(fileno=os.dup(sock.fileno()))
    except (OSError, ValueError):
        return None
    if _peer_of(own) is None:
        own.close()
        return None
    own.setblocking(False)
    return own


def _peer_of(sock: socket.socket) -> object:
    """Who is at the other end; None when nobody is any more."""
    try:
        return sock.getpeername()
    except OSError:
        return None


async def see_off(socks: Iterable[socket.socket | None]) -> None:
    """Send the end behind what was said, read and drop what comes until the peers have closed or are quiet, and close.

    Args:
        socks: Connections that nobody else has any more; they are closed.
    """
    leaving = [sock for sock in socks if sock is not None]
    try:
        await asyncio.gather(*(_read_out(sock) for sock in leaving))
    finally:
        for sock in leaving:
            sock.close()


async def _read_out(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + SEEING_OFF_S
    try:
        sock.shutdown(socket.SHUT_WR)
        while loop.time() < end:
            async with asyncio.timeout(QUIET_S):
                if not await loop.sock_recv(sock, 1 << 16):
                    return
            await asyncio.sleep(0)  # what has come already is read without ever waiting: others want their turn
    except (OSError, TimeoutError):
        pass  # gone, or quiet
