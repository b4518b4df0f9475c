"""The sandboxes over a Database, read again only when their counter moved."""

from __future__ import annotations

import builtins

from portyard.commons.database.engine import Database, Transaction
from portyard.commons.sandbox.model import DEFAULT, Sandbox
from portyard.commons.settings import Settings

COUNTER = "sandboxes"


class SqlSandboxes:
    """Every sandbox. Implements `model.Sandboxes`.

    Args:
        database: control.db, with CONTROL_SCHEMA.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: int | None = None
        self._by_name: dict[str, Sandbox] = {}
        self._by_domain: dict[str, Sandbox] = {}

    async def get(self, name: str) -> Sandbox | None:
        """See `Sandboxes.get`."""
        await self._refresh()
        return self._by_name.get(name)

    async def owner(self, domain: str) -> Sandbox | None:
        """See `Sandboxes.owner`."""
        await self._refresh()
        return self._by_domain.get(domain)

    async def list(self) -> builtins.list[Sandbox]:
        """See `Sandboxes.list`."""
        await self._refresh()
        return [self._by_name[name] for name in sorted(self._by_name)]

    async def seed(self, settings: Settings) -> None:
        """Make `default`, or bring it to what the settings say; its generation stays."""
        domains = tuple(dict.fromkeys(name.lower() for name in (settings.domain, *settings.domains)))
        current = await self.get(DEFAULT)
        wanted = Sandbox(
            DEFAULT, current.generation if current else 1, settings.capture, domains, settings.default_password
        )
        if wanted != current:
            await self._database.write(lambda work: put(work, wanted))

    async def _refresh(self) -> None:
        generation = self._database.generation(
            COUNTER
        )  # before the SQL: a change in between is read twice, never missed
        if generation == self._seen:
            return
        domains: dict[str, builtins.list[str]] = {}
        for domain, name in await self._database.read("SELECT domain, sandbox FROM domains ORDER BY sandbox, place"):
            domains.setdefault(name, []).append(domain)
        rows = await self._database.read("SELECT name, generation, capture, default_password FROM sandboxes")
        found = [
            Sandbox(name, number, capture, tuple(domains.get(name, ())), word) for name, number, capture, word in rows
        ]
        self._by_name = {sandbox.name: sandbox for sandbox in found}
        self._by_domain = {domain: sandbox for sandbox in found for domain in sandbox.domains}
        self._seen = generation


def put(work: Transaction, sandbox: Sandbox) -> None:
    """Write a sandbox as it shall be, its domains too; a domain that another one owns goes over to it."""
    work.execute(
        "INSERT INTO sandboxes (name, generation, capture, default_password) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE "
        "SET generation = excluded.generation, capture = excluded.capture, default_password = excluded.default_password",
        (sandbox.name, sandbox.generation, sandbox.capture, sandbox.default_password),
    )
    work.execute("DELETE FROM domains WHERE sandbox = ?", (sandbox.name,))
    work.execute_many(
        "INSERT INTO domains (domain, sandbox, place) VALUES (?, ?, ?) ON CONFLICT (domain) DO UPDATE "
        "SET sandbox = excluded.sandbox, place = excluded.place",
        [(domain, sandbox.name, place) for place, domain in enumerate(sandbox.domains)],
    )
    work.bump(COUNTER)
