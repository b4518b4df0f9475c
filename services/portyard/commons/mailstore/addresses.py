"""Address lists as an envelope shows them: RFC 5322 §3.4 with its obsolete forms (§4.4), and whatever else peers write.

Pure; never raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from portyard.commons.mailstore.structure import Address

MAX_ADDRESSES = 10_000  # of one field; twice what a transaction may have
MAX_OCTETS = 1 << 20  # of one field that are looked at
MAX_TOKENS = 1000  # of one address; what follows up to the next comma is passed over

GROUP_END = Address(None, None, None, None)

# The shapes of nearly every address: `local@domain`, `Name <local@domain>`, `"Name" <local@domain>`, up to the comma behind.
_WORD = rb'[^\s"<>@,;:()\[\]\\]'
_COMMON = re.compile(
    rb'\s*(?:"([^"\\]*)"\s*(?=<)|((?:' + _WORD + rb"|(?<=\S)[ \t](?=[^\s<])){0,500})\s*(?=<))?"
    rb"(<)?(" + _WORD + rb"+)@(" + _WORD + rb"+)(?(3)>)\s*(?:,|\Z)"
)
_TOKEN = re.compile(rb'(\s+)|"((?:[^"\\]|\\.)*)"?|(\()|(\[[^\]]*\]?)|([<>@,;:])|([^\s"()\[<>@,;:]+|.)', re.S)
_ESCAPED = re.compile(rb"\\(.)", re.S)
_COMMENT_MARK = re.compile(rb"\\.|[()]", re.S)
SPACE, QUOTED, COMMENT, LITERAL, SPECIAL, ATOM = range(1, 7)
Token = tuple[int, bytes]


def parse_addresses(value: bytes) -> tuple[Address, ...]:
    """The addresses of an unfolded field value, groups included, in order.

    An address without a domain has host b"", because None means a group (RFC 3501 §7.4.2).
    """
    return tuple(_addresses(value[:MAX_OCTETS]))


def _addresses(value: bytes) -> Iterator[Address]:
    at, count, in_group = 0, 0, False
    while at < len(value) and count < MAX_ADDRESSES:
        count += 1
        common = _COMMON.match(value, at)
        if common is not None:
            name = common[1] if common[1] is not None else common[2]
            yield Address(name or None, None, common[4], common[5])
            at = common.end()
            continue
        tokens, stop, at = _until_separator(value, at)
        if stop == b":":
            yield Address(None, None, _phrase(tokens) or b"", None)
            in_group = True
            continue
        address = _address(tokens)
        if address is not None:
            yield address
        if stop == b";" and in_group:
            yield GROUP_END
            in_group = False
    if in_group:
        yield GROUP_END


def _until_separator(value: bytes, at: int) -> tuple[list[Token], bytes, int]:
    """The tokens up to the next separator outside angle brackets, the separator (b"" at the end) and the offset behind it."""
    tokens: list[Token] = []
    in_angle = False
    while at < len(value):
        if len(tokens) == MAX_TOKENS:
            comma = value.find(b",", at)
            return tokens, b",", len(value) if comma < 0 else comma + 1
        found = _TOKEN.match(value, at)
        assert found is not None  # the last alternative takes any octet
        kind = found.lastindex or ATOM
        text, at = found[kind], found.end()
        if kind == COMMENT:
            text, at = _comment(value, at)
        elif kind == QUOTED:
            text = _ESCAPED.sub(rb"\1", text)
        elif kind == SPECIAL:
            if text in b",;" and not (in_angle and text == b","):
                return tokens, text, at
            if text == b":" and not in_angle:
                return tokens, text, at
            in_angle = text == b"<" or (in_angle and text != b">")
        tokens.append((kind, text))
    return tokens, b"", at


def _comment(value: bytes, at: int) -> tuple[bytes, int]:
    """A comment's text (comments nest, RFC 5322 §3.2.2) and the offset behind it; `at` is behind its "("."""
    start, depth = at, 1
    while depth:
        mark = _COMMENT_MARK.search(value, at)
        if mark is None:
            return value[start:], len(value)
        at = mark.end()
        depth += {b"(": 1, b")": -1}.get(mark[0], 0)
    return _ESCAPED.sub(rb"\1", value[start : at - 1]), at


def _address(tokens: list[Token]) -> Address | None:
    """One mailbox; None for nothing at all."""
    angle = next((index for index, token in enumerate(tokens) if token == (SPECIAL, b"<")), None)
    if angle is None:
        name, inside = b"", tokens
    else:
        name, inside = _phrase(tokens[:angle]), tokens[angle + 1 :]
        close = next((index for index, token in enumerate(inside) if token == (SPECIAL, b">")), len(inside))
        inside = inside[:close]
    if not name:  # the old way to give a name: alice@example.org (Alice)
        name = next((text.strip() for kind, text in tokens if kind == COMMENT), b"")
    route, inside = _route(inside)
    words = [token for token in inside if token[0] not in (SPACE, COMMENT)]
    at = next((index for index in range(len(words) - 1, -1, -1) if words[index] == (SPECIAL, b"@")), None)
    if at is None:
        local, host = _phrase(inside), b""
    else:
        local = b"".join(text for _, text in words[:at])
        host = b"".join(text for _, text in words[at + 1 :])
    if not (name or local or host or route) and angle is None:
        return None
    return Address(name or None, route or None, local, host)


def _route(tokens: list[Token]) -> tuple[bytes, list[Token]]:
    """An obsolete source route `@a,@b:` and what follows it (RFC 5322 §4.4)."""
    colon = next((index for index, token in enumerate(tokens) if token == (SPECIAL, b":")), None)
    if colon is None:
        return b"", tokens
    return b"".join(text for kind, text in tokens[:colon] if kind not in (SPACE, COMMENT)), tokens[colon + 1 :]


def _phrase(tokens: list[Token]) -> bytes:
    """Words with one space where there was any; comments left out."""
    return b"".join(b" " if kind == SPACE else text for kind, text in tokens if kind != COMMENT).strip()
