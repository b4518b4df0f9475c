from __future__ import annotations

import pytest

from portyard.commons.mailstore import mime
from portyard.commons.mailstore.summary import decode_words, parameter_text, summarise


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"plain", "plain"),
        (b"=?iso-8859-1?Q?a_=E9=20b?=", "a é b"),
        (b"=?UTF-8?B?w6k=?=", "é"),
        (b"=?utf-8?B?w6k?=", "é"),
        (b"=?utf-8?q?a?=  =?utf-8?q?b?= c", "ab c"),
        (b"=?utf-8?q?=C3?= =?utf-8?q?=A9?=", "é"),
        (b"=?utf-8?q?a?= =?latin1?q?=E9?=x", "aéx"),
        (b"=?utf-8*en?q?a?=", "a"),
        (b"=?nonsense?q?=41?=", "A"),
        (b"=?rot13?q?a?=", "a"),
        (b"=?utf-8?x?a?=", "=?utf-8?x?a?="),
        (b"=?utf-8?b?A?=", "=?utf-8?b?A?="),
        (b"=?utf-8?q?=zz=41?=", "=zzA"),
        ("é".encode(), "é"),
        (b"\xe9", "é"),
        (b"=?utf-8?q?two=0Alines?=", "two lines"),
        (b"=?us-ascii?q?=FF?=", "\ufffd"),
    ],
)
def test_encoded_words(value: bytes, expected: str) -> None:
    assert decode_words(value) == expected


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (((b"FileName", b"a.txt"),), "a.txt"),
        (((b"filename*", b"UTF-8'de'%C3%A4.txt"),), "ä.txt"),
        (((b"filename*1*", b"%A4.t"), (b"filename*0*", b"utf-8''%C3"), (b"filename*2", b"xt%41")), "ä.txt%41"),
        (((b"filename", b"=?utf-8?q?=C3=A4?="),), "ä"),
        (((b"other", b"x"), (b"filenames", b"x")), None),
        (((b"filename*", b"no quotes"),), "no quotes"),
    ],
)
def test_parameters(parameters: tuple[tuple[bytes, bytes], ...], expected: str | None) -> None:
    assert parameter_text(parameters, b"filename") == expected


def test_a_summary() -> None:
    summary = summarise(
        mime.parse(
            b"From: =?utf-8?q?J=C3=B6?= <jo@x.test>\nTo: G: a@x, b@y;\nCc: root\nSubject: =?utf-8?b?w6k=?=\nDate: now\nMessage-ID: <1@x>\n"
            b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\nContent-Disposition: attachment; filename=a.txt\n\n\n"
            b"--b\nContent-Type: image/png; name=b.png\n\n\n--b\nContent-Disposition: attachment\n\n\n--b--"
        )
    )
    assert (summary.subject, summary.from_, summary.to, summary.cc) == (
        "é",
        ("Jö <jo@x.test>",),
        ("a@x", "b@y"),
        ("root",),
    )
    assert (summary.date, summary.message_id, summary.attachments) == ("now", "<1@x>", ("a.txt", "b.png", ""))
    assert summarise(mime.parse(b"")).from_ == ()
