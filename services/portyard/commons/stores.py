"""Opens every store of one state directory, and closes them in the right order."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from portyard.commons.accounts.sql import SqlAccounts
from portyard.commons.clock import Clock
from portyard.commons.database.control import CONTROL_SCHEMA
from portyard.commons.database.embedded import SqliteDatabase
from portyard.commons.database.engine import StateDirectoryError
from portyard.commons.database.generations import Generations
from portyard.commons.database.watcher import CounterWatcher
from portyard.commons.mailstore.schema import MAIL_SCHEMA
from portyard.commons.mailstore.sql import SqlMailstore
from portyard.commons.sandbox.sql import SqlSandboxes
from portyard.commons.settings import Settings


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores of one process.

    Attributes:
        generations: The state directory's page of counters, for further databases (the journal's).
        mail_database: mail.db.
        control_database: control.db.
    """

    generations: Generations
    mail_database: SqliteDatabase
    control_database: SqliteDatabase
    mail: SqlMailstore
    accounts: SqlAccounts
    sandboxes: SqlSandboxes
    watcher: CounterWatcher

    async def close(self) -> None:
        """Finish the writes under way and close everything."""
        self.watcher.close()
        await self.mail_database.close()
        await self.control_database.close()
        self.generations.close()


async def open_stores(state: Path, settings: Settings, clock: Clock) -> Stores:
    """Open the stores of a state directory, made when missing, seeded from the settings.

    Raises:
        StateDirectoryError: The directory, or a file in it, can't be used.
    """
    async with AsyncExitStack() as opened:
        generations = _page(state)
        opened.callback(generations.close)
        mail_database = await SqliteDatabase.open(state / "mail.db", MAIL_SCHEMA, generations)
        opened.push_async_callback(mail_database.close)
        control_database = await SqliteDatabase.open(state / "control.db", CONTROL_SCHEMA, generations)
        opened.push_async_callback(control_database.close)
        generations.bump_all()  # what a killed process committed without saying so
        sandboxes = SqlSandboxes(control_database)
        await sandboxes.seed(settings)
        accounts = SqlAccounts(control_database, sandboxes)
        await accounts.seed(settings)
        mail = SqlMailstore(mail_database, state / "bodies", clock)
        await mail.start()
        watcher = CounterWatcher(generations)
        opened.pop_all()
        return Stores(generations, mail_database, control_database, mail, accounts, sandboxes, watcher)


def _page(state: Path) -> Generations:
    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StateDirectoryError.of(state, error) from error
    return Generations(state / "generations")
