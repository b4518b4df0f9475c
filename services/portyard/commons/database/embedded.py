"""The embedded engine: one SQLite file in WAL mode, shared by the processes of the testbed.

Reads run in place on a kept connection, in autocommit, so that each sees the last commit. Writes go through one thread per process and
file, which puts whatever has queued up into one transaction (a commit beside another process's big ones may take 100 ms and must never
block the loop). Invariant: commit, move the counters, then answer.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from portyard.commons.database.engine import (
    ConstraintError,
    Row,
    StateDirectoryError,
    StorageError,
    StorageFullError,
    Transaction,
)
from portyard.commons.database.generations import Generations

T = TypeVar("T")

BATCH = 256  # jobs of one transaction: enough to share a commit, few enough that other processes get their turn
BUSY_S = 60.0  # another process may hold the write lock for long (a huge mailbox is copied); nobody waits for ever
CACHED_STATEMENTS = 512
_CHECKPOINT_PAGES = 2000  # fewer, larger checkpoints than SQLite's 1000; the WAL stays under some 16 MB


@dataclass(frozen=True, slots=True)
class Schema:
    """A file's tables, as the scripts that lead from each version to the next.

    Attributes:
        name: The file's stem, for messages.
        migrations: Script n leads from version n to n + 1; never edited once released, only added to.
        scrubbed: Whether what is deleted is overwritten, where SQLite was built so; otherwise only on pages that are written anyway.
    """

    name: str
    migrations: tuple[str, ...]
    scrubbed: bool = True


@dataclass(slots=True)
class _Job:
    """A write under way, and where its outcome goes."""

    run: Callable[[Transaction], Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None
    work: _Work | None = None


@dataclass(slots=True)
class _Work:
    """What a job sees of its transaction. Implements `engine.Transaction`."""

    connection: sqlite3.Connection
    counters: list[str] = field(default_factory=list)
    actions: list[Callable[[], object]] = field(default_factory=list)

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        try:
            return self.connection.execute(sql, parameters).fetchall()
        except sqlite3.IntegrityError as error:
            raise ConstraintError(str(error)) from error

    def execute_many(self, sql: str, parameters: Sequence[Sequence[Any]]) -> None:
        try:
            self.connection.executemany(sql, parameters)
        except sqlite3.IntegrityError as error:
            raise ConstraintError(str(error)) from error

    def bump(self, counter: str) -> None:
        self.counters.append(counter)

    def after_commit(self, action: Callable[[], object]) -> None:
        self.actions.append(action)


class SqliteDatabase:
    """One file. Implements `engine.Database`; made by `SqliteDatabase.open` in the loop that will use it."""

    def __init__(
        self, path: Path, generations: Generations, reader: sqlite3.Connection, writer: sqlite3.Connection
    ) -> None:
        self._path = path
        self._generations = generations
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        self._writer = _Writer(path, writer, self._loop, generations)
        self._closed = False

    @classmethod
    async def open(cls, path: Path, schema: Schema, generations: Generations) -> SqliteDatabase:
        """Open a file, made or migrated first when need be; several processes may do so at once.

        Args:
            path: The file; its directory exists.
            schema: Its tables.
            generations: The state directory's page of counters.

        Raises:
            StateDirectoryError: The file can't be used.
        """
        reader, writer = await asyncio.to_thread(_prepare, path, schema)
        return cls(path, generations, reader, writer)

    async def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Rows as of the last commit."""
        return self.read_now(sql, parameters)

    def read_now(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """The same without a coroutine, for those who know that they run embedded."""
        try:
            return self._reader.execute(sql, parameters).fetchall()
        except sqlite3.DatabaseError as error:
            raise _translate(self._path, error) from error

    async def write(self, job: Callable[[Transaction], T]) -> T:
        """See `engine.Database.write`."""
        if self._closed:
            raise StorageError(f"{self._path} is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._writer.put(_Job(job, future))
        try:
            return await future
        except sqlite3.DatabaseError as error:
            raise _translate(self._path, error) from error

    def generation(self, counter: str) -> int:
        """A counter's value now; compare with `!=` only."""
        return self._generations.read(counter)

    def reader(self, counter: str) -> Callable[[], int]:
        """`generation` of one counter as a function, for those who ask at every event."""
        return self._generations.reader(counter)

    async def close(self) -> None:
        """Finish the writes under way and close; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._writer.finish)
        self._reader.close()


class _Writer:
    """The group-commit thread."""

    def __init__(
        self, path: Path, connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop, generations: Generations
    ) -> None:
        self._lock = _open_lock(path)
        self._connection = connection
        self._loop = loop
        self._generations = generations
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)
        self._thread.start()

    def put(self, job: _Job) -> None:
        self._queue.put(job)

    def finish(self) -> None:
        self._queue.put(None)
        self._thread.join()
        self._connection.close()
        os.close(self._lock)

    def _run(self) -> None:
        job = self._queue.get()
        while job is not None:
            # Processes queue at this lock: SQLite's own busy handler sleeps and asks again, for up to 100 ms at a time.
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            batch, going = self._gather(job)
            try:
                self._commit(batch)
            finally:
                fcntl.flock(self._lock, fcntl.LOCK_UN)
            self._answer(batch)
            job = self._queue.get() if going else None

    def _gather(self, first: _Job) -> tuple[list[_Job], bool]:
        """The first job and what has queued up behind it; False at the end of the queue."""
        batch = [first]
        while len(batch) < BATCH and not self._queue.empty():
            job = self._queue.get()
            if job is None:
                return batch, False
            batch.append(job)
        return batch, True

    def _commit(self, batch: list[_Job]) -> None:
        try:
            self._transact(batch)
        except (
            BaseException
        ) as error:  # the whole group fell: each gets its own transaction, so that one can't take the others with it
            self._rollback()
            for job in batch:
                if len(batch) == 1:
                    job.error = job.error or error
                else:
                    self._alone(job)

    def _answer(self, batch: list[_Job]) -> None:
        """Move the counters, then answer."""
        self._after_commit([job for job in batch if job.error is None and job.work is not None])
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._settle, batch)

    def _alone(self, job: _Job) -> None:
        job.error = None
        try:
            self._transact([job])
        except BaseException as error:
            self._rollback()
            job.error = error

    def _transact(self, batch: list[_Job]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        for job in batch:
            job.work = _Work(connection)
            connection.execute("SAVEPOINT job")
            try:
                job.result = job.run(job.work)
            except Exception as error:
                if not connection.in_transaction:  # SQLite rolled everything back by itself (disk full, I/O error)
                    raise
                job.error, job.result = error, None
                connection.execute("ROLLBACK TO job")
            connection.execute("RELEASE job")
        connection.execute("COMMIT")

    def _rollback(self) -> None:
        if self._connection.in_transaction:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def _after_commit(self, done: Iterable[_Job]) -> None:
        for job in done:
            assert job.work is not None
            for counter in job.work.counters:
                self._generations.bump(counter)
            for action in job.work.actions:
                with suppress(Exception):
                    action()

    def _settle(self, batch: list[_Job]) -> None:
        moved = {c for job in batch if job.error is None and job.work is not None for c in job.work.counters}
        for job in batch:
            if job.future.done():  # its caller was cancelled
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)
        self._generations.announce(moved)


def _prepare(path: Path, schema: Schema) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    """Make or migrate the file under an exclusive lock (switching to WAL ignores the busy timeout); reader's and writer's connection."""
    opened: list[sqlite3.Connection] = []
    descriptor = _open_lock(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        opened.append(_connect(path, schema))
        _migrate(opened[0], path, schema)
        opened.append(_connect(path, schema))
    except BaseException as error:
        for connection in opened:
            connection.close()
        if isinstance(error, sqlite3.Error):
            raise StateDirectoryError.of(path, error) from error
        raise
    finally:
        os.close(descriptor)  # unlocks
    writer, reader = opened
    return reader, writer


def _open_lock(path: Path) -> int:
    lock = path.with_suffix(".lock")
    try:
        return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateDirectoryError.of(lock, error) from error


def _connect(path: Path, schema: Schema) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_S, isolation_level=None, check_same_thread=False, cached_statements=CACHED_STATEMENTS
    )
    try:
        _set_up(connection, schema)
    except BaseException:
        connection.close()
        raise
    return connection


def _set_up(connection: sqlite3.Connection, schema: Schema) -> None:
    # A killed process loses nothing; a power cut may lose what was last, and never makes the file one that can't be opened again. OFF
    # would, and saves no more than a tenth of the processor time of the journal's writes.
    connection.execute("PRAGMA synchronous = NORMAL")
    if not schema.scrubbed:  # to overwrite it takes as long as to write it did
        connection.execute("PRAGMA secure_delete = FAST")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    connection.execute("PRAGMA cache_size = -4000")


def _migrate(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    if connection.execute("PRAGMA page_count").fetchone()[0] == 0:
        # A 4 KiB message lies in one page. With larger ones long writes cost less, but the many short ones more.
        connection.execute("PRAGMA page_size = 8192")
    connection.execute("PRAGMA journal_mode = WAL")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(schema.migrations):
        raise StateDirectoryError(
            f"{path}: made by a newer Portyard ({schema.name} version {version}, this one knows {len(schema.migrations)}); "
            "use that one, or set `state` to another directory"
        )
    for number in range(version, len(schema.migrations)):
        connection.executescript(
            f"BEGIN IMMEDIATE; {schema.migrations[number]}; PRAGMA user_version = {number + 1}; COMMIT;"
        )
    if version == len(schema.migrations):
        # An empty write shows now, and not at the first message, that the file can't be written.
        connection.executescript(f"BEGIN IMMEDIATE; PRAGMA user_version = {version}; COMMIT;")


def _translate(path: Path, error: sqlite3.DatabaseError) -> StorageError:
    code = getattr(error, "sqlite_errorcode", 0)
    # Writing a page or growing the shared index fails as an I/O error, too, when nothing is left.
    full = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMOPEN)
    if code in full:
        return StorageFullError(f"{path}: no room to write ({error})")
    return StorageError(f"{path}: {error}")
