"""Opens a yard on a state directory: stores, journal, TLS, secret, directory. Everything a process needs before its rooms open."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import secrets
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

from portyard.commons.clock import Clock, SystemClock
from portyard.commons.database.embedded import SqliteDatabase
from portyard.commons.database.engine import StateDirectoryError
from portyard.commons.directory import Directory
from portyard.commons.filestore.disk import DiskFilestore
from portyard.commons.journal.schema import SCHEMA as JOURNAL_SCHEMA
from portyard.commons.journal.store import StoredJournal
from portyard.commons.memory_state import memory_state
from portyard.commons.neighbours import Neighbours
from portyard.commons.settings import Settings
from portyard.commons.stores import Stores, open_stores
from portyard.commons.tls.authority import REVOCATION
from portyard.commons.tls.setup import TlsSetup
from portyard.commons.yard import Yard

MEMORY = "memory"
SECRET_OCTETS = 32

_logger = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def open_yard(settings: Settings, names: Sequence[str] = (), clock: Clock | None = None) -> AsyncIterator[Yard]:
    """A yard until the block ends; what it wrote is on disk then.

    Args:
        settings: The settings; `state` says where.
        names: Host names for the certificate, beyond localhost.
        clock: The testbed's time; the machine's when None.

    Raises:
        StateDirectoryError: The state directory can't be made, read or written.
    """
    clock = clock or SystemClock()
    with _state_directory(settings.state) as state:
        async with contextlib.AsyncExitStack() as stack:
            stores = await open_stores(state, settings, clock)
            stack.push_async_callback(stores.close)
            journal = await _open_journal(stack, state, settings, clock, stores)
            neighbours = Neighbours(None if settings.state == MEMORY else state / "neighbours", journal.flush)
            await neighbours.open()
            stack.push_async_callback(neighbours.close)
            background = Background()
            stack.push_async_callback(background.close)
            directory = Directory(state / "endpoints", stores.generations)
            yield Yard(
                settings=settings,
                clock=clock,
                rng=random.Random(settings.seed),
                state=state,
                secret=_secret(state),
                journal=journal,
                accounts=stores.accounts,
                sandboxes=stores.sandboxes,
                mail=stores.mail,
                watcher=stores.watcher,
                files=DiskFilestore(state / "files", stores.clocks.stamp),
                tls=_tls(state, settings, names, stores, directory),
                directory=directory,
                mail_database=stores.mail_database,
                control_database=stores.control_database,
                rules=stores.rules,
                gate=stores.gate,
                clocks=stores.clocks,
                spawn=background.spawn,
                settle=neighbours.settle,
            )


def _tls(state: Path, settings: Settings, names: Sequence[str], stores: Stores, directory: Directory) -> TlsSetup:
    later = settings.state == MEMORY  # what is gone with the process needs no leaf before somebody asks for it
    return TlsSetup(state / "tls", names, stores.sandboxes, later=later, revocation=lambda: _revocation(directory))


async def _open_journal(
    stack: contextlib.AsyncExitStack, state: Path, settings: Settings, clock: Clock, stores: Stores
) -> StoredJournal:
    """The journal over a database of its own; both are closed with the stack."""
    database = await SqliteDatabase.open(state / "journal.db", JOURNAL_SCHEMA, stores.generations)
    stack.push_async_callback(database.close)
    journal = StoredJournal(
        database,
        clock,
        settings.limits.journal_events,
        settings.limits.journal_bytes,
        stores.sandboxes.generation_now,
        stores.sandboxes.moved,
    )
    stack.push_async_callback(journal.close)
    return journal


class Background:
    """Tasks that run as long as the yard; a failure is logged, the end is awaited."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Start one."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def close(self) -> None:
        """Cancel and await them all."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _logger.error("background work failed", exc_info=task.exception())


@contextlib.contextmanager
def _state_directory(state: str) -> Iterator[Path]:
    if state == MEMORY:
        with memory_state() as path:
            yield path
        return
    path = Path(state)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = path / f".probe-{os.getpid()}-{secrets.token_hex(4)}"
        probe.touch()
        probe.unlink()
        next(path.iterdir(), None)
    except OSError as error:
        raise StateDirectoryError(
            f"state directory {path}: {error.strerror}; give this user the directory, or set PORTYARD_STATE to another one"
        ) from None
    yield path


def _revocation(directory: Directory) -> Sequence[str]:
    """Where the console tells what was revoked, to the user's machine and to the services' network; the usual place until it is up."""
    console = directory.find("console", "console")
    if console is None:
        return REVOCATION
    host = "localhost" if console.host == "127.0.0.1" else f"[{console.host}]" if ":" in console.host else console.host
    return f"http://{host}:{console.host_number}/api/v1", f"http://console:{console.number}/api/v1"


def _secret(state: Path) -> bytes:
    """The testbed's secret, made once: linked into place whole, so that two processes starting at once agree."""
    path = state / "secret"
    draft = state / f".secret-{secrets.token_hex(8)}"
    if not path.exists():
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(secrets.token_bytes(SECRET_OCTETS))
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    return path.read_bytes()
