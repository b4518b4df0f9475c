"""A delivery that a reset or a deletion overtakes between the look at the account and the write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from portyard.smtp.core.model import Mailbox, Peer, Transaction
from tests.support.asyncio_tests import run
from tests.support.smtp import door_of
from tests.support.yard import open_yard

MESSAGE = b"Subject: late\r\n\r\nhello\r\n"


@pytest.mark.parametrize(("what", "code"), [("reset", 250), ("gone", 550)])
def test_what_a_sweep_overtakes_is_dropped_after_a_reset_and_refused_else(
    what: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with open_yard(tmp_path) as yard:
            door = await door_of(yard, "mda")
            peer, transaction = Peer("192.0.2.1"), Transaction(Mailbox("", ""), "id1")
            transaction.recipients.append(await door.recipient(peer, transaction, Mailbox("alice", "portyard.test")))
            account = await yard.accounts.by_address("default", "alice@portyard.test")
            assert account is not None
            mail: Any = yard.mail
            prepared = mail._body

            async def overtaken(octets: bytes) -> Any:
                body = await prepared(octets)
                if what == "reset":
                    await yard.sandboxes.reset("default")
                await mail.forget(account.id)
                return body

            monkeypatch.setattr(mail, "_body", overtaken)
            (reply,) = await door.accept(peer, transaction, MESSAGE)
            monkeypatch.undo()
            assert reply.code == code

    run(main())
