"""Sandboxes as values, and the interface of their store. Pure: every core may import it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A slice of the testbed.

    Attributes:
        name: Unique; `default` always exists.
        generation: Raised by a reset; traffic of an older generation is dropped.
        capture: "any" takes mail for every recipient, "own" is a strict server.
        domains: What it owns; the first one completes bare local parts.
        default_password: The password of accounts that capture makes.
    """

    name: str
    generation: int
    capture: str
    domains: tuple[str, ...]
    default_password: str = "portyard"  # noqa: S105 - documented, a testbed's


class Sandboxes(Protocol):
    """Every sandbox of the testbed."""

    async def get(self, name: str) -> Sandbox | None:
        """The sandbox of that name."""

    async def owner(self, domain: str) -> Sandbox | None:
        """The sandbox that owns the domain (lower case), or None."""

    async def list(self) -> list[Sandbox]:
        """All of them by name."""
