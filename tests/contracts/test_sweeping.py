"""What the sweeper asks costs the same however many sandboxes went within the hour."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from portyard.commons.database.embedded import SqliteDatabase
from portyard.commons.database.engine import Row
from portyard.commons.sandbox.sweeping import LATE_S, Sweeper
from tests.contracts.engines import opened
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
