"""The whole mail chain in a test: MSA, MTA, MDA and DNS on ephemeral ports, and how to wait for what arrives."""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

from portyard.commons.database.watcher import CounterWatcher
from portyard.commons.yard import Yard
from portyard.dns.card import CARD as DNS
from portyard.smtp.card import CARD
from portyard.smtp.spool import QUEUE_COUNTER, Entry, queue
from tests.support.yard import Served, open_yard, serve

PATIENCE_S = 60.0
MESSAGE = (
    b"From: alice@portyard.test\r\nTo: bob@portyard.test\r\nSubject: hello\r\n\r\nline one\r\n.dotted\r\n..\r\n\r\n"
)


@contextlib.asynccontextmanager
async def chain(
    state: Path, names: Iterable[str] = ("msa", "mta", "mda", "dns"), **changes: object
) -> AsyncIterator[Served]:
    """A yard with the chain (or some of its services) running."""
    async with open_yard(state, **changes) as yard, serve(yard, CARD, DNS, names=names) as served:
        yield served


def submit(
    served: Served,
    recipients: Sequence[str],
    octets: bytes = MESSAGE,
    *,
    user: str = "alice@portyard.test",
    port: int = 0,
    **options: Sequence[str],
) -> dict[str, tuple[int, bytes]]:
    """A stock client's submission with STARTTLS and AUTH, to a port of another process where one is given; the refused recipients."""
    with smtplib.SMTP("localhost", port or served.port("submission"), "client.test", timeout=PATIENCE_S) as client:
        client.starttls(context=served.client_context())
        client.login(user, f"{user.partition('@')[0]}-secret")
        return client.sendmail(user, recipients, octets, **options)


async def inbox(yard: Yard, login: str) -> list[bytes]:
    """An account's messages, whole; none while there is no account."""
    account = await yard.accounts.find(login)
    if account is None:
        return []
    box = await yard.mail.mailbox(account.id, "INBOX")
    assert box is not None
    uids = [entry.uid for entry in await yard.mail.entries(box.id)]
    return [await yard.mail.octets(message) async for message in yard.mail.messages(box.id, uids)]


async def arrived(yard: Yard, login: str, count: int) -> list[bytes]:
    """Wait until an account has at least so many messages that came through the chain."""
    async for _ in queue_changes(yard):
        found = await inbox(yard, login)
        if len(found) >= count:
            return found
    raise AssertionError("the queue is watched for ever")


async def settled(yard: Yard) -> list[Entry]:
    """Wait until nothing is queued; what failed."""
    async for _ in queue_changes(yard):
        found = await queue(yard.mail_database)
        if all(entry.state != "queued" for entry in found):
            return found
    raise AssertionError("the queue is watched for ever")


async def queue_changes(yard: Yard) -> AsyncIterator[None]:
    """Yields now, and whenever a queue of any process has changed; not longer than a patient test waits."""
    assert isinstance(yard.watcher, CounterWatcher)
    watch = yard.watcher.watch_counter(QUEUE_COUNTER)
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield
            async for _ in watch:
                yield
    finally:
        await watch.aclose()


def untraced(octets: bytes) -> bytes:
    """The message without the fields that the chain put above it."""
    lines = octets.splitlines(keepends=True)
    added = (b"return-path:", b"delivered-to:", b"received:", b"\t")
    while lines and lines[0].lower().startswith(added):
        lines.pop(0)
    return b"".join(lines)
