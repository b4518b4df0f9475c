"""The sandboxes over a Database, read again only when their counter moved."""

from __future__ import annotations

import builtins
import hashlib
import itertools
import time
from collections.abc import Callable
from typing import TypeVar

from portyard.commons.database.engine import Database, Row, StorageFullError, Transaction
from portyard.commons.sandbox import lifecycle
from portyard.commons.sandbox.domains import with_own
from portyard.commons.sandbox.lifecycle import COUNTER, put
from portyard.commons.sandbox.model import DEFAULT, Sandbox
from portyard.commons.settings import Settings

T = TypeVar("T")

_DOMAINS = "SELECT domain, sandbox FROM domains ORDER BY sandbox, place"
_SANDBOXES = "SELECT name, generation, capture, default_password, magic FROM sandboxes"


class SqlSandboxes:
    """Every sandbox. Implements `model.Sandboxes`.

    Args:
        database: control.db, with CONTROL_SCHEMA.
        read_now: Reads it without waiting, where the engine can; else `generation_now` knows what was read last.
    """

    def __init__(self, database: Database, read_now: Callable[[str], builtins.list[Row]] | None = None) -> None:
        self._database = database
        self._generation = database.reader(COUNTER)
        self._read_now = read_now
        self._seen: int | None = None
        self._by_name: dict[str, Sandbox] = {}
        self._by_domain: dict[str, Sandbox] = {}
        self.emptied: Callable[[], object] = lambda: None  # told after a reset or delete: there is something to sweep
        self.make_room: Callable[[], bool] = lambda: (
            False
        )  # asked before a reset or delete is tried again on a full disk

    @property
    def moved(self) -> Callable[[], int]:
        """Reads a number that is another whenever `generation_now` may answer otherwise than before."""
        return self._generation if self._read_now is not None else itertools.count(1).__next__

    async def get(self, name: str) -> Sandbox | None:
        """See `Sandboxes.get`."""
        if self._generation() != self._seen:
            await self._refresh()
        return self._by_name.get(name)

    async def owner(self, domain: str) -> Sandbox | None:
        """See `Sandboxes.owner`."""
        if self._generation() != self._seen:
            await self._refresh()
        return self._by_domain.get(domain)

    async def list(self) -> builtins.list[Sandbox]:
        """See `Sandboxes.list`."""
        await self._refresh()
        return [self._by_name[name] for name in sorted(self._by_name)]

    def generation_now(self, name: str) -> int:
        """See `Sandboxes.generation_now`."""
        generation = self._generation()
        if generation != self._seen and self._read_now is not None:
            self._take(generation, self._read_now(_DOMAINS), self._read_now(_SANDBOXES))
        found = self._by_name.get(name)
        return found.generation if found else 0

    async def create(
        self,
        name: str,
        *,
        capture: str = "any",
        domains: tuple[str, ...] = (),
        default_password: str = "portyard",  # noqa: S107 - documented, a testbed's
        magic: bool = False,
    ) -> Sandbox:
        """See `Sandboxes.create`."""
        wanted = lifecycle.checked(name, capture, domains, default_password, magic)
        return await self._database.write(lambda work: lifecycle.insert(work, wanted))

    async def change(
        self,
        name: str,
        *,
        capture: str | None = None,
        domains: tuple[str, ...] | None = None,
        default_password: str | None = None,
        magic: bool | None = None,
    ) -> Sandbox:
        """See `Sandboxes.change`."""
        changes: dict[str, object] = {}
        if capture is not None:
            changes["capture"] = lifecycle.checked_capture(capture)
        if domains is not None:
            changes["domains"] = with_own(name, domains)
        if default_password is not None:
            changes["default_password"] = lifecycle.checked_password(default_password)
        if magic is not None:
            changes["magic"] = magic
        return await self._database.write(lambda work: lifecycle.change(work, name, changes))

    async def reset(self, name: str) -> Sandbox:
        """See `Sandboxes.reset`."""
        now_s = int(time.time())  # the machine's own: sweeping goes on while the testbed's clock is frozen
        sandbox = await self._emptying(lambda work: lifecycle.reset(work, name, now_s))
        self.emptied()
        return sandbox

    async def delete(self, name: str) -> None:
        """See `Sandboxes.delete`."""
        now_s = int(time.time())
        await self._emptying(lambda work: lifecycle.delete(work, name, now_s))
        self.emptied()

    async def seed(self, settings: Settings) -> None:
        """Make `default`, or bring it to what the settings say where they say something new; its generation stays.

        What was changed since, by `change`, outlives a restart of any process with the settings that it was made with.
        """
        domains = tuple(dict.fromkeys(name.lower() for name in (settings.domain, *settings.domains)))
        current = await self.get(DEFAULT)
        generation = current.generation if current else 1
        wanted = Sandbox(DEFAULT, generation, settings.capture, domains, settings.default_password, settings.magic)
        told = (wanted.capture, wanted.domains, wanted.default_password, wanted.magic)
        mark = int.from_bytes(hashlib.blake2b(repr(told).encode(), digest_size=7).digest())
        heeded = await self._database.read("SELECT value FROM counters WHERE name = 'seed'")
        if current is None or heeded != [(mark,)]:
            await self._database.write(lambda work: lifecycle.seed(work, wanted, mark))

    async def _emptying(self, job: Callable[[Transaction], T]) -> T:
        """Write what makes room, also where there is none."""
        try:
            return await self._database.write(job)
        except StorageFullError:
            if not self.make_room():
                raise
            return await self._database.write(job)

    async def _refresh(self) -> None:
        generation = self._generation()  # before the SQL: what changes in between is read twice, never missed
        if generation != self._seen:
            self._take(generation, await self._database.read(_DOMAINS), await self._database.read(_SANDBOXES))

    def _take(self, generation: int, owned: builtins.list[Row], rows: builtins.list[Row]) -> None:
        domains: dict[str, builtins.list[str]] = {}
        for domain, name in owned:
            domains.setdefault(name, []).append(domain)
        found = [
            Sandbox(name, number, capture, tuple(domains.get(name, ())), word, bool(magic))
            for name, number, capture, word, magic in rows
        ]
        self._by_name = {sandbox.name: sandbox for sandbox in found}
        self._by_domain = {domain: sandbox for sandbox in found for domain in sandbox.domains}
        self._seen = generation


__all__ = ["COUNTER", "SqlSandboxes", "put"]
