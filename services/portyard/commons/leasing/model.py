"""Leases as values. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from portyard.commons.directory import Endpoint


@dataclass(frozen=True, slots=True)
class Lease:
    """A service's listeners for one sandbox alone: whoever connects there is in that sandbox from the first octet.

    Attributes:
        sandbox: Whose.
        service: The service ("mta").
        endpoints: Where they are, or were before the service was started anew; empty while nobody has opened them yet.
        accepts: Whether they accept.
        failure: Why they can't be opened, or "".
    """

    sandbox: str
    service: str
    endpoints: tuple[Endpoint, ...] = ()
    accepts: bool = False
    failure: str = ""

    @property
    def pending(self) -> bool:
        """Whether the service hasn't answered yet."""
        return not self.accepts and not self.failure


class LeaseError(Exception):
    """A lease can't be had; the message says why."""
