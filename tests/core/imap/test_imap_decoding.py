"""What a search sees of a message."""

from __future__ import annotations

import base64
import encodings.aliases
import quopri

import pytest

from portyard.imap.core.decoding import Finder, PartDecoder, header_text, known_charset


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b" plain ", " plain "),
        (b"=?utf-8?Q?f=C3=BCnf_=3D_5?=", "fünf = 5"),
        (b"=?ISO-8859-1?b?Zvxuzg==?= end", "fünÎ end"),
        (b"=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        (b"=?utf-8?q?a?= and =?utf-8?q?b?=", "a and b"),
        (b"=?utf-8?b?4oI=?=\r\n =?utf-8?b?rA==?=", "€"),  # one character cut in two words
        (b"=?utf-8*de?q?F=C3=A4hre?=", "Fähre"),
        (b"folded\r\n value", "folded value"),
        (b"=?x-none?q?=FC?=", "ü"),
        (b"=?utf-8?b?!!!?=", ""),
        ("roh: ß".encode(), "roh: ß"),
        ("roh: ß".encode("latin-1"), "roh: ß"),
    ],
)
def test_headers(raw: bytes, text: str) -> None:
    assert header_text(raw) == text


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize(
    ("encoding", "encode"), [(b"base64", base64.encodebytes), (b"quoted-printable", quopri.encodestring)]
)
@pytest.mark.parametrize("charset", ["utf-8", "utf-16-le", "iso-2022-jp"])
def test_bodies_in_pieces(size: int, encoding: bytes, encode: object, charset: str) -> None:
    text = "Ebbe und Flut = 港 " * 20 + "\n" + "x" * 200
    octets = encode(text.encode(charset))  # type: ignore[operator]
    decoder = PartDecoder(encoding.upper(), charset.encode())
    pieces = [decoder.feed(octets[start : start + size]) for start in range(0, len(octets), size)]
    assert "".join(pieces) + decoder.feed(b"", final=True) == text


def test_a_body_without_or_with_an_unknown_charset_is_utf_8() -> None:
    for charset in (None, b"us-ascii", b"x-none"):
        assert PartDecoder(b"8bit", charset).feed("Fähre".encode(), final=True) == "Fähre"


@pytest.mark.parametrize("name", ["rot13", "base64", "x-none", "", "idna", "unicode_escape", "a\0b", "undefined"])
def test_what_is_no_charset(name: str) -> None:
    assert known_charset(name) is None


@pytest.mark.parametrize("charset", ["utf-16", "utf-32"])
@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_missing_byte_order_mark_means_big_endian(charset: str, size: int) -> None:
    octets = "Fähre".encode(f"{charset}-be")
    decoder = PartDecoder(b"8bit", charset.encode())
    pieces = [decoder.feed(octets[start : start + size]) for start in range(0, len(octets), size)]
    assert "".join(pieces) + decoder.feed(b"", final=True) == "Fähre"


@pytest.mark.parametrize("name", sorted(set(encodings.aliases.aliases.values())))
def test_every_codec_takes_any_octets(name: str) -> None:
    octets = bytes(range(256)) * 3 + b"+AAA-~{\x1b$B"
    decoder = PartDecoder(b"8bit", name.encode())
    for start in range(0, len(octets), 5):
        decoder.feed(octets[start : start + 5])
    decoder.feed(b"\xff", final=True)
    header_text(b"=?%s?q?=FF=FE=00=80a?=" % name.encode())


def test_a_needle_across_pieces_without_case() -> None:
    finder = Finder("STRASSE")
    assert not finder.feed("Hafenstr")
    assert finder.feed("aße 5")
    assert Finder("").found
