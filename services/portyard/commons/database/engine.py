"""The interface of a database engine.

SQL is portable: `?` parameters, no dialect words but those that SQLite and PostgreSQL share (RETURNING, ON CONFLICT, partial indexes).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Row = tuple[Any, ...]


class Transaction(Protocol):
    """What a write job works with; runs on the writer's thread."""

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Run one statement; the rows it returned."""

    def execute_many(self, sql: str, parameters: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each row of parameters."""

    def bump(self, counter: str) -> None:
        """Move a generation counter after the commit."""


class Database(Protocol):
    """One file (or schema)."""

    async def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Rows as of the last commit."""

    async def write(self, job: Callable[[Transaction], T]) -> T:
        """Run a job in a transaction, grouped with others; returns its result once it is committed.

        A job that raises is rolled back alone and its exception is raised here.
        """

    def generation(self, counter: str) -> int:
        """A counter's value now, moved by any process's `bump`; a memory read."""

    async def close(self) -> None:
        """Finish the writes under way and close."""
