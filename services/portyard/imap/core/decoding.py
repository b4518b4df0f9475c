"""Message octets to text that can be searched: transfer encodings, charsets, encoded words. Piece by piece, and never raising.

What is malformed is taken as its nearest well-formed kin, as a reader's client would.
"""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Iterable

_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
# encoded-word = "=?" charset ["*" language] "?" encoding "?" encoded-text "?=" (RFC 2047 §2, RFC 2231 §5)
_WORD = re.compile(r"=\?([^?*\s]+)(?:\*[^?]*)?\?([bBqQ])\?([^?]*)\?=")
_FOLD = re.compile(r"\r?\n(?=[ \t])")


def known_charset(name: str) -> str | None:
    """The codec's name when it is a text encoding that we have, else None."""
    try:
        bytes(4).decode(name)  # whole in every encoding, UTF-32 too
        found = codecs.lookup(name).name
    except (LookupError, ValueError):  # also UnicodeDecodeError, and names with NUL
        return None
    return None if found.replace("-", "_") in _NOT_CHARSETS else found


# Python's own notations, which no message or search is in.
_NOT_CHARSETS = frozenset({"unicode_escape", "raw_unicode_escape", "idna", "punycode", "undefined"})


class PartDecoder:
    """A text part's body, octets in, text out.

    Args:
        encoding: Content-Transfer-Encoding.
        charset: The part's charset, or None.
    """

    def __init__(self, encoding: bytes, charset: bytes | None) -> None:
        self._encoding = encoding.strip().lower()
        name = known_charset(charset.decode("latin-1")) if charset else None
        # us-ascii with 8-bit octets in it is UTF-8 more often than not
        self._charset = name if name and name != "ascii" else "utf-8"
        self._text = codecs.getincrementaldecoder(self._charset)("replace")
        self._rest = b""

    def feed(self, octets: bytes, *, final: bool = False) -> str:
        """The text of the next octets; some may wait for more unless these are the last."""
        decoded = self._transfer(octets, final)
        try:
            return self._text.decode(decoded, final)
        except UnicodeError:  # UTF-16 or UTF-32 without a byte order mark, which Python's decoder wants
            waiting = self._text.getstate()[0]
            self._text = codecs.getincrementaldecoder(f"{self._charset}-be")("replace")  # RFC 2781 §4.3
            return self._text.decode(waiting + decoded, final)

    def _transfer(self, octets: bytes, final: bool) -> bytes:
        if self._encoding == b"base64":
            clean = self._rest + _NOT_BASE64.sub(b"", octets)
            cut = len(clean) if final else len(clean) - len(clean) % 4
            self._rest = clean[cut:]
            return _from_base64(clean[:cut])
        if self._encoding == b"quoted-printable":
            data = self._rest + octets
            cut = len(data) if final else _quoted_printable_cut(data)
            self._rest = data[cut:]
            return binascii.a2b_qp(data[:cut])
        return octets


def _from_base64(clean: bytes) -> bytes:
    whole = clean if len(clean) % 4 != 1 else clean[:-1]
    return binascii.a2b_base64(whole + b"=" * (-len(whole) % 4))


def _quoted_printable_cut(data: bytes) -> int:
    """Behind the last line that is whole; in a line without end, before an escape that may be half there."""
    end = data.rfind(b"\n") + 1
    if end:
        return end
    escape = data.rfind(b"=", max(0, len(data) - 2))
    return len(data) if escape < 0 else escape


def header_text(raw: bytes) -> str:
    """A header's value as a reader sees it: unfolded, encoded words decoded (RFC 2047)."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    text = _FOLD.sub("", text)
    out: list[str] = []
    run: list[tuple[str, bytes]] = []
    at = 0
    for word in _WORD.finditer(text):
        between = text[at : word.start()]
        if not run or between.strip():  # §6.2: white space between two encoded words isn't text
            out += [_decode_run(run), between]
            run = []
        run.append((word[1].lower(), _word_octets(word[2], word[3])))
        at = word.end()
    return "".join([*out, _decode_run(run), text[at:]])


def _word_octets(encoding: str, text: str) -> bytes:
    octets = text.encode("utf-8", "replace")
    if encoding in "bB":
        return _from_base64(_NOT_BASE64.sub(b"", octets))
    return binascii.a2b_qp(octets, header=True)


def _decode_run(run: Iterable[tuple[str, bytes]]) -> str:
    """Neighbouring words; those of one charset are joined first, since some clients cut characters in two."""
    joined: list[tuple[str, bytes]] = []
    for charset, octets in run:
        if joined and joined[-1][0] == charset:
            joined[-1] = (charset, joined[-1][1] + octets)
        else:
            joined.append((charset, octets))
    return "".join(octets.decode(known_charset(charset) or "latin-1", "replace") for charset, octets in joined)


class Finder:
    """Looks for a text in pieces of another, without case.

    Args:
        needle: What to find.
    """

    def __init__(self, needle: str) -> None:
        self._needle = needle.casefold()
        self._tail = ""
        self.found = not needle

    def feed(self, text: str) -> bool:
        """Take the next piece; whether the needle has been seen by now."""
        if not self.found:
            window = self._tail + text.casefold()
            self.found = self._needle in window
            self._tail = window[-(len(self._needle) - 1) :] if len(self._needle) > 1 else ""
        return self.found
