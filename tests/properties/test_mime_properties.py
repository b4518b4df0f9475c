"""For any octets: the parser answers, its spans nest, and its answer survives being stored."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from portyard.commons.mailstore import mime, structure
from portyard.commons.mailstore.addresses import parse_addresses
from portyard.commons.mailstore.structure import Part
from portyard.commons.mailstore.summary import decode_words, summarise

# Pieces out of which messages are made, so that chance meets the interesting places.
PIECES = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b"\0", b"\xff", b" ", b"\t", b":", b";", b",", b"<", b">", b"@", b"(", b")", b'"', b"\\",
    b"--", b"--b", b"\n--b\n", b"\r\n--b\r\n", b"\n--b--\n", b"--bb\n", b"b", b"Content-Type: multipart/mixed; boundary=b\n\n",
    b"Content-Type: multipart/digest; boundary=bb\r\n\r\n", b"Content-Type: message/rfc822\n\n", b"Content-Type: text/html\n",
    b"Content-Type: ", b"Content-Disposition: attachment; filename*0*=x", b"Content-Language: a,b\n", b"From: A <a@b>\n", b"To: g:",
    b"Subject: =?utf-8?q?=C3=A9?= =?x?b?", b"=?utf-8?b?", b"?=", b"multipart/", b"boundary=", b"[", b"]", b"%", b"*", b"'",
]  # fmt: skip
MESSAGES = st.lists(st.sampled_from(PIECES) | st.binary(max_size=8), max_size=40).map(b"".join)


def check(part: Part, start: int, end: int) -> None:
    """A part lies within its parent's body, and its offsets are in order."""
    assert start <= part.header_start <= part.body_start <= part.body_end <= end
    assert part.size == part.body_end - part.body_start
    assert bool(part.children) == (part.kind.startswith("multipart/"))
    assert (
        (part.message is not None) == (part.envelope is not None) == (part.kind in ("message/rfc822", "message/global"))
    )
    at = part.body_start
    for child in part.children:
        check(child, at, part.body_end)
        at = child.body_end
    if part.message is not None:
        check(part.message, part.body_start, part.body_end)


@settings(max_examples=300)
@given(MESSAGES)
def test_any_octets_have_a_structure(octets: bytes) -> None:
    parsed = mime.parse(octets)
    assert (parsed.size, parsed.part.header_start, parsed.part.body_end) == (len(octets), 0, len(octets))
    check(parsed.part, 0, len(octets))
    assert structure.decode(structure.encode(parsed)) == parsed
    covered = b"".join(octets[field.start : field.end] for field in parsed.fields)
    assert octets[: parsed.part.body_start].startswith(covered)
    assert octets[len(covered) : parsed.part.body_start] in (b"", b"\n", b"\r\n")
    summarise(parsed)


@settings(max_examples=300)
@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=30).map(b"".join))
def test_any_octets_have_addresses_and_text(value: bytes) -> None:
    groups = 0
    for address in parse_addresses(value):
        if address.host is None:
            groups += 1 if address.mailbox is not None else -1
        assert groups >= 0
    decode_words(value)


@given(
    st.lists(
        st.binary(max_size=20).map(lambda body: b"\r\nx" + body.replace(b"\n", b"").replace(b"\r", b"")),
        min_size=1,
        max_size=8,
    )
)
def test_parts_come_out_as_they_were_put_in(bodies: list[bytes]) -> None:
    octets = b"Content-Type: multipart/mixed; boundary=0edge0\r\n\r\n"
    octets += b"".join(b"--0edge0\r\n" + body + b"\r\n" for body in bodies) + b"--0edge0--\r\n"
    children = mime.parse(octets).part.children
    assert [b"\r\n" + octets[child.body_start : child.body_end] for child in children] == bodies
