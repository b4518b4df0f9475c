"""The contract of a Mailstore's mailboxes: their names and hierarchy, what becomes of them, and an account's end."""

from __future__ import annotations

from pathlib import Path

import pytest

from portyard.commons.mailstore.model import InvalidMailboxNameError, MailboxExistsError, NoSuchMailboxError
from portyard.commons.stores import Stores
from tests.contracts.engines import LARGE, MESSAGE, inbox, opened
from tests.contracts.mail import ME, YOU, bodies, fill
from tests.support.asyncio_tests import run


async def names(stores: Stores, account_id: int = ME) -> list[str]:
    return [mailbox.name for mailbox in await stores.mail.mailboxes(account_id)]


def test_an_account_starts_with_inbox_and_the_special_use_mailboxes(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            standing = {mailbox.name: mailbox for mailbox in await stores.mail.mailboxes(ME)}
            assert list(standing) == ["Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash"]
            assert standing["Sent"].special_use == "\\Sent"
            assert standing["INBOX"].special_use is None
            assert await stores.mail.subscriptions(ME) == list(standing)
            assert len({mailbox.uid_validity for mailbox in standing.values()}) == 6
            assert await stores.mail.mailbox(ME, "iNbOx") == standing["INBOX"]
            assert await stores.mail.mailbox_by_id(standing["INBOX"].id) == standing["INBOX"]
            assert await stores.mail.mailbox(ME, "inbox/none") is None
            assert await stores.mail.mailbox(ME, "\udc80") is None
            assert await stores.mail.mailbox_by_id(999) is None

    run(main())


def test_a_deleted_special_use_mailbox_stays_deleted(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        for _ in range(2):
            async with opened(engine, tmp_path) as stores:
                if "Junk" in await names(stores):
                    await stores.mail.delete(ME, "Junk")
        async with opened(engine, tmp_path) as stores:
            assert "Junk" not in await names(stores)

    run(main())


def test_create_makes_the_names_above_and_refuses_what_exists(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            made = await stores.mail.create(ME, "a/ü b/c/", "\\Flagged")
            assert (made.name, made.special_use, made.uid_next, made.messages) == ("a/ü b/c", "\\Flagged", 1, 0)
            assert {"a", "a/ü b", "a/ü b/c"} <= set(await names(stores))
            assert (await stores.mail.create(ME, "inbox/below")).name == "INBOX/below"
            for name in ("a", "INBOX", "inbox"):
                with pytest.raises(MailboxExistsError):
                    await stores.mail.create(ME, name)
            for name in ("", "/", "a//b", "/a", "a\0b", "a\nb", "x" * 1001, "/".join("x" * 51), "\udc80"):
                with pytest.raises(InvalidMailboxNameError):
                    await stores.mail.create(ME, name)
            assert "a" not in await names(stores, YOU)

    run(main())


def test_delete_leaves_those_below(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            gone = await stores.mail.create(ME, "a")
            await stores.mail.create(ME, "a/b")
            await stores.mail.append(ME, "a", MESSAGE)
            await stores.mail.delete(ME, "a")
            assert "a" not in await names(stores)
            assert "a/b" in await names(stores)
            assert await stores.mail.mailbox_by_id(gone.id) is None
            assert await stores.mail.entries(gone.id) == []
            with pytest.raises(NoSuchMailboxError):
                await stores.mail.changes(gone.id, 0)
            with pytest.raises(NoSuchMailboxError):
                await stores.mail.delete(ME, "a")
            with pytest.raises(InvalidMailboxNameError):
                await stores.mail.delete(ME, "inbox")

    run(main())


def test_a_name_never_meets_a_uidvalidity_again(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        seen = []
        async with opened(engine, tmp_path) as stores:
            for _ in range(5):
                made = await stores.mail.create(ME, "a")
                seen.append((made.id, made.uid_validity))
                await stores.mail.delete(ME, "a")
            await stores.mail.create(ME, "b")
            await stores.mail.rename(ME, "b", "a")
            renamed = await stores.mail.mailbox(ME, "a")
            assert renamed is not None
            seen.append((renamed.id, renamed.uid_validity))
        assert len({validity for _, validity in seen}) == 6
        assert seen == sorted(seen)

    run(main())


def test_rename_takes_all_below_along(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            for name in ("a/b/c", "ab", "a0", "a.b"):
                await stores.mail.create(ME, name)
            await stores.mail.append(ME, "a/b", MESSAGE)
            before = await stores.mail.mailbox(ME, "a/b")
            await stores.mail.rename(ME, "a", "x/y")
            assert {"x", "x/y", "x/y/b", "x/y/b/c", "ab", "a0", "a.b"} <= set(await names(stores))
            assert not {"a", "a/b", "a/b/c"} & set(await names(stores))
            after = await stores.mail.mailbox(ME, "x/y/b")
            assert before is not None
            assert after is not None
            assert (after.id, after.uid_validity, after.messages) == (before.id, before.uid_validity, 1)
            with pytest.raises(NoSuchMailboxError):
                await stores.mail.rename(ME, "a", "z")
            with pytest.raises(MailboxExistsError):
                await stores.mail.rename(ME, "x/y", "ab")
            with pytest.raises(InvalidMailboxNameError):
                await stores.mail.rename(ME, "x", "x/y/z")

    run(main())


def test_a_rename_that_meets_a_name_further_down_changes_nothing(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            await stores.mail.create(ME, "a/b")
            await stores.mail.create(ME, "x/b")
            await stores.mail.delete(ME, "x")
            before = await names(stores)
            with pytest.raises(MailboxExistsError, match="x/b"):
                await stores.mail.rename(ME, "a", "x")
            assert await names(stores) == before

    run(main())


def test_renaming_inbox_moves_its_messages_and_keeps_it(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            await stores.mail.create(ME, "INBOX/below")
            await fill(stores, 2)
            before = await inbox(stores)
            await stores.mail.rename(ME, "inbox", "old")
            after, old = await inbox(stores), await stores.mail.mailbox(ME, "old")
            assert (after.id, after.messages, after.uid_next) == (before.id, 0, 3)
            assert (await stores.mail.changes(after.id, before.highest_modseq)).vanished == (1, 2)
            assert old is not None
            assert (old.messages, old.size) == (before.messages, before.size)
            assert "INBOX/below" in await names(stores)

    run(main())


def test_subscriptions_outlive_mailboxes(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            await stores.mail.subscribe(ME, "not/there", True)
            await stores.mail.subscribe(ME, "not/there", True)
            await stores.mail.subscribe(ME, "Junk", False)
            await stores.mail.delete(ME, "Trash")
            with pytest.raises(InvalidMailboxNameError):
                await stores.mail.subscribe(ME, "a\nb", True)
            assert await stores.mail.subscriptions(ME) == ["Archive", "Drafts", "INBOX", "Sent", "Trash", "not/there"]
            subscribed = {mailbox.name: mailbox.subscribed for mailbox in await stores.mail.mailboxes(ME)}
            assert subscribed["INBOX"]
            assert not subscribed["Junk"]

    run(main())


def test_forget_leaves_nothing_of_an_account(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            await fill(stores, 3)
            await stores.mail.append(ME, "INBOX", LARGE)
            await stores.mail.append(YOU, "INBOX", MESSAGE)
            await stores.mail.forget(ME)
            await stores.mail.sweep(keep_s=-1)
            assert await bodies(stores, tmp_path) == (1, 0)
            assert await stores.mail_database.read("SELECT DISTINCT account_id FROM mailboxes") == [(YOU,)]

    run(main())


def test_a_forgotten_account_starts_afresh_in_every_process(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as one, opened(engine, tmp_path) as other:
            await one.mail.append(ME, "INBOX", MESSAGE)
            before = await inbox(other)
            await one.mail.forget(ME)
            assert (await other.mail.append(ME, "INBOX", MESSAGE)).uid == 1
            after = await inbox(one)
            assert after.messages == 1
            assert after.id > before.id
            assert after.uid_validity > before.uid_validity

    run(main())


def test_no_more_is_remembered_than_some_accounts_and_mailboxes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portyard.commons.mailstore.sql._KNOWN", 3)

    async def main() -> None:
        async with opened("sqlite", tmp_path) as stores:
            remembered: list[int] = []
            for account in range(10, 20):
                await stores.mail.append(account, "INBOX", MESSAGE)
                box = await inbox(stores, account)
                assert (await stores.mail.changes(box.id, 0)).modseq == box.highest_modseq
                remembered += [len(stores.mail._known_accounts), len(stores.mail._modseqs)]
            assert max(remembered) == 3

    run(main())
