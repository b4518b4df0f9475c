"""Real input: the corpus goes in by submission and comes out by IMAP and POP3 octet for octet, save the trace header before it."""

from __future__ import annotations

import asyncio
import imaplib
import poplib
import smtplib
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest

from portyard.commons.yard import Yard
from portyard.dns.card import CARD as DNS
from portyard.imap.card import CARD as IMAP
from portyard.pop3.card import CARD as POP3
from portyard.smtp.card import CARD as SMTP
from tests.support.asyncio_tests import run
from tests.support.corpus import Sample, corpus, huge
from tests.support.talks import PASSWORD, USER
from tests.support.yard import Served, open_yard, serve

TRACE = (b"return-path", b"delivered-to", b"received", b"x-original-to")
SENDER, SENDER_PASSWORD = "bob@portyard.test", "bob-secret"


def submit(port: int, context: ssl.SSLContext, samples: Sequence[Sample], recipients: Sequence[str]) -> None:
    client = smtplib.SMTP("localhost", port, timeout=60)
    client.starttls(context=context)
    client.login(SENDER, SENDER_PASSWORD)
    for sample in samples:
        options = ["BODY=8BITMIME", *(["SMTPUTF8"] if sample.smtputf8 else [])]
        refused = client.sendmail(SENDER, recipients, sample.octets, mail_options=options)
        assert not refused, sample.name
    client.quit()


async def until_stored(yard: Yard, login: str, count: int) -> None:
    """Return once the account's INBOX has so many messages."""
    account = None
    while account is None:
        account = await yard.accounts.find(login)
        await asyncio.sleep(0)
    inbox = await yard.mail.mailbox(account.id, "INBOX")
    assert inbox is not None
    changes = yard.watcher.watch(inbox.id)  # before the counting, so that nothing comes unheard between the two
    while await messages_in(yard, account.id) < count:
        await anext(changes)
    await changes.aclose()  # type: ignore[attr-defined]


async def messages_in(yard: Yard, account_id: int) -> int:
    inbox = await yard.mail.mailbox(account_id, "INBOX")
    assert inbox is not None
    return inbox.messages


def fetched_by_imap(port: int, context: ssl.SSLContext) -> list[bytes]:
    client = imaplib.IMAP4_SSL("localhost", port, ssl_context=context, timeout=60)
    client.login(USER, PASSWORD)
    client.select("INBOX", readonly=True)
    uids = client.uid("SEARCH", "ALL")[1][0].split()
    messages = [client.uid("FETCH", uid, "(BODY.PEEK[])")[1][0][1] for uid in uids]
    client.logout()
    return messages


def fetched_by_pop3(port: int, context: ssl.SSLContext) -> list[bytes]:
    client = poplib.POP3_SSL("localhost", port, context=context, timeout=60)
    client.user(USER)
    client.pass_(PASSWORD)
    count = client.stat()[0]
    messages = [b"\r\n".join(client.retr(number)[1]) + b"\r\n" for number in range(1, count + 1)]
    client.quit()
    return messages


def is_trace(prefix: bytes) -> bool:
    """Whether this is nothing but whole header fields that the hops put before a message (RFC 5321 §4.4)."""
    lines = [line for line in prefix.split(b"\r\n")[:-1] if not line.startswith((b" ", b"\t"))]
    return prefix.endswith(b"\r\n") and all(line.split(b":")[0].lower() in TRACE for line in lines)


def check(samples: Sequence[Sample], got: Sequence[bytes]) -> None:
    assert len(got) == len(samples)
    for sample in samples:
        found = [octets for octets in got if octets.endswith(sample.octets)]
        assert any(is_trace(octets.removesuffix(sample.octets)) for octets in found), f"{sample.name} came out changed"


@pytest.mark.parametrize("kind", ["corpus", "huge"])
def test_what_is_submitted_comes_out_unchanged(kind: str, tmp_path: Path) -> None:
    samples = corpus() if kind == "corpus" else huge()

    async def go(yard: Yard, served: Served) -> None:
        context = served.client_context()
        await asyncio.to_thread(submit, served.port("submission"), context, samples, [USER])
        await until_stored(yard, USER, len(samples))
        check(samples, await asyncio.to_thread(fetched_by_imap, served.port("imaps"), context))
        check(samples, await asyncio.to_thread(fetched_by_pop3, served.port("pop3s"), context))

    run(in_chain(tmp_path, go), limit_s=600)


def test_two_thousand_recipients_each_get_it_once(tmp_path: Path) -> None:
    sample = Sample("two-thousand", corpus()[0].octets)
    recipients = [f"crew{number}@portyard.test" for number in range(2000)]

    async def go(yard: Yard, served: Served) -> None:
        await asyncio.to_thread(submit, served.port("submission"), served.client_context(), [sample], recipients)
        for recipient in recipients:
            await until_stored(yard, recipient, 1)
        for recipient in (recipients[0], recipients[-1]):
            account = await yard.accounts.find(recipient)
            assert account is not None
            inbox = await yard.mail.mailbox(account.id, "INBOX")
            assert inbox is not None
            assert inbox.messages == 1

    run(in_chain(tmp_path, go), limit_s=600)


async def in_chain(state: Path, go: object) -> None:
    async with open_yard(state) as yard, serve(yard, DNS, SMTP, POP3, IMAP) as served:
        await go(yard, served)  # type: ignore[operator]
