"""The Subject that rules see is the same whether it is found at a glance or by looking at the whole header."""

from __future__ import annotations

import re
from unittest.mock import patch

from hypothesis import example, given
from hypothesis import strategies as st

from portyard.smtp.core import ruled_content
from portyard.smtp.core.ruled_content import subject_of

PIECES = (
    b"Subject:",
    b"subject:",
    b"SUBJECT :",
    b"Subject",
    b"X-Subject:",
    b"\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\r",
    b"\n",
    b" ",
    b"\t",
    b"x",
    b"To: y\r\n",
    b"=?utf-8?q?=C3=A9?=",
    b"\xff",
)
NEVER = re.compile(rb"(?!)")
MESSAGE = st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join)


@example(b"\r\nTo: y\r\nSubject: of the body\r\n\r\n")
@example(b"To: y\r\n\r\nSubject: of the body\r\n\r\n")
@example(b"To: y\r\nSubject: one\r\n two\r\n\r\n")
@example(b"To: y\r\nSUBJECT: first\r\nSubject: second\r\n\r\n")
@example(b"To: y\r\nsubject: first\r\nSubject: second\r\n\r\n")
@example(b"To: y\nsubject: first\r\nSubject: second\r\n\r\n")
@example(b"To: y\r\nSubject: with no end")
@example(b"To: y\r\nSubject: at the end\r\n")
@example(b"To: y\r\nSubject: bare\nhalf\r\n\r\n")
@example(b"To: y\r\nSubject: bare\rhalf\r\n\r\n")
@example(b"To: y\r\n folded\r\nSubject: behind\r\n\r\n")
@example(b"To: " + b"y" * 5000 + b"\r\nSubject: far\r\n\r\n")
@example(b"To: " + b"y" * 4076 + b"\r\nSubject: x\r\n on the edge\r\n\r\n")
@example(b"To: " + b"y" * 4077 + b"\r\nSubject: x\r\n on the edge\r\n\r\n")
@example(b"To: " + b"y" * 4078 + b"\r\nSubject: x\r\n on the edge\r\n\r\n")
@example(b"To: y\nSubject: behind a bare one\r\n\r\n")
@given(MESSAGE)
def test_a_subject_is_the_same_however_it_is_found(octets: bytes) -> None:
    with patch.object(ruled_content, "_PLAIN", NEVER):
        slowly = subject_of(octets)
    assert subject_of(octets) == slowly


def test_a_plain_subject_is_found_at_a_glance() -> None:
    with patch.object(ruled_content, "_subject_field", side_effect=AssertionError("the whole header was looked at")):
        assert subject_of(b"To: y\r\nSubject: plain \r\nX: z\r\n\r\n") == "plain"
