"""Capture by sandbox: parallel tests share the chain and never meet."""

from __future__ import annotations

import asyncio
import smtplib
from pathlib import Path

from portyard.commons.sandbox.model import Sandbox
from portyard.commons.sandbox.sql import put
from portyard.commons.yard import Yard
from tests.support.asyncio_tests import run
from tests.support.mail_chain import chain, settled
from tests.support.yard import Served


async def make(yard: Yard, name: str, capture: str = "any") -> None:
    sandbox = Sandbox(name, 1, capture, (f"{name}.test",), "portyard")
    await yard.control_database.write(lambda work: put(work, sandbox))
    await yard.accounts.create(name, f"u@{name}.test", "pw")


def submit(served: Served, user: str, *recipients: str) -> None:
    with smtplib.SMTP("127.0.0.1", served.port("submission"), timeout=20) as client:
        client.login(user, "pw")
        client.sendmail(user, recipients, b"Subject: x\r\n\r\n")


async def holders(yard: Yard, sandbox: str) -> list[str]:
    """Accounts of the sandbox that got mail."""
    found = []
    for account in await yard.accounts.list(sandbox):
        box = await yard.mail.mailbox(account.id, "INBOX")
        if box is not None and box.messages:
            found.append(account.address)
    return sorted(found)


def test_foreign_mail_is_captured_where_it_was_submitted(tmp_path: Path) -> None:
    async def go() -> None:
        async with chain(tmp_path) as served:
            yard = served.yard
            await make(yard, "t1")
            await make(yard, "t2")
            to = ["someone@foreign.test", "new@t1.test", "other@t2.test", "bob@portyard.test"]
            await asyncio.to_thread(submit, served, "u@t1.test", *to)
            assert await settled(yard) == []
            assert await holders(yard, "t1") == ["new@t1.test", "someone@foreign.test"]
            assert await holders(yard, "t2") == ["other@t2.test"]
            assert await holders(yard, "default") == ["bob@portyard.test"]

    run(go())


def test_a_capturing_sandbox_beside_a_strict_default(tmp_path: Path) -> None:
    async def go() -> None:
        async with chain(tmp_path, capture="own") as served:
            yard = served.yard
            await make(yard, "t1")
            await make(yard, "t2", "own")
            await asyncio.to_thread(submit, served, "u@t1.test", "someone@foreign.test")
            await asyncio.to_thread(submit, served, "u@t2.test", "someone@foreign.test", "nobody@t2.test")
            failed = {entry.recipient: entry.reason[:9] for entry in await settled(yard)}
            assert failed == {"someone@foreign.test": "550 5.7.1", "nobody@t2.test": "550 5.1.1"}
            assert await holders(yard, "t1") == ["someone@foreign.test"]

    run(go())


def test_a_kept_connection_between_hops_carries_one_sandboxs_mail(tmp_path: Path) -> None:
    def deliver(served: Served, *recipients: str) -> None:
        with smtplib.SMTP("127.0.0.1", served.port("smtp"), timeout=20) as client:
            for recipient in recipients:
                client.sendmail("shop@harbour.test", [recipient], b"Subject: x\r\n\r\n")

    async def go() -> None:
        async with chain(tmp_path) as served:
            yard = served.yard
            await make(yard, "t1")
            await make(yard, "t2")
            for recipient in ("u@t1.test", "u@t2.test", "u@t1.test", "u@t2.test"):
                await asyncio.to_thread(deliver, served, recipient)
                assert await settled(yard) == []
            await yard.journal.flush()
            for sandbox, other in (("t1", "t2.test"), ("t2", "t1.test")):
                (hop,) = [each for each in await yard.journal.sessions(sandbox) if each.service == "mda"]  # kept
                said = [str(event.fields) for event in await yard.journal.events(hop.id)]
                assert any("RCPT" in text for text in said)
                assert not any(other in text for text in said)

    run(go())


def test_a_kept_connection_shows_each_sandbox_its_own_transactions(tmp_path: Path) -> None:
    """As a mail client's pool does that several tests use; what was before a reset is gone with it."""

    async def go() -> None:
        async with chain(tmp_path) as served:
            yard = served.yard
            await make(yard, "t1")
            await make(yard, "t2")
            client = await asyncio.to_thread(smtplib.SMTP, "127.0.0.1", served.port("smtp"), timeout=20)

            async def send(number: int, *to: str) -> None:
                await asyncio.to_thread(client.sendmail, f"{number}@harbour.test", to, b"Subject: x\r\n\r\n")

            await send(1, "u@t1.test")
            await send(2, "u@t2.test")
            await send(3, "u@t1.test", "u@t2.test")
            assert await settled(yard) == []
            before = await said(yard, "t1")
            await yard.sandboxes.reset("t1")
            assert await yard.journal.sessions("t1") == []
            await send(4, "u@t1.test")
            await asyncio.to_thread(client.quit)
            assert await settled(yard) == []
            after = {name: await said(yard, name) for name in ("t1", "t2")}
            assert [before, after["t1"], after["t2"]] == [["1", "3"], ["4"], ["2", "3"]]

    run(go())


async def said(yard: Yard, sandbox: str) -> list[str]:
    """The senders that the sandbox's session with the MTA shows; how it began shows, too."""
    await yard.journal.flush()
    (session,) = [each for each in await yard.journal.sessions(sandbox) if each.service == "mta"]
    lines = [str(event.fields.get("text")) for event in await yard.journal.events(session.id, 0, session.shown)]
    assert any(line.startswith("ehlo ") for line in lines)
    return [line[11] for line in lines if line.lower().startswith("mail from:<")]
