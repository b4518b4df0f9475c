"""The flights of a handshake (RFC 8446 §2, RFC 5246 §7.3): who sent how much, and when. Pure."""

from __future__ import annotations

MOST = 16
"""Flights that are told; a handshake has three or four, five with a HelloRetryRequest, and a peer that cuts it up has no more."""


class Flights:
    """A handshake as it went to and fro.

    A flight is what one side sends before the other one speaks; its moment is when the last octet of it passed. The first is the client's
    hello. Behind the last of TLS 1.3's handshake the server's session tickets go out: they are told as one more.
    """

    __slots__ = ("_all",)

    def __init__(self) -> None:
        self._all: list[tuple[str, int, float]] = []

    def passed(self, direction: str, octets: int, seconds: float) -> None:
        """Octets went by.

        Args:
            direction: "in" or "out".
            octets: How many.
            seconds: When, from the start of the handshake.
        """
        if self._all and (self._all[-1][0] == direction or len(self._all) == MOST):
            before = self._all.pop()
            direction, octets = before[0], before[1] + octets
        self._all.append((direction, octets, seconds))

    def told(self) -> list[dict[str, object]] | None:
        """As the journal shows them; None where nothing passed."""
        return [
            {"direction": direction, "octets": octets, "seconds": round(seconds, 6)}
            for direction, octets, seconds in self._all
        ] or None
