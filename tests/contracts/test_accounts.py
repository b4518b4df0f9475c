"""The contract of Accounts and Sandboxes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from portyard.commons.accounts.model import AccountTakenError
from portyard.commons.sandbox.model import Sandbox
from portyard.commons.sandbox.sql import put
from portyard.commons.settings import AccountSeed, Settings
from tests.contracts.engines import opened
from tests.support.asyncio_tests import run

T1 = Sandbox("t1", 1, "any", ("t1.test", "other.test"), "pw")


def test_the_seeds_exist_and_log_in_by_each_name(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            for login in ("alice@portyard.test", "ALICE@Portyard.TEST", "alice", "default/alice@portyard.test"):
                account = await stores.accounts.verify(login, "alice-secret")
                assert account is not None
                assert account.address == "alice@portyard.test"
            for login, password in (
                ("alice", "wrong"),
                ("alice", ""),
                ("nobody", "alice-secret"),
                ("", ""),
                ("@", ""),
                ("\udcff", "x"),
                ("a@\udcff", "\udcff"),
            ):
                assert await stores.accounts.verify(login, password) is None
            assert "alice-secret" not in repr(account)

    run(main())


def test_seeding_again_keeps_a_changed_password(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            assert await stores.accounts.set_password("default", "Alice@portyard.test", "new")
            assert await stores.accounts.verify("alice", "new")
            assert not await stores.accounts.verify("alice", "alice-secret")
        async with opened(engine, tmp_path) as stores:
            assert await stores.accounts.verify("alice", "new")
            assert [account.local_part for account in await stores.accounts.list("default")] == ["alice", "bob"]

    run(main())


def test_a_login_finds_its_sandbox(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            accounts = stores.accounts
            await stores.control_database.write(lambda work: put(work, T1))
            owned = await accounts.create("t1", "u1@t1.test", "pw1", ("ssh-ed25519 AAAA u1",))
            foreign = await accounts.create("t1", "u1@mail.example", "pw2")
            captured = await accounts.create("default", "u1@mail.example", "pw3")
            slashed = await accounts.create("default", "a/b@portyard.test", "pw4")
            assert await accounts.find("U1@other.test") is None
            assert await accounts.find("u1@t1.test") == owned
            assert owned.public_keys == ("ssh-ed25519 AAAA u1",)
            assert await accounts.find("t1/u1@mail.example") == foreign
            assert await accounts.find("u1@mail.example") == captured
            assert await accounts.find("a/b@portyard.test") == slashed
            assert await accounts.find("u1") is None

    run(main())


def test_a_login_with_magic_words(engine: str, tmp_path: Path) -> None:
    """Where the account's sandbox has magic on they are no part of the name, unless somebody has that very name."""

    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            accounts, words = stores.accounts, ("u1+451x2@t1.test", "t1/u1+hangup@t1.test", "U1+delay5+430@T1.test")
            await stores.control_database.write(lambda work: put(work, T1))
            account = await accounts.create("t1", "u1@t1.test", "pw1")
            for login in (*words, "alice+451@portyard.test", "alice+451"):
                assert await accounts.find(login) is None
            await stores.control_database.write(lambda work: put(work, replace(T1, magic=True)))
            for login in words:
                assert await accounts.find(login) == account
                assert await accounts.verify(login, "pw1") == account
                assert await accounts.verify(login, "wrong") is None
            assert await accounts.at("t1").find("u1+451") == account
            for login in (
                "u1+tag@t1.test",
                "u1+451+tag@t1.test",
                "nobody+451@t1.test",
                "alice+451@portyard.test",
                "alice+451",
            ):
                assert await accounts.find(login) is None
            tagged = await accounts.create("t1", "u1+tag@t1.test", "pw2")
            assert await accounts.find("u1+451+tag@t1.test") == tagged
            literal = await accounts.create("t1", "u1+451x2@t1.test", "pw3")
            assert await accounts.find("u1+451x2@t1.test") == literal
            assert await accounts.verify("u1+451x2@t1.test", "pw1") is None
            assert await accounts.by_address("t1", "u1+hangup@t1.test") is None

    run(main())


def test_create_refuses_a_taken_or_malformed_address_and_ensure_takes_the_first(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            with pytest.raises(AccountTakenError, match=r"alice@portyard\.test"):
                await stores.accounts.create("default", "Alice@PORTYARD.test", "x")
            for address in (
                "alice",
                "@portyard.test",
                "alice@",
                "a b@portyard.test",
                "a\n@portyard.test",
                "\udcff@portyard.test",
                "a" * 400 + "@b",
            ):
                with pytest.raises(ValueError, match="no address"):
                    await stores.accounts.create("default", address, "x")
            made = await asyncio.gather(
                *(stores.accounts.ensure("default", "carol@portyard.test", f"pw{n}") for n in range(5))
            )
            assert len({(account.id, account.password) for account in made}) == 1

    run(main())


def test_a_deleted_account_is_gone_and_its_number_never_comes_back(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            first = await stores.accounts.create("default", "carol@portyard.test", "x")
            assert await stores.accounts.find("carol") == first
            assert await stores.accounts.delete("default", "carol@portyard.test")
            assert await stores.accounts.find("carol") is None
            assert not await stores.accounts.delete("default", "carol@portyard.test")
            assert (await stores.accounts.create("default", "carol@portyard.test", "x")).id > first.id

    run(main())


def test_another_process_is_heard_at_the_next_call(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as one, opened(engine, tmp_path) as other:
            assert await other.accounts.find("carol") is None
            assert await other.sandboxes.owner("t1.test") is None
            await one.accounts.create("default", "carol@portyard.test", "x")
            await one.control_database.write(lambda work: put(work, T1))
            assert await other.accounts.verify("carol", "x") is not None
            assert await other.sandboxes.owner("t1.test") == T1

    run(main())


def test_default_is_what_the_settings_say_at_every_start(engine: str, tmp_path: Path) -> None:
    changed = msgspec.structs.replace(
        Settings(),
        domain="mail.test",
        domains=("Second.test",),
        capture="own",
        accounts=(AccountSeed("x@mail.test", "y"),),
    )

    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            default = await stores.sandboxes.get("default")
            assert default == Sandbox("default", 1, "any", ("portyard.test",), "portyard")
            assert await stores.sandboxes.list() == [default]
            assert await stores.sandboxes.get("t1") is None
        async with opened(engine, tmp_path, changed) as stores:
            assert await stores.sandboxes.get("default") == Sandbox(
                "default", 1, "own", ("mail.test", "second.test"), "portyard"
            )
            assert await stores.sandboxes.owner("portyard.test") is None
            assert await stores.accounts.verify("x", "y") is not None

    run(main())


def test_a_bare_name_at_a_sandboxs_own_listener(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            await stores.control_database.write(lambda work: put(work, T1))
            mine = await stores.accounts.create("t1", "alice@t1.test", "mine")
            at = stores.accounts.at("t1")
            assert await at.find("alice") == mine
            assert await at.verify("ALICE", "mine") == mine
            assert await at.find("bob") is None
            assert (await at.find("bob@portyard.test") or mine).sandbox == "default"
            assert (await stores.accounts.find("alice") or mine).sandbox == "default"
            assert stores.accounts.at("default") is stores.accounts
            assert await stores.accounts.at("gone").find("alice") is None

    run(main())
