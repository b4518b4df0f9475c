"""The interface of a database engine.

SQL is portable: `?` parameters, no dialect words but those that SQLite and PostgreSQL share (RETURNING, ON CONFLICT, partial indexes).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Row = tuple[Any, ...]


class StorageError(Exception):
    """The storage below failed; the message is one clear line."""


class StorageFullError(StorageError):
    """The disk is full; nothing of the write was stored."""


class ConstraintError(StorageError):
    """A statement would break a constraint (a key that exists already); a job may catch it and go on."""


class StateDirectoryError(StorageError):
    """The state directory, or a file in it, can't be used; the message names path and remedy."""

    @classmethod
    def of(cls, path: Path, error: Exception) -> StateDirectoryError:
        """The error for a path and what the system said of it."""
        why = getattr(error, "strerror", None) or str(error)
        remedy = f"let uid {os.geteuid()} write it, or set `state` to another directory"
        return cls(f"{path}: {why[:1].lower()}{why[1:]}; {remedy}")


class Transaction(Protocol):
    """What a write job works with; runs on the writer's thread."""

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Run one statement; the rows it returned."""

    def execute_many(self, sql: str, parameters: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each row of parameters."""

    def bump(self, counter: str) -> None:
        """Move a generation counter after the commit."""

    def after_commit(self, action: Callable[[], object]) -> None:
        """Run something on the writer's thread once the job is committed (removing a file …); its failure is nobody's error."""


class Database(Protocol):
    """One file (or schema)."""

    async def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Rows as of the last commit."""

    async def write(self, job: Callable[[Transaction], T]) -> T:
        """Run a job in a transaction, grouped with others; returns its result once it is committed.

        A job that raises is rolled back alone and its exception is raised here. A job may be run again (when the group that it was in
        failed), so it must do nothing but work with its transaction and return.

        Raises:
            StorageFullError: The disk is full; nothing was stored.
            StorageError: The storage failed; nothing was stored.
        """

    def generation(self, counter: str) -> int:
        """A counter's value now, moved by any process's `bump`; a memory read."""

    def reader(self, counter: str) -> Callable[[], int]:
        """`generation` of one counter as a function, for those who ask at every event."""

    async def close(self) -> None:
        """Finish the writes under way and close."""
