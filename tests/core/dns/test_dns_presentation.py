from __future__ import annotations

import pytest

from portyard.dns.core.model import Edns, Message, Mx, Opaque, Opcode, Soa, Srv, Txt, Type
from portyard.dns.core.presentation import (
    NotPresentableError,
    data_of,
    data_text,
    name_of,
    name_text,
    query_of,
    query_text,
    reply_lines,
    reply_of,
    type_of,
    type_text,
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (".", ()),
        ("portyard.test", (b"portyard", b"test")),
        ("Portyard.test.", (b"Portyard", b"test")),
        (r"dotted\.label.test", (b"dotted.label", b"test")),
        (r"back\\.test", (b"back\\", b"test")),
        (r"\000\255.test", (b"\0\xff", b"test")),
    ],
)
def test_names(text: str, name: tuple[bytes, ...]) -> None:
    assert name_of(text) == name
    assert name_of(name_text(name)) == name


@pytest.mark.parametrize("text", ["", "a..b", ".a", "a" * 64, ".".join(["a" * 63] * 4), "a\\"])
def test_no_names(text: str) -> None:
    with pytest.raises(NotPresentableError):
        name_of(text)


@pytest.mark.parametrize(
    ("kind", "text", "data"),
    [
        (Type.MX, "10 mta.portyard.test", Mx(10, (b"mta", b"portyard", b"test"))),
        (Type.SRV, "0 1 143 .", Srv(0, 1, 143, ())),
        (Type.TXT, "one two", Txt((b"one", b"two"))),
        (Type.TXT, r'"v=spf1 -all" "a \"quote\" \\ \200"', Txt((b"v=spf1 -all", b'a "quote" \\ \xc8'))),
        (Type.TXT, '""', Txt((b"",))),
        (Type.TXT, "x" * 300, Txt((b"x" * 255, b"x" * 45))),
        (Type.SOA, "a. b. 1 2 3 4 5", Soa((b"a",), (b"b",), 1, 2, 3, 4, 5)),
        (Type.CAA, '0 issue "ca.test"', Opaque(b"\0\5issueca.test")),
        (65280, r"\# 2 abcd", Opaque(b"\xab\xcd")),
        (65280, r"\# 0", Opaque(b"")),
        (Type.MX, r"\# 5 000a016100", Mx(10, (b"a",))),
    ],
)
def test_data(kind: int, text: str, data: object) -> None:
    assert data_of(kind, text) == data
    assert data_of(kind, data_text(data)) == data  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Type.A, "256.1.1.1"),
        (Type.A, "::1"),
        (Type.AAAA, "127.0.0.1"),
        (Type.MX, "mta"),
        (Type.MX, "65536 mta"),
        (Type.MX, "ten mta"),
        (Type.TXT, ""),
        (Type.TXT, '"open'),
        (Type.SRV, "0 0 mta"),
        (Type.SOA, "a. b. 1 2 3 4"),
        (65280, "text"),
        (65280, r"\# 3 abcd"),
        (65280, r"\# x"),
        (Type.A, r"\# 0"),
        (Type.A, r"\# 3 7f0000"),
        (Type.CNAME, r"\# 2 c000"),
        (Type.MX, r"\# 6 000a01610000"),
        (Type.CAA, "256 issue x"),
    ],
)
def test_no_data(kind: int, text: str) -> None:
    with pytest.raises(NotPresentableError):
        data_of(kind, text)


def test_types() -> None:
    assert (type_of("mx"), type_of("TYPE65280"), type_text(15), type_text(65280)) == (15, 65280, "MX", "TYPE65280")
    for wrong in ("", "MXX", "TYPE", "TYPE65536", "TYPE-1", "15"):
        with pytest.raises(NotPresentableError):
            type_of(wrong)


def test_queries() -> None:
    message = query_of("STATUS A Portyard.test CH +rd +edns=4096 +do", 5)
    assert (message.id, message.opcode, message.recursion_desired) == (5, Opcode.STATUS, True)
    assert message.edns == Edns(4096, dnssec_ok=True)
    assert query_text(message) == "STATUS A Portyard.test. CH +rd +edns=4096 +do"
    for wrong in ("", "A", "A b c d", "A b +nonsense", "A b WRONG"):
        with pytest.raises(NotPresentableError):
            query_of(wrong)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("NOERROR", ["NOERROR rd"]),
        ("SERVFAIL aa tc", ["SERVFAIL aa tc rd"]),
        ("RCODE11 ra ad", ["RCODE11 rd ra ad"]),
        ("answer a.test 5 A 192.0.2.1", ["NOERROR aa rd", "answer a.test. 5 A 192.0.2.1"]),
        (
            "NXDOMAIN\r\nauthority test. 1 CH TXT x y\nadditional . 0 TYPE99 \\# 2 abcd\n",
            ["NXDOMAIN rd", 'authority test. 1 CH TXT "x" "y"', "additional . 0 SPF \\# 2 abcd"],
        ),
    ],
)
def test_a_reply_is_read_as_it_is_shown(text: str, lines: list[str]) -> None:
    asked = Message(id=7, response=True, recursion_desired=True)
    reply = reply_of(asked, text)
    assert (reply.id, reply_lines(reply)) == (7, lines)
    assert reply_of(asked, "\n".join(lines)) == reply


@pytest.mark.parametrize(
    "text",
    [
        "NOERROR xx",
        "PERHAPS",
        "answer a.test 5 A",
        "answer a.test 5",
        "answer",
        "answer a.test x A 192.0.2.1",
        "answer a.test 2147483648 A 192.0.2.1",
        "NOERROR\nquestion a.test 5 A 192.0.2.1",
        "answer a.test 5 CH",
        "answer a..test 5 A 192.0.2.1",
        "answer a.test 5 A 192.0.2.1 192.0.2.2",
    ],
)
def test_what_is_no_reply_is_refused(text: str) -> None:
    with pytest.raises(NotPresentableError):
        reply_of(Message(id=7, response=True), text)
