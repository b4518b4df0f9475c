"""Written records as values, and the interface of their store. Pure: every core may import it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class WrittenRecord:
    """One record as its user wrote it.

    Attributes:
        name: Absolute, in lower case, without the final dot.
        type: The type's name ("TXT").
        ttl: Seconds that an answer may be kept.
        value: The data in master file form (RFC 1035 §5.1).
    """

    name: str
    type: str
    ttl: int
    value: str


class Records(Protocol):
    """The written records of every sandbox."""

    async def of(self, sandbox: str) -> tuple[WrittenRecord, ...]:
        """A sandbox's records by name and type; the same tuple while nothing was written anywhere."""

    def serial(self) -> int:
        """A number that grows with each write, in any process, as of the last `of`."""

    async def replace(self, sandbox: str, name: str, kind: str, ttl: int, values: list[str]) -> None:
        """Make these values the whole of a name's records of one type; none of them removes the type from the name."""
