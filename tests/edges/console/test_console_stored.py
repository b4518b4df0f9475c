"""What packet captures take from the mail store: what is there, what went just now, and no more than one export may hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from portyard.commons.mailstore.model import Appended
from portyard.commons.yard import Yard
from portyard.console import stored
from portyard.console.stored import StoredMail
from tests.support.asyncio_tests import run
from tests.support.yard import open_yard

MESSAGE = b"Subject: x\r\n\r\n" + b"line\r\n" * 100


async def inbox(yard: Yard, *, delivered: str | None = None, octets: bytes = MESSAGE) -> tuple[int, Appended]:
    """A message in alice's INBOX, and the mailbox's id."""
    account = await yard.accounts.find("alice@portyard.test")
    assert account is not None
    told = {"delivery_id": delivered, "recipient": "alice@portyard.test"} if delivered else {}
    appended = await yard.mail.append(account.id, "INBOX", octets, **told)
    box = await yard.mail.mailbox(account.id, "INBOX")
    assert box is not None
    return box.id, appended


def test_a_message_by_what_is_known_of_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_yard(tmp_path) as yard:
            box, appended = await inbox(yard, delivered="d1")
            found = StoredMail(yard)
            assert await found.delivered("d1") == MESSAGE
            assert await found.delivered("d2") is None
            assert await found.mailbox(appended.uid_validity) == box
            assert await found.mailbox(1) is None
            assert await found.message(box, appended.uid) == MESSAGE
            assert [await found.message(box, uid) for uid in (0, appended.uid + 1, 1 << 32)] == [None] * 3
            _, other = await inbox(yard)
            assert await found.uids(box) == [appended.uid, other.uid]
            assert await found.uids(box + 100) == []

    run(main())


def test_a_message_that_was_expunged_just_now(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_yard(tmp_path) as yard:
            box, appended = await inbox(yard, delivered="d1")
            assert await yard.mail.expunge(box, [appended.uid]) == [appended.uid]
            found = StoredMail(yard)
            assert await found.uids(box) == []
            assert await found.message(box, appended.uid) == MESSAGE
            assert await found.delivered("d1") == MESSAGE

    run(main())


def test_one_export_holds_so_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "MOST", 2 * len(MESSAGE))

    async def main() -> None:
        async with open_yard(tmp_path) as yard:
            box, first = await inbox(yard)
            _, large = await inbox(yard, octets=MESSAGE * 2)
            _, second = await inbox(yard)
            _, third = await inbox(yard)
            found = StoredMail(yard)
            for uid, octets in ((first.uid, MESSAGE), (large.uid, None), (first.uid, MESSAGE)):
                assert await found.message(box, uid) == octets
            assert [await found.message(box, uid) for uid in (second.uid, third.uid)] == [MESSAGE, None]

    run(main())
