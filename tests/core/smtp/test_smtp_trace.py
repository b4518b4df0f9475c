"""Trace fields and what a submission server adds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

import pytest

from portyard.smtp.core import trace
from portyard.smtp.core.model import NULL_PATH, Mailbox, Peer

NOON = datetime(2030, 1, 2, 12, 3, 4, tzinfo=UTC)


def test_date_time() -> None:
    assert trace.date_time(NOON) == "Wed, 2 Jan 2030 12:03:04 +0000"
    there = NOON.astimezone(timezone(timedelta(hours=-5, minutes=-30)))
    assert trace.date_time(there) == "Wed, 2 Jan 2030 06:33:04 -0530"
    assert parsedate_to_datetime(trace.date_time(there)) == NOON


@pytest.mark.parametrize(
    ("peer", "lmtp", "utf8", "name"),
    [
        (Peer("::1"), False, False, "SMTP"),
        (Peer("::1", esmtp=True), False, False, "ESMTP"),
        (Peer("::1", esmtp=True, tls="x"), False, False, "ESMTPS"),
        (Peer("::1", esmtp=True, account="a"), False, False, "ESMTPA"),
        (Peer("::1", esmtp=True, tls="x", account="a"), False, False, "ESMTPSA"),
        (Peer("::1", esmtp=True, tls="x", account="a"), False, True, "UTF8SMTPSA"),
        (Peer("::1", esmtp=True), True, False, "LMTP"),
        (Peer("::1", esmtp=True, tls="x"), True, True, "UTF8LMTPS"),
    ],
)
def test_the_protocols_names(peer: Peer, lmtp: bool, utf8: bool, name: str) -> None:
    assert trace.protocol_name(peer, lmtp=lmtp, smtputf8=utf8) == name


def received(peer: Peer, recipient: Mailbox | None = None) -> str:
    return trace.received(
        peer, host="mta.test", lmtp=False, smtputf8=False, delivery_id="id1", recipient=recipient, moment=NOON
    ).decode()


def test_received() -> None:
    peer = Peer("192.0.2.1", "client.test", esmtp=True, tls="TLSv1.3 X")
    assert received(peer, Mailbox("a b", "c.test")) == (
        "Received: from client.test ([192.0.2.1])\r\n\t(using TLSv1.3 X)\r\n\tby mta.test with ESMTPS id id1\r\n"
        '\tfor <"a b"@c.test>;\r\n\tWed, 2 Jan 2030 12:03:04 +0000\r\n'
    )


@pytest.mark.parametrize("hello", ["", "(evil)", "a;b", "x\u0080<"])
def test_a_hello_that_is_no_domain_is_not_repeated(hello: str) -> None:
    assert received(Peer("2001:db8::1", hello)).startswith(
        "Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])\r\n\tby"
    )


def test_only_missing_fields_are_added() -> None:
    def added(octets: bytes) -> bytes:
        return trace.missing_fields(octets, moment=NOON, delivery_id="id1", host="msa.test")

    both = b"Date: Wed, 2 Jan 2030 12:03:04 +0000\r\nMessage-ID: <id1@msa.test>\r\n"
    assert added(b"Subject: x\r\n\r\nDate: in the body\r\nMessage-ID: too\r\n") == both
    assert added(b"\r\nDate: in the body\r\n") == both
    assert added(b"") == both
    assert added(b"hello\r\nDate: in the text\r\n\r\nMessage-ID: too\r\n") == both
    assert added(b"DATE : x\r\n\r\n") == b"Message-ID: <id1@msa.test>\r\n"
    assert added(b"X: y\r\nmessage-id: <a@b>\r\nDate: x\r\n\r\n") == b""


def test_hops_counts_the_header_alone() -> None:
    assert trace.hops(b"Received: a\r\nX: y\r\nRECEIVED: b\r\n\r\nReceived: c\r\n") == 2
    assert trace.hops(b"\r\nReceived: c\r\n") == 0


@pytest.mark.parametrize("octets", [b"hello\r\n", b"hello\r\n\r\nthere\r\n", b"\xe4: x\r\n", b": x\r\n", b"\n"])
def test_text_without_a_header_stays_text(octets: bytes) -> None:
    assert trace.separator(octets) == b"\r\n"
    assert trace.hops(octets + b"Received: c\r\n") == 0


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\r\nhello\r\n",
        b"X: y\r\n",
        b"x \t:\r\n",
        b" folded\r\nX: y\r\n",
        b"From a Mon\r\nX: y\r\n",
        b">From a Mon\r\n",
    ],
)
def test_a_header_begins_behind_our_fields(octets: bytes) -> None:
    assert trace.separator(octets) == b""


def test_delivery_fields() -> None:
    assert trace.delivery_fields(NULL_PATH, Mailbox("a", "b")) == b"Return-Path: <>\r\nDelivered-To: a@b\r\n"
