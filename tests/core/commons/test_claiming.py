"""Whose a login name is."""

from __future__ import annotations

from pathlib import Path

import pytest

from portyard.commons.accounts.claiming import sandbox_of_login
from portyard.commons.yard import Yard
from tests.support.asyncio_tests import run
from tests.support.yard import open_yard

NAMES = {
    "alice": "default",
    "alice@portyard.test": "default",
    "nobody": None,
    "nobody@portyard.test": "default",
    "u1@T1.test": "t1",
    "nobody@t1.test": "t1",
    "t1/captured@foreign.example": "t1",
    "t2/captured@foreign.example": None,
    "nobody@foreign.example": None,
    "a/b@t1.test": "t1",
    "": None,
    "@": None,
    "/": None,
}


@pytest.fixture
def answers(tmp_path: Path) -> dict[str, str | None]:
    async def ask(yard: Yard) -> dict[str, str | None]:
        await yard.sandboxes.create("t1")
        await yard.accounts.create("t1", "u1@t1.test", "pw1")
        return {login: await sandbox_of_login(yard.accounts, yard.sandboxes, login) for login in NAMES}

    async def go() -> dict[str, str | None]:
        async with open_yard(tmp_path) as yard:
            return await ask(yard)

    found: dict[str, str | None] = {}

    async def main() -> None:
        found.update(await go())

    run(main())
    return found


def test_a_name_claims_its_sandbox_whether_it_exists_or_not(answers: dict[str, str | None]) -> None:
    assert answers == NAMES
