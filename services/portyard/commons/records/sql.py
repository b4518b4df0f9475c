"""Written records in control.db: read again only when the generation moved. Portable SQL."""

from __future__ import annotations

from portyard.commons.database.engine import Database, Transaction
from portyard.commons.records.model import WrittenRecord

COUNTER = "records"
_SANDBOXES_KEPT = 1024

_TABLES = (
    """
CREATE TABLE IF NOT EXISTS records (
    sandbox TEXT NOT NULL,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    place INTEGER NOT NULL,
    ttl INTEGER NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (sandbox, name, type, place)
)
""",
    "CREATE TABLE IF NOT EXISTS records_serial (one INTEGER PRIMARY KEY, value BIGINT NOT NULL)",
    "INSERT INTO records_serial (one, value) VALUES (1, 1) ON CONFLICT DO NOTHING",
)


class SqlRecords:
    """The store; see Records.

    Args:
        database: control.db. `prepare` makes the table when it is missing.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: int | None = None
        self._serial = 1
        self._kept: dict[str, tuple[WrittenRecord, ...]] = {}

    @classmethod
    async def prepare(cls, database: Database) -> SqlRecords:
        """The store over a database whose table stands."""

        def job(transaction: Transaction) -> None:
            for statement in _TABLES:
                transaction.execute(statement)

        await database.write(job)
        return cls(database)

    async def of(self, sandbox: str) -> tuple[WrittenRecord, ...]:
        """See Records."""
        generation = self._database.generation(COUNTER)
        if generation != self._seen or len(self._kept) > _SANDBOXES_KEPT:
            rows = await self._database.read("SELECT value FROM records_serial")
            self._kept, self._serial = {}, rows[0][0]
            self._seen = generation  # as read before the SQL: what is written meanwhile moves the counter again
        known = self._kept.get(sandbox)
        if known is None:
            rows = await self._database.read(
                "SELECT name, type, ttl, value FROM records WHERE sandbox = ? ORDER BY name, type, place", (sandbox,)
            )
            known = self._kept[sandbox] = tuple(WrittenRecord(*row) for row in rows)
        return known

    def serial(self) -> int:
        """See Records."""
        return self._serial

    async def replace(self, sandbox: str, name: str, kind: str, ttl: int, values: list[str]) -> None:
        """See Records."""
        owner = name.lower().removesuffix(".")

        def job(transaction: Transaction) -> None:
            transaction.execute(
                "DELETE FROM records WHERE sandbox = ? AND name = ? AND type = ?", (sandbox, owner, kind.upper())
            )
            rows = [(sandbox, owner, kind.upper(), place, ttl, value) for place, value in enumerate(values)]
            transaction.execute_many(
                "INSERT INTO records (sandbox, name, type, place, ttl, value) VALUES (?, ?, ?, ?, ?, ?)", rows
            )
            transaction.execute("UPDATE records_serial SET value = value + 1")
            transaction.bump(COUNTER)

        await self._database.write(job)
