"""The sweeper: what it asks costs the same however many sandboxes went within the hour, and nothing waits for the next reset."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from portyard.commons.database.embedded import SqliteDatabase
from portyard.commons.database.engine import Row
from portyard.commons.mailstore.sql import SqlMailstore
from portyard.commons.sandbox.sweeping import LATE_S, Sweeper
from tests.contracts.engines import LARGE, opened
from tests.support.asyncio_tests import run


def test_no_look_of_the_sweeper_goes_through_all_that_were_retired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, Sequence[Any]]] = []
    read = SqliteDatabase.read

    async def noting(database: SqliteDatabase, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        if "FROM retired" in sql:
            asked.append((sql, parameters))
        return await read(database, sql, parameters)

    async def main() -> None:
        async with opened("sqlite", tmp_path) as stores:
            for number in range(60):
                await stores.sandboxes.create(f"t{number}")
                await stores.accounts.create(f"t{number}", f"u@t{number}.test", "pw")
                await stores.sandboxes.delete(f"t{number}")
            monkeypatch.setattr(SqliteDatabase, "read", noting)
            late = Sweeper(stores.control_database, stores.mail, stores.sweeper._files, now_s=lambda: 1e11 + LATE_S)
            assert await late.sweep() == 60
            assert await late.sweep() == 0
            plans = [await read(stores.control_database, f"EXPLAIN QUERY PLAN {sql}", given) for sql, given in asked]
            steps = [str(step[-1]) for plan in plans for step in plan]
            assert len(steps) >= 4
            assert all("USING INDEX retired_" in step for step in steps), steps

    run(main())


def test_octets_of_the_last_reset_go_though_nobody_resets_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened("sqlite", tmp_path) as stores:
            await stores.sweeper.close()
            account = await stores.accounts.create("default", "u@portyard.test", "pw")
            await stores.mail.append(account.id, "INBOX", LARGE)
            (body,) = (tmp_path / "bodies").iterdir()
            await stores.sandboxes.reset("default")
            gone = asyncio.Event()
            mail = Swept(stores.mail, gone)
            sweeper = Sweeper(stores.control_database, mail, stores.sweeper._files, kept_s=0.01)
            sweeper.start()
            await gone.wait()
            assert not body.exists()
            await sweeper.close()

    run(main())


class Swept:
    """A mailstore whose octets needn't be kept from its second sweep on.

    Args:
        mail: The store.
        gone: Set once they are removed.
    """

    def __init__(self, mail: SqlMailstore, gone: asyncio.Event) -> None:
        self._mail = mail
        self._gone = gone
        self._keep_s = 300

    async def forget(self, account_id: int) -> None:
        await self._mail.forget(account_id)

    async def sweep(self) -> bool:
        keep_s, self._keep_s = self._keep_s, 0
        swept = await self._mail.sweep(keep_s)
        if swept:
            self._gone.set()
        return swept
