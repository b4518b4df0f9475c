"""Opens every store of one state directory, and closes them in the right order."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from portyard.commons.accounts.sql import SqlAccounts
from portyard.commons.clock import Clock
from portyard.commons.clocks import SqlClocks
from portyard.commons.database.control import CONTROL_SCHEMA
from portyard.commons.database.embedded import SqliteDatabase
from portyard.commons.database.engine import StateDirectoryError
from portyard.commons.database.generations import Generations
from portyard.commons.database.watcher import CounterWatcher
from portyard.commons.filestore.disk import DiskFilestore
from portyard.commons.insiders import SharedInsiders
from portyard.commons.mailstore.schema import MAIL_SCHEMA
from portyard.commons.mailstore.sql import SqlMailstore
from portyard.commons.sandbox.sql import SqlSandboxes
from portyard.commons.sandbox.sweeping import Sweeper
from portyard.commons.scenario.engine import Gate
from portyard.commons.scenario.store import SqlRules
from portyard.commons.settings import Settings


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores of one process.

    Attributes:
        generations: The state directory's page of counters, for further databases (the journal's).
        mail_database: mail.db.
        control_database: control.db.
        rules: Every sandbox's rules.
        gate: What rooms ask before they act.
        clocks: Every sandbox's time.
        sweeper: Removes what resets left behind; sweeping since the stores were opened.
        insiders: The ends of connections that services make to each other.
    """

    generations: Generations
    mail_database: SqliteDatabase
    control_database: SqliteDatabase
    mail: SqlMailstore
    accounts: SqlAccounts
    sandboxes: SqlSandboxes
    watcher: CounterWatcher
    rules: SqlRules
    gate: Gate
    clocks: SqlClocks
    sweeper: Sweeper
    insiders: SharedInsiders

    async def close(self) -> None:
        """Finish the writes under way and close everything."""
        self.watcher.close()
        await self.sweeper.close()
        await self.rules.close()
        await self.mail_database.close()
        await self.control_database.close()
        self.generations.close()
        self.insiders.close()


async def open_stores(state: Path, settings: Settings, clock: Clock) -> Stores:
    """Open the stores of a state directory, made when missing, seeded from the settings.

    Args:
        state: The directory.
        settings: What is seeded, and chance's seed.
        clock: The machine's time, from which the sandboxes' clocks start.

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
        sandboxes = SqlSandboxes(control_database, control_database.read_now)
        await sandboxes.seed(settings)
        accounts = SqlAccounts(control_database, sandboxes)
        await accounts.seed(settings)
        mail = SqlMailstore(mail_database, state / "bodies", clock)
        await mail.start()
        watcher = CounterWatcher(generations)
        clocks = SqlClocks(control_database, watcher, clock, control_database.read_now)
        rules = SqlRules(control_database, clocks.now, settings.seed)
        sweeper = Sweeper(control_database, mail, DiskFilestore(state / "files"))
        sandboxes.emptied = sweeper.start
        sandboxes.make_room = mail.drop_ballast
        sweeper.start()
        gate = Gate(rules, settings.seed)
        gate.insiders = insiders = SharedInsiders(state / "insiders")
        opened.pop_all()
        return Stores(
            generations,
            mail_database,
            control_database,
            mail,
            accounts,
            sandboxes,
            watcher,
            rules,
            gate,
            clocks,
            sweeper,
            insiders,
        )


def _page(state: Path) -> Generations:
    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StateDirectoryError.of(state, error) from error
    return Generations(state / "generations")
