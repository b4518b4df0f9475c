"""Closing a connection so that its peer reads to the end."""

from __future__ import annotations

import asyncio
from typing import Any


class GentleTransport:
    """A transport whose `close` lets the peer read to the end.

    A socket that is closed with unread octets sends a reset, which can overtake the last answer. So: half-close, read and drop until the
    peer closes too, give up after a while. Where there is no half-close, below TLS, that is the layer's duty.

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
        if self.peer_ended or not self._below.can_write_eof():
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
