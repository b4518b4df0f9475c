"""Addresses that are refused for a while, because connections of theirs ended after failed logins (sshd_config(5), PerSourcePenalties)."""

from __future__ import annotations

LEAST = 3  # penalties that an address may have before it is refused: 15 s at 5 s each
LONGEST_S = 600.0
MOST = 4096  # addresses that are remembered

Who = tuple[str, str]
"""A sandbox, and an address in it."""


class Penalties:
    """What addresses have to wait."""

    def __init__(self) -> None:
        self._until: dict[Who, float] = {}
        self._refused: set[Who] = set()

    def add(self, who: Who, penalty_s: float, now: float) -> None:
        """A connection of this address ended after failed logins.

        Args:
            who: The address.
            penalty_s: What that costs.
            now: Monotonic seconds.
        """
        self._forget(now)
        if len(self._until) >= MOST and who not in self._until:
            return
        until = min(max(self._until.get(who, now), now) + penalty_s, now + LONGEST_S)
        self._until[who] = until
        if until - now > (LEAST - 0.5) * penalty_s:  # the third; a while passed since the first
            self._refused.add(who)

    def refuses(self, who: Who, now: float) -> bool:
        """Whether connections of this address are refused."""
        self._forget(now)
        return who in self._refused

    def _forget(self, now: float) -> None:
        for who in [who for who, until in self._until.items() if until <= now]:
            del self._until[who]
            self._refused.discard(who)
