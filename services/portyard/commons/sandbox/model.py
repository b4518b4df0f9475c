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
        magic: Whether magic words in addresses, paths and file names are heard.
    """

    name: str
    generation: int
    capture: str
    domains: tuple[str, ...]
    default_password: str = "portyard"  # noqa: S105 - documented, a testbed's
    magic: bool = False


class SandboxError(ValueError):
    """What is asked of a sandbox can't be. The message names key, value and what is allowed.

    Attributes:
        key: "name", "domains" …
        value: What was given.
        allowed: What may be given.
    """

    def __init__(self, key: str, value: object, allowed: str, reason: str) -> None:
        super().__init__(f"{key} = {value!r}: {reason}; allowed: {allowed}")
        self.key = key
        self.value = value
        self.allowed = allowed
        self.reason = reason


class SandboxTakenError(SandboxError):
    """A sandbox of that name exists, or the name is reserved."""


class DomainTakenError(SandboxError):
    """Another sandbox owns the domain."""


class NoSuchSandboxError(SandboxError):
    """There is no sandbox of that name."""

    def __init__(self, name: str) -> None:
        super().__init__("sandbox", name, "a sandbox that the list shows", "there is no such sandbox")


class Sandboxes(Protocol):
    """Every sandbox of the testbed."""

    async def get(self, name: str) -> Sandbox | None:
        """The sandbox of that name."""

    async def owner(self, domain: str) -> Sandbox | None:
        """The sandbox that owns the domain (lower case), or None."""

    def generation_now(self, name: str) -> int:
        """A sandbox's generation at this moment; 0 when there is none. Never waits."""

    async def create(
        self,
        name: str,
        *,
        capture: str = "any",
        domains: tuple[str, ...] = (),
        default_password: str = "portyard",  # noqa: S107 - documented, a testbed's
        magic: bool = False,
    ) -> Sandbox:
        """Make a sandbox; it owns `<name>.test` and these domains, and is known everywhere on return.

        Raises:
            SandboxTakenError: The name exists or is reserved.
            DomainTakenError: Somebody else owns a domain.
            SandboxError: The name is no label, a domain no host name, or a value is wrong.
        """

    async def change(
        self,
        name: str,
        *,
        capture: str | None = None,
        domains: tuple[str, ...] | None = None,
        default_password: str | None = None,
        magic: bool | None = None,
    ) -> Sandbox:
        """Change what isn't None; `domains` are all that it owns, `<name>.test` aside. Raises as create, and NoSuchSandboxError."""

    async def reset(self, name: str) -> Sandbox:
        """Empty a sandbox and raise its generation: mail, files, rules, journal and clock go; accounts and domains stay.

        Whatever of the older generation comes later is never seen.

        Raises:
            NoSuchSandboxError: There is none.
        """

    async def delete(self, name: str) -> None:
        """Remove a sandbox with everything that it owns; `default` stays.

        Raises:
            NoSuchSandboxError: There is none.
            SandboxError: It is `default`.
        """

    async def list(self) -> list[Sandbox]:
        """All of them by name."""
