from __future__ import annotations

import pytest

from portyard.dns.core.grammar import MalformedError, counts, parse, parse_header, print_message
from portyard.dns.core.model import Address, Edns, Message, Mx, Question, Record, Srv, Type

QUERY = Message(id=1, recursion_desired=True, questions=(Question((b"Portyard", b"test"), Type.MX),))


def test_names_are_compressed_in_the_askers_case() -> None:
    name = (b"PortYard", b"test")
    reply = Message(
        id=1, response=True, questions=(Question(name, Type.A),), answers=(Record(name, Type.A, 0, Address(bytes(4))),)
    )
    printed = print_message(reply)
    assert printed.count(b"PortYard") == 1
    assert printed.endswith(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04" + bytes(4))


def test_a_service_target_is_not_compressed() -> None:
    name = (b"portyard", b"test")
    record = Record(name, Type.SRV, 0, Srv(0, 1, 143, (b"imap", *name)))
    assert (
        print_message(Message(id=1, questions=(Question(name, Type.SRV),), answers=(record,))).count(b"portyard") == 2
    )


def test_an_exchange_is_compressed() -> None:
    name = (b"portyard", b"test")
    record = Record(name, Type.MX, 0, Mx(10, (b"mta", *name)))
    assert print_message(Message(id=1, questions=(Question(name, Type.MX),), answers=(record,))).count(b"portyard") == 1


def test_the_extended_rcode_goes_into_the_opt_record() -> None:
    printed = print_message(Message(id=1, response=True, rcode=16, edns=Edns(1232)))
    assert printed[3] & 0xF == 0
    assert parse(printed).rcode == 16


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", "no header"),
        (bytes(11), "no header"),
        (b"\0\1\0\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1", "doesn't point back"),
        (b"\0\1\0\0\0\1\0\0\0\0\0\0\x80\0\1\0\1", "unknown kind"),
        (b"\0\1\0\0\0\1\0\0\0\0\0\0" + (b"\x3f" + bytes(63)) * 4 + b"\0\0\1\0\1", "255 octets"),
        (b"\0\1\0\0\0\1\0\0\0\0\0\0\0\0\1\0\1x", "after the message"),
        (b"\0\1\0\0\0\1\0\0\0\0\0\0\3ab", "past the end"),
        (b"\0\1\0\0\0\0\0\1\0\0\0\0\0\0\1\0\1\0\0\0\0\0\3abc", "an address of 3 octets"),
        (b"\0\1\0\0\0\0\0\1\0\0\0\0\0\0\x0f\0\1\0\0\0\0\0\5\0\1\0xx", "isn't as long as announced"),
        (b"\0\1\0\0\0\0\0\1\0\0\0\0\0\0\x29\0\1\0\0\0\0\0\0", "outside the additional section"),
        (b"\0\1\0\0\0\0\0\0\0\0\0\1\1a\0\0\x29\0\1\0\0\0\0\0\0", "isn't the root"),
    ],
)
def test_malformed(octets: bytes, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason) as caught:
        parse(octets)
    assert (caught.value.header is None) == (len(octets) < 12)


def test_header_and_counts() -> None:
    printed = print_message(QUERY)
    assert counts(printed) == (1, 0)
    assert parse_header(printed) == Message(id=1, recursion_desired=True)


def test_a_name_of_255_octets_is_taken() -> None:
    name = (b"a" * 63, b"b" * 63, b"c" * 63, b"d" * 61)
    message = Message(id=1, questions=(Question(name, Type.A),))
    assert parse(print_message(message)) == message
