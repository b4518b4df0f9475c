"""Submission to mailbox over three real hops and the real DNS room."""

from __future__ import annotations

import asyncio
import email
import re
import smtplib
from email.policy import SMTP as WIRE
from pathlib import Path

import msgspec
import pytest

from portyard.commons.settings import AccountSeed, load
from portyard.smtp.spool import queue
from tests.support.asyncio_tests import LOOPS, run
from tests.support.mail_chain import MESSAGE, arrived, chain, inbox, queue_changes, settled, submit, untraced


@pytest.mark.parametrize("loop", LOOPS)
def test_a_submitted_message_reaches_the_mailbox(loop: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with chain(tmp_path) as served:
            assert await asyncio.to_thread(submit, served, ["bob@portyard.test"]) == {}
            (octets,) = await arrived(served.yard, "bob", 1)
            message = email.message_from_bytes(octets, policy=WIRE)
            assert message["Return-Path"] == "<alice@portyard.test>"
            assert message["Delivered-To"] == "bob@portyard.test"
            assert [protocol(field) for field in message.get_all("Received", [])] == ["LMTPS", "ESMTPS", "ESMTPSA"]
            ids = {match[1] for match in re.finditer(rb"id ([0-9a-f]{40})", octets)}
            assert len(ids) == 1
            rest = untraced(octets)
            assert rest.startswith(b"Date: ")
            assert rest.endswith(MESSAGE)
            assert rest.count(b"Message-ID:") == 1
            assert await settled(served.yard) == []
            assert await served.yard.mail_database.read("SELECT * FROM spool_messages") == []

    run(go(), loop)


def protocol(field: str) -> str:
    found = re.search(r"with (\w+) id", field)
    assert found is not None
    return found[1]


def test_implicit_tls_many_recipients_and_a_large_message(tmp_path: Path) -> None:
    octets = MESSAGE + b"x" * 76 * 1000 + b"\r\n" + ("ä" * 400 + "\r\n").encode() * 3000
    recipients = [f"user{number}@foreign{number % 3}.test" for number in range(250)]

    def send(port: int, context: object) -> None:
        with smtplib.SMTP_SSL("localhost", port, context=context, timeout=30) as client:  # type: ignore[arg-type]
            client.login("alice", "alice-secret")
            client.sendmail("alice@portyard.test", recipients, octets, mail_options=["BODY=8BITMIME"])

    async def go() -> None:
        async with chain(tmp_path) as served:
            await asyncio.to_thread(send, served.port("submissions"), served.client_context())
            for login in (recipients[0], recipients[-1]):
                (got,) = await arrived(served.yard, f"default/{login}", 1)
                assert untraced(got).endswith(octets)
            assert await settled(served.yard) == []
            assert len(await served.yard.accounts.list("default")) == 252
        assert list((tmp_path / "spool").iterdir()) == []

    run(go())


def test_smtputf8_and_subaddresses(tmp_path: Path) -> None:
    async def go() -> None:
        async with chain(tmp_path) as served:
            options = ["SMTPUTF8", "BODY=8BITMIME"]
            to = ["jörg@bücher.test", "bob+tag@portyard.test"]
            await asyncio.to_thread(submit, served, to, "Subject: grüße\r\n\r\n".encode(), mail_options=options)
            (tagged,) = await arrived(served.yard, "bob", 1)
            assert b"Delivered-To: bob+tag@portyard.test\r\n" in tagged
            assert b"with UTF8LMTPS id" in tagged
            assert await settled(served.yard) == []
            accounts = [account.address for account in await served.yard.accounts.list("default")]
            assert "jörg@bücher.test" in accounts

    run(go())


def test_a_strict_server_says_no_and_the_queue_says_why(tmp_path: Path) -> None:
    async def go() -> None:
        async with chain(tmp_path, capture="own") as served:
            to = ["bob@portyard.test", "nobody@portyard.test", "someone@foreign.test"]
            await asyncio.to_thread(submit, served, to)
            await arrived(served.yard, "bob", 1)
            failed = {entry.recipient: entry for entry in await settled(served.yard)}
            assert {entry.state for entry in failed.values()} == {"failed"}
            assert failed["nobody@portyard.test"].reason.startswith("550 5.1.1")
            assert failed["someone@foreign.test"].reason.startswith("550 5.7.1")
            assert {entry.attempts for entry in failed.values()} == {1}
            assert len(await served.yard.accounts.list("default")) == 2

    run(go())


def test_what_waits_survives_the_process_and_goes_once(tmp_path: Path) -> None:
    async def go() -> None:
        async with chain(tmp_path, names=["msa", "dns"]) as served:
            await asyncio.to_thread(submit, served, ["bob@portyard.test"])
            (entry,) = await queue(served.yard.mail_database)
            assert (entry.hop, entry.state) == ("msa", "queued")
        async with chain(tmp_path, names=["mta"]) as served:
            assert await inbox(served.yard, "bob") == []
        async with chain(tmp_path) as served:
            await arrived(served.yard, "bob", 1)
            assert await settled(served.yard) == []
            assert len(await inbox(served.yard, "bob")) == 1

    run(go())


def test_mail_to_the_mta_from_outside(tmp_path: Path) -> None:
    def send(port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            for number in range(20):
                client.sendmail("a@client.test", ["bob@portyard.test"], b"Subject: %d\r\n\r\n" % number)

    async def go() -> None:
        async with chain(tmp_path, names=["mta", "mda"]) as served:
            await asyncio.to_thread(send, served.port("smtp"))
            got = await arrived(served.yard, "bob", 20)
            assert {untraced(octets) for octets in got} == {b"Subject: %d\r\n\r\n" % number for number in range(20)}
            assert all(b"Message-ID" not in octets for octets in got)

    run(go())


def test_text_without_a_header_arrives_as_text(tmp_path: Path) -> None:
    def send(port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            client.sendmail("a@client.test", ["bob@portyard.test"], "High water at six.")

    async def go() -> None:
        async with chain(tmp_path) as served:
            await asyncio.to_thread(submit, served, ["bob@portyard.test"], b"High water at six.\r\n")
            await arrived(served.yard, "bob", 1)
            await asyncio.to_thread(send, served.port("smtp"))
            for octets in await arrived(served.yard, "bob", 2):
                assert octets.count(b"\r\n\r\nHigh water at six.\r\n") == 1
                assert email.message_from_bytes(octets, policy=WIRE).get_payload() == "High water at six.\r\n"

    run(go())


def test_the_chain_is_journalled_and_the_secret_of_the_hop_is_not(tmp_path: Path) -> None:
    async def go() -> None:
        async with chain(tmp_path, accounts=(AccountSeed("alice@portyard.test", "alice-secret"),)) as served:
            await asyncio.to_thread(submit, served, ["bob@portyard.test"])
            await arrived(served.yard, "bob", 1)
        # The journal is whole once everything is closed.
        async with chain(tmp_path, names=["mda"]) as served:
            journal = served.yard.journal
            records = await journal.sessions("default", room="smtp")
            assert {record.service for record in records} == {"msa", "mta", "mda"}
            for record in records:
                events = await journal.events(record.id)
                text = str([event.fields for event in events])
                assert "alice-secret" not in text
                assert "XPORTYARD=«secret" in text or record.service == "msa"
                assert events[-1].kind == "closed"
                (data,) = [event for event in events if event.kind == "data"]
                assert data.fields["recipients"] == ["bob@portyard.test"]

    run(go())


def test_settings_of_limits_are_announced(tmp_path: Path) -> None:
    def sizes(port: int) -> str:
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            client.ehlo()
            return client.esmtp_features["size"]

    async def go() -> None:
        from portyard.commons.settings import Limits

        limits = msgspec.structs.replace(Limits(), message=123_456)
        async with chain(tmp_path, names=["mta"], limits=limits) as served:
            assert await asyncio.to_thread(sizes, served.port("smtp")) == "123456"

    run(go())


def test_the_retry_schedule_is_a_setting(tmp_path: Path) -> None:
    assert load({"PORTYARD_RETRY_S": "2, 30"}).retry_s == (2.0, 30.0)

    async def go() -> None:
        async with chain(tmp_path, names=["msa"], retry_s=(3600.0,)) as served:
            await asyncio.to_thread(submit, served, ["bob@portyard.test"])
            async for _ in queue_changes(served.yard):
                (entry,) = await queue(served.yard.mail_database)
                if entry.attempts:
                    break
            assert entry.reason == "451 4.4.3 the testbed's DNS service isn't up"
            assert 3000 < entry.due - served.yard.clock.now().timestamp() <= 3600

    run(go())
