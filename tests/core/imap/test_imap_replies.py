"""What the server says, printed."""

from __future__ import annotations

import pytest

from portyard.commons.mailstore import mime
from portyard.imap.core.replies import body_structure, compact_set, envelope, flag_list, nstring, status_line


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, b"NIL"),
        (b"", b'""'),
        (b'a "b" \\c', b'"a \\"b\\" \\\\c"'),
        (b"a\r\nb", b"{4}\r\na\r\nb"),
        ("ß".encode(), b"{2}\r\n\xc3\x9f"),
        (b"a\0b", b'"ab"'),
        (b"x" * 2000, b"{2000}\r\n" + b"x" * 2000),
    ],
)
def test_strings(value: bytes | None, shown: bytes) -> None:
    assert nstring(value) == shown


@pytest.mark.parametrize(
    ("numbers", "shown"), [([], ""), ([1, 2, 3, 7], "1:3,7"), ([9, 4, 5], "9,4:5"), ([2, 1], "2,1")]
)
def test_sets(numbers: list[int], shown: str) -> None:
    assert compact_set(numbers) == shown


def test_status_lines_are_ascii() -> None:
    assert status_line("*", "NO", "Größe", "LIMIT") == b"* NO [LIMIT] Gr??e\r\n"


def test_flags_system_first() -> None:
    assert flag_list({"work", "\\Seen", "$Junk"}) == b"(\\Seen $Junk work)"


def test_an_envelope_of_groups_and_missing_fields() -> None:
    parsed = mime.parse(b"From: a@b.test\r\nTo: crew: x@y.test;\r\nSubject: =?utf-8?q?x?=\r\n\r\n")
    sender = b'((NIL NIL "a" "b.test"))'
    group = b'((NIL NIL "crew" NIL)(NIL NIL "x" "y.test")(NIL NIL NIL NIL))'
    assert envelope(parsed.envelope) == b'(NIL "=?utf-8?q?x?=" %s %s %s %s NIL NIL NIL NIL)' % (
        sender,
        sender,
        sender,
        group,
    )


def test_a_structure_with_every_extension() -> None:
    parsed = mime.parse(
        b"MIME-Version: 1.0\r\nContent-Type: image/png; name=x.png\r\nContent-ID: <i@x>\r\nContent-Description: d\r\n"
        b"Content-Transfer-Encoding: base64\r\nContent-MD5: Q2hlY2s=\r\nContent-Disposition: inline; filename=x.png\r\n"
        b"Content-Language: de, en\r\nContent-Location: http://x/\r\n\r\nAAAA\r\n"
    )
    basic = b'("image" "png" ("name" "x.png") "<i@x>" "d" "base64" 6'
    assert body_structure(parsed.part, extensible=False) == basic + b")"
    assert body_structure(parsed.part, extensible=True) == (
        basic + b' "Q2hlY2s=" ("inline" ("filename" "x.png")) ("de" "en") "http://x/")'
    )
