# ruff: noqa: A005 - the RFC's own noun; nobody here wants the standard library's module
"""Trace fields and what a submission server may add: pure text, with the time as an argument.

Nothing of the message itself is touched: every addition stands above its first octet.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from portyard.smtp.core.grammar import parse_path, print_mailbox
from portyard.smtp.core.model import Mailbox, Peer

LOOP_LIMIT: Final = 100
"""Received fields of a message that is going round in circles (RFC 5321 §6.3 asks for at least 100)."""

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_RECEIVED: Final = re.compile(rb"^received[ \t]*:", re.IGNORECASE | re.MULTILINE)
_DATE: Final = re.compile(rb"^date[ \t]*:", re.IGNORECASE | re.MULTILINE)
_HEADED: Final = re.compile(
    rb"[!-9;-~]+[ \t]*:|[ \t]|>?From |\r\n|\Z"
)  # a field (RFC 5322 §2.2, §4), a fold, an mbox's line, no header
_MESSAGE_ID: Final = re.compile(rb"^message-id[ \t]*:", re.IGNORECASE | re.MULTILINE)


def date_time(moment: datetime) -> str:
    """A date-time (RFC 5322 §3.3), in the moment's own zone."""
    day, month = _DAYS[moment.weekday()], _MONTHS[moment.month - 1]
    time = f"{moment.hour:02}:{moment.minute:02}:{moment.second:02}"
    zone = "+0000" if moment.tzinfo is UTC else f"{moment:%z}"
    return f"{day}, {moment.day} {month} {moment.year:04} {time} {zone}"


def header_of(octets: bytes) -> bytes:
    """The header section with its last CRLF (RFC 5322 §2.1); the whole message where no empty line ends it."""
    if octets.startswith(b"\r\n") or separator(octets):
        return b""
    end = octets.find(b"\r\n\r\n")
    return octets if end < 0 else octets[: end + 2]


def separator(octets: bytes) -> bytes:
    """What stands between the fields that we add and a message: an empty line where it begins with its text, which were header else."""
    return b"" if _HEADED.match(octets) else b"\r\n"  # RFC 5322 §2.1


def hops(octets: bytes) -> int:
    """How many Received fields the message carries (RFC 5321 §6.3)."""
    return len(_RECEIVED.findall(header_of(octets)))


def missing_fields(octets: bytes, *, moment: datetime, delivery_id: str, host: str) -> bytes:
    """Date and Message-ID where the client left them out (RFC 6409 §8.2, §8.3)."""
    header = header_of(octets)
    added = ""
    if not _DATE.search(header):
        added += f"Date: {date_time(moment)}\r\n"
    if not _MESSAGE_ID.search(header):
        added += f"Message-ID: <{delivery_id}@{host}>\r\n"
    return added.encode()


def received(
    peer: Peer, *, host: str, lmtp: bool, smtputf8: bool, delivery_id: str, recipient: Mailbox | None, moment: datetime
) -> bytes:
    """Our Received field (RFC 5321 §4.4).

    Args:
        peer: Who handed the message over.
        host: Our name.
        lmtp: It came by LMTP.
        smtputf8: The transaction declared SMTPUTF8.
        delivery_id: The message's delivery id.
        recipient: Named in the "for" clause; None where there are several, whom it would give away (RFC 5321 §7.6).
        moment: When.
    """
    with_ = protocol_name(peer, lmtp=lmtp, smtputf8=smtputf8)
    tls = f"\r\n\t(using {peer.tls})" if peer.tls else ""
    for_ = f"\r\n\tfor <{print_mailbox(recipient)}>" if recipient else ""
    return (
        f"Received: from {_from_domain(peer)}{tls}\r\n\tby {host} with {with_} id {delivery_id}{for_};\r\n"
        f"\t{date_time(moment)}\r\n"
    ).encode()


def protocol_name(peer: Peer, *, lmtp: bool, smtputf8: bool) -> str:
    """The "with" clause's word (RFC 3848, RFC 6531 §4.3)."""
    if not peer.esmtp:
        return "SMTP"
    family = "LMTP" if lmtp else "SMTP"
    name = f"UTF8{family}" if smtputf8 else family if lmtp else "ESMTP"
    return name + ("S" if peer.tls else "") + ("A" if peer.account else "")


def delivery_fields(reverse_path: Mailbox, recipient: Mailbox) -> bytes:
    """Return-Path (RFC 5321 §4.4, at final delivery) and Delivered-To (RFC 9228)."""
    return f"Return-Path: <{print_mailbox(reverse_path)}>\r\nDelivered-To: {print_mailbox(recipient)}\r\n".encode()


def _from_domain(peer: Peer) -> str:
    """Extended-Domain = Domain FWS "(" TCP-info ")"; a hello that is no domain is not repeated (RFC 5321 §4.4)."""
    literal = f"[IPv6:{peer.address}]" if ":" in peer.address else f"[{peer.address}]"
    known = parse_path(f"<x@{peer.hello}>")
    return f"{peer.hello if known and known[1] == len(peer.hello) + 4 else literal} ({literal})"
