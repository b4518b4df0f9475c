"""Octets → Structure: shapes, offsets, sections, and what malformed messages become."""

from __future__ import annotations

import pytest

from portyard.commons.mailstore import mime, structure
from portyard.commons.mailstore.structure import Part, SectionText, Structure, section

NESTED = b"""\
Received: by one\r
Received: by two\r
From: Alice <alice@portyard.test>\r
Subject: folded\r
\tsubject\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary="outer"; x=(comment) y\r
\r
preamble\r
--outer\r
Content-Type: multipart/alternative;\r
 boundary=outer-in\r
\r
--outer-in\r
\r
plain\r
--outer-in  \r
Content-Type: text/html; charset="utf-8"\r
Content-Transfer-Encoding: Quoted-Printable (really)\r
\r
<p>one</p>\r
<p>two</p>\r
\r
--outer-in--\r
epilogue of the inner\r
--outer\r
Content-Type: Message/RFC822\r
Content-Disposition: attachment; filename="forwarded; \\"one\\".eml"\r
\r
Subject: inside\r
To: bob@portyard.test\r
Content-Type: multipart/mixed; boundary=deep\r
\r
--deep\r
Content-ID: <id@x>\r
Content-Description: a picture\r
Content-MD5: Q2hlY2s=\r
Content-Language: en, de\r
Content-Location: http://x.test/\r
Content-Type: image/png; name=a b.png\r
Content-Transfer-Encoding: base64\r
\r
iVBORw0KGgo=\r
--deep--\r
--outer--\r
epilogue\r
"""


def text(octets: bytes, path: tuple[int, ...] = (), what: SectionText | None = None) -> bytes | None:
    span = section(mime.parse(octets), path, what)
    return None if span is None else octets[span[0] : span[1]]


def outline(part: Part) -> object:
    inside = [outline(child) for child in part.children] + ([outline(part.message)] if part.message else [])
    return (part.kind, inside) if inside else part.kind


def root(octets: bytes) -> Part:
    return mime.parse(octets).part


@pytest.fixture(params=["\r\n", "\n"], ids=["crlf", "lf"])
def nested(request: pytest.FixtureRequest) -> bytes:
    return NESTED.replace(b"\r\n", request.param.encode())


def test_the_tree(nested: bytes) -> None:
    alternative = ("multipart/alternative", ["text/plain", "text/html"])
    forwarded = ("message/rfc822", [("multipart/mixed", ["image/png"])])
    assert outline(root(nested)) == ("multipart/mixed", [alternative, forwarded])


def test_sections(nested: bytes) -> None:
    ending = b"\r\n" if b"\r\n" in nested else b"\n"

    def wire(data: bytes) -> bytes:
        return data.replace(b"\n", ending)

    assert text(nested) == nested
    header, body = text(nested, (), "HEADER"), text(nested, (), "TEXT")
    assert header is not None
    assert body is not None
    assert header + body == nested
    assert header.endswith(wire(b"y\n\n"))
    assert text(nested, (), "MIME") is None
    assert text(nested, (1, 1)) == b"plain"
    assert text(nested, (1, 1), "MIME") == ending
    assert text(nested, (1, 2)) == wire(b"<p>one</p>\n<p>two</p>\n")
    assert text(nested, (1, 2), "HEADER") is None
    assert text(nested, (2,), "HEADER") == wire(
        b"Subject: inside\nTo: bob@portyard.test\nContent-Type: multipart/mixed; boundary=deep\n\n"
    )
    inner = text(nested, (2,), "TEXT")
    assert inner is not None
    assert inner.startswith(b"--deep")
    assert inner.endswith(b"--deep--")
    assert text(nested, (2, 1)) == b"iVBORw0KGgo="
    assert (text(nested, (2, 1), "MIME") or b"").startswith(b"Content-ID")
    for path in ((0,), (3,), (1, 3), (1, 1, 1), (2, 2), (2, 1, 1)):
        assert text(nested, path) is None


def test_the_fields_of_the_leaves() -> None:
    html, image = root(NESTED).children[0].children[1], root(NESTED).children[1].message
    assert (html.encoding, html.parameters, html.lines, html.size) == (
        b"Quoted-Printable",
        ((b"charset", b"utf-8"),),
        2,
        24,
    )
    assert image is not None
    (picture,) = image.children
    assert (picture.id, picture.description, picture.md5) == (b"<id@x>", b"a picture", b"Q2hlY2s=")
    assert (picture.languages, picture.location) == ((b"en", b"de"), b"http://x.test/")
    assert (picture.parameters, picture.encoding, picture.size, picture.lines) == (
        ((b"name", b"a b.png"),),
        b"base64",
        12,
        0,
    )
    forwarded = root(NESTED).children[1]
    assert forwarded.disposition == b"attachment"
    assert forwarded.disposition_parameters == ((b"filename", b'forwarded; "one".eml'),)
    assert forwarded.envelope is not None
    assert forwarded.envelope.subject == b"inside"
    assert forwarded.lines == NESTED[forwarded.body_start : forwarded.body_end].count(b"\n") + 1


def test_a_single_part_is_numbered_one() -> None:
    octets = b"Subject: x\r\n\r\nbody\r\n"
    assert text(octets, (1,)) == b"body\r\n"
    assert text(octets, (1,), "MIME") == b"Subject: x\r\n\r\n"
    assert text(octets, (1,), "HEADER") is None
    assert text(octets, (2,)) is None
    assert text(octets, (1, 1)) is None
    assert root(octets).parameters == ((b"charset", b"us-ascii"),)
    assert (root(octets).lines, root(octets).encoding) == (1, b"7BIT")


def test_a_message_that_is_a_message_counts_inside() -> None:
    octets = b"Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nbody"
    assert text(octets, (1,)) == b"Subject: in\r\n\r\nbody"
    assert text(octets, (1,), "HEADER") == b"Subject: in\r\n\r\n"
    assert text(octets, (1, 1)) == b"body"
    assert text(octets, (1, 1, 1)) is None


def test_digest_parts_are_messages_unless_they_say_otherwise() -> None:
    octets = (
        b"Content-Type: multipart/digest; boundary=b\r\n\r\n"
        b"--b\r\n\r\nSubject: one\r\n\r\n1\r\n--b\r\nContent-Type: text/plain\r\n\r\n2\r\n--b--"
    )
    assert outline(root(octets)) == ("multipart/digest", [("message/rfc822", ["text/plain"]), "text/plain"])
    assert text(octets, (1,), "HEADER") == b"Subject: one\r\n\r\n"


@pytest.mark.parametrize(
    ("octets", "tree", "parts"),
    [
        (b"", "text/plain", [b""]),
        (b"\r\n", "text/plain", [b""]),
        (b"no header at all", "text/plain", [b""]),
        (b"\0\0\0\n\n\0", "text/plain", [b"\0"]),
        (b"Content-Type: nonsense\n\nx", "text/plain", [b"x"]),
        (b"Content-Type: multipart/mixed\n\nx", ("multipart/mixed", ["text/plain"]), [b"x"]),
        (b"Content-Type: multipart/mixed; boundary=\n\nx", ("multipart/mixed", ["text/plain"]), [b"x"]),
        (b"Content-Type: multipart/mixed; boundary=b\n\nx", ("multipart/mixed", ["text/plain"]), [b"x"]),
        (b"Content-Type: multipart/mixed; boundary=b\n\n--b--\n", ("multipart/mixed", ["text/plain"]), [b"--b--\n"]),
        (b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nunclosed", ("multipart/mixed", ["text/plain"]), [b"unclosed"]),
        (b"Content-Type: multipart/mixed; boundary=b\n\n--b\n--b\n\n2\n--b--", ("multipart/mixed", ["text/plain"] * 2), [b"", b"2"]),
        (b"Content-Type: multipart/mixed; boundary=b\n\n"
         b"--bx\n--b\n\n1\n--bb\n--b--x\n", ("multipart/mixed", ["text/plain"]), [b"1\n--bb\n--b--x\n"]),
        (b"Content-Type: multipart/mixed; boundary=b\n\n --b\n\n--b\n\n1\n--b-- ", ("multipart/mixed", ["text/plain"]), [b"1"]),
    ],
)  # fmt: skip
def test_what_malformed_messages_become(octets: bytes, tree: object, parts: list[bytes]) -> None:
    assert outline(root(octets)) == tree
    assert [text(octets, (number,)) for number in range(1, len(parts) + 1)] == parts


def test_an_inner_boundary_that_never_closes_ends_with_the_outer() -> None:
    octets = (
        b"Content-Type: multipart/mixed; boundary=out\n\n--out\nContent-Type: multipart/mixed; boundary=in\n\n"
        b"--in\n\none\n--out\n\ntwo\n--out--\n"
    )
    assert outline(root(octets)) == ("multipart/mixed", [("multipart/mixed", ["text/plain"]), "text/plain"])
    assert text(octets, (1, 1)) == b"one"
    assert text(octets, (2,)) == b"two"


@pytest.mark.parametrize(
    "layer",
    [b"Content-Type: message/rfc822\n\n", b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n"],
    ids=["messages", "multiparts"],
)
def test_depth_is_limited(layer: bytes) -> None:
    octets = b"".join(layer.replace(b"%d", b"%d" % n) for n in range(200)) + b"\nx"
    parts = list(root(octets).walk())
    assert len(parts) == mime.MAX_DEPTH + 1
    assert parts[-1].kind == "application/octet-stream"
    assert structure.decode(structure.encode(mime.parse(octets))) == mime.parse(octets)


def test_parts_and_fields_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mime, "MAX_PARTS", 4)
    octets = b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 10 + b"--b--\n"
    children = root(octets).children
    assert len(children) == 3  # the message is the fourth
    assert octets[children[-1].body_start : children[-1].body_end].startswith(b"x\n--b\n\nx\n--b")
    layer = b"Content-Type: message/rfc822\n\n"
    assert [part.kind for part in root(layer * 9).walk()] == ["message/rfc822"] * 3 + ["application/octet-stream"]
    fields = mime.header_fields(b"a: 1\nb: 2\nc: 3\nd: 4\n\n", limit=2)
    assert [(field.name, field.end) for field in fields] == [(b"a", 5), (b"b", 10), (b"", 21)]


def test_header_fields_cover_the_header() -> None:
    header = (
        b" starts folded\r\nFrom x\r\nSubject : one\r\n two\r\nno colon\r\nX-\xff: 8\r\nsubject:\r\n\r\nbody: no\r\n"
    )
    fields = mime.parse(header).fields
    assert [field.name for field in fields] == [b"", b"", b"subject", b"", b"", b"subject"]
    assert fields[0].start == 0
    assert [field.end for field in fields[:-1]] == [field.start for field in fields[1:]]
    assert header[fields[-1].end :] == b"\r\nbody: no\r\n"
    assert header[fields[2].value : fields[2].end] == b" one\r\n two\r\n"
    assert mime.header_fields(header, 0, mime.header_end(header, 0, len(header))) == fields


def test_selected_fields_are_spans() -> None:
    octets = b"A: 1\r\nB: 2\r\nC: 3\r\nb: 4\r\n\r\n"
    fields = mime.parse(octets).fields

    def chosen(*names: bytes, exclude: bool = False) -> bytes:
        return b"".join(octets[start:end] for start, end in structure.select_fields(fields, names, exclude=exclude))

    assert chosen(b"a", b"B") == b"A: 1\r\nB: 2\r\nb: 4\r\n"
    assert structure.select_fields(fields, [b"a", b"B"]) == [(0, 12), (18, 24)]
    assert chosen(b"b", exclude=True) == b"A: 1\r\nC: 3\r\n"
    assert chosen(b"none") == b""


def test_the_envelope() -> None:
    envelope = mime.parse(NESTED).envelope
    assert envelope.subject == b"folded\tsubject"
    assert envelope.sender == envelope.reply_to == envelope.from_
    assert (envelope.to, envelope.date, envelope.message_id) == ((), None, None)
    full = mime.parse(
        b"date: D\nSUBJECT: \xff\0raw \n\n".replace(b"\n\n", b"\n")
        + b"From: a@x\nSender: b@x\nReply-To:\nTo: c@x\nTo: d@x\nCc: e@x\nBcc: f@x\nIn-Reply-To: <1>\nMessage-ID: <2>\n\n"
    ).envelope
    assert (full.date, full.subject, full.in_reply_to, full.message_id) == (b"D", b"\xffraw", b"<1>", b"<2>")
    people = (full.from_, full.sender, full.reply_to, full.to, full.cc, full.bcc)
    assert [[address.mailbox for address in group] for group in people] == [
        [b"a"],
        [b"b"],
        [b"a"],
        [b"c", b"d"],
        [b"e"],
        [b"f"],
    ]


def test_the_stored_form_has_a_version() -> None:
    stored = structure.encode(mime.parse(NESTED))
    assert structure.decode(stored) == mime.parse(NESTED)
    assert len(stored) < len(NESTED)
    for broken in (b"", b"\0" + stored[1:], stored[:-1], stored[:1]):
        with pytest.raises(structure.StructureError):
            structure.decode(broken)


def test_empty_structures_are_small() -> None:
    assert len(structure.encode(Structure(0, mime.parse(b"").envelope, root(b""), ()))) < 80
