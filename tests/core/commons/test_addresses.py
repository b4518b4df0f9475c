from __future__ import annotations

import pytest

from portyard.commons.mailstore import addresses
from portyard.commons.mailstore.addresses import GROUP_END, parse_addresses
from portyard.commons.mailstore.structure import Address

Plain = tuple[bytes | None, bytes | None, bytes | None, bytes | None]


def person(mailbox: bytes, host: bytes, name: bytes | None = None, route: bytes | None = None) -> Address:
    return Address(name, route, mailbox, host)


def group(name: bytes) -> Address:
    return Address(None, None, name, None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", []),
        (b" , ,", []),
        (b"a@x.test", [person(b"a", b"x.test")]),
        (b"<a@x.test>", [person(b"a", b"x.test")]),
        (b"A B <a@x.test>", [person(b"a", b"x.test", b"A B")]),
        (b"A  B<a@x.test>", [person(b"a", b"x.test", b"A B")]),
        (b'"B, A" <a@x.test> , b@y.test', [person(b"a", b"x.test", b"B, A"), person(b"b", b"y.test")]),
        (b'"a \\"quoted\\" name" <a@x>', [person(b"a", b"x", b'a "quoted" name')]),
        (b"=?utf-8?q?=C3=A9?= <a@x>", [person(b"a", b"x", b"=?utf-8?q?=C3=A9?=")]),
        (b"J. Q. Doe <j@x>", [person(b"j", b"x", b"J. Q. Doe")]),
        (b'"two words"@x', [person(b"two words", b"x")]),
        (b'"at@sign"@x', [person(b"at@sign", b"x")]),
        (b"j@[192.0.2.1]", [person(b"j", b"[192.0.2.1]")]),
        (b"a (one (nested)) @ x . test (two)", [person(b"a", b"x.test", b"one (nested)")]),
        (b"a@x (The \\) Name)", [person(b"a", b"x", b"The ) Name")]),
        (b"N <@r1.test,@r2.test:a@x>", [person(b"a", b"x", b"N", b"@r1.test,@r2.test")]),
        (b"G: a@x, B <b@y>; c@z", [group(b"G"), person(b"a", b"x"), person(b"b", b"y", b"B"), GROUP_END, person(b"c", b"z")]),
        (b"undisclosed-recipients:;", [group(b"undisclosed-recipients"), GROUP_END]),
        (b"G: a@x", [group(b"G"), person(b"a", b"x"), GROUP_END]),
        (b"root", [person(b"root", b"")]),
        (b"a@x; b@y", [person(b"a", b"x"), person(b"b", b"y")]),
        (b"<>", [person(b"", b"")]),
        (b"Name <a@x", [person(b"a", b"x", b"Name")]),
        (b'"unclosed <a@x>', [person(b"unclosed <a@x>", b"")]),
        (b"(unclosed a@x", [person(b"", b"", b"unclosed a@x")]),
        (b"\xffml <\xc3\xa9@\xe4>", [person(b"\xc3\xa9", b"\xe4", b"\xffml")]),
        (b"a@b@c", [person(b"a@b", b"c")]),
    ],
)  # fmt: skip
def test_addresses(value: bytes, expected: list[Address]) -> None:
    assert list(parse_addresses(value)) == expected


def test_both_ways_of_parsing_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    value = b'a@x, A B <a.b@x.test>,"C, D" <c@y> , <d@z>,e+f@x'
    fast = parse_addresses(value)
    monkeypatch.setattr(addresses, "_COMMON", addresses.re.compile(rb"(?!)"))
    assert parse_addresses(value) == fast


def test_thousands_are_kept_and_more_are_cut() -> None:
    many = b", ".join(b"Someone %d <u%d@portyard.test>" % (n, n) for n in range(5000))
    assert len(parse_addresses(many)) == 5000
    assert len(parse_addresses(b"a@x," * 20_000)) == addresses.MAX_ADDRESSES
    assert [found.mailbox for found in parse_addresses(b"a " * 100_000 + b"@x, b@y")][1:] == [b"b"]
