"""The leases in control.db. Who wants one writes a row; the service's process opens the listeners and writes where they are.

Portable SQL.
"""

from __future__ import annotations

import builtins
import json

from portyard.commons.database.engine import Database, Row, Transaction
from portyard.commons.directory import Endpoint, entry_fields
from portyard.commons.leasing.model import Lease
from portyard.commons.sandbox.model import NoSuchSandboxError

COUNTER = "leases"
_COLUMNS = "sandbox, service, endpoints, accepts, failure"


class SqlLeases:
    """Every sandbox's leases.

    Args:
        database: control.db, with CONTROL_SCHEMA.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def want(self, sandbox: str, service: str) -> Lease:
        """Ask for a service's listeners; the lease as it stands. Asking for what failed before tries again.

        Raises:
            NoSuchSandboxError: There is no such sandbox.
        """

        def job(work: Transaction) -> Lease:
            if not work.execute("SELECT 1 FROM sandboxes WHERE name = ?", (sandbox,)):
                raise NoSuchSandboxError(sandbox)
            work.execute(
                "INSERT INTO leases (sandbox, service, endpoints, accepts, failure) VALUES (?, ?, '[]', 0, '') "
                "ON CONFLICT (sandbox, service) DO UPDATE SET failure = ''",
                (sandbox, service),
            )
            work.bump(COUNTER)
            one = f"SELECT {_COLUMNS} FROM leases WHERE sandbox = ? AND service = ?"  # noqa: S608 - a constant
            return _lease(work.execute(one, (sandbox, service))[0])

        return await self._database.write(job)

    async def give_back(self, sandbox: str, service: str) -> bool:
        """End a lease; True when there was one."""

        def job(work: Transaction) -> bool:
            gone = work.execute(
                "DELETE FROM leases WHERE sandbox = ? AND service = ? RETURNING service", (sandbox, service)
            )
            work.bump(COUNTER)
            return bool(gone)

        return await self._database.write(job)

    async def settle(self, *leases: Lease) -> None:
        """Write what a service made of leases; those that were given back meanwhile stay gone."""
        rows = [
            (
                json.dumps([entry_fields(each) for each in lease.endpoints]),
                int(lease.accepts),
                lease.failure,
                lease.sandbox,
                lease.service,
            )
            for lease in leases
        ]

        def job(work: Transaction) -> None:
            work.execute_many(
                "UPDATE leases SET endpoints = ?, accepts = ?, failure = ? WHERE sandbox = ? AND service = ?", rows
            )
            work.bump(COUNTER)

        await self._database.write(job)

    async def suspend(self, services: builtins.list[str]) -> None:
        """None of these services' leases accepts: they are being started. Where they were stays written."""

        def job(work: Transaction) -> None:
            work.execute_many(
                "UPDATE leases SET accepts = 0, failure = '' WHERE service = ?", [(service,) for service in services]
            )
            work.bump(COUNTER)

        await self._database.write(job)

    async def of(self, sandbox: str) -> builtins.list[Lease]:
        """A sandbox's leases by service."""
        sql = f"SELECT {_COLUMNS} FROM leases WHERE sandbox = ? ORDER BY service"  # noqa: S608 - a constant
        return [_lease(row) for row in await self._database.read(sql, (sandbox,))]

    async def all(self) -> builtins.list[Lease]:
        """Every sandbox's, in the order in which names sort."""
        sql = f"SELECT {_COLUMNS} FROM leases ORDER BY sandbox, service"  # noqa: S608 - a constant
        return [_lease(row) for row in await self._database.read(sql)]


def _lease(row: Row) -> Lease:
    sandbox, service, endpoints, accepts, failure = row
    found = tuple(Endpoint(**fields) for fields in json.loads(endpoints))
    return Lease(sandbox, service, found, bool(accepts), failure)
