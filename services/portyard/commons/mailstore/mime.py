"""Octets → Structure, in one pass, for any octets at all.

Boundaries are found with bytes.find over the one message, and nothing is copied but header values; the standard library's parser isn't
used because it keeps no offsets. It never raises: what is malformed is taken as its nearest well-formed kin. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from portyard.commons.mailstore.addresses import parse_addresses
from portyard.commons.mailstore.structure import Envelope, Field, Parameters, Part, Span, Structure

MAX_DEPTH = 50  # multiparts and messages inside each other; deeper ones are shown as application/octet-stream
MAX_PARTS = 10_000  # of one message; what follows stays inside the last part
MAX_FIELDS = 50_000  # of one message, all headers together; what follows in the header is one nameless field
MAX_VALUE = 64 * 1024  # octets of a Content-* field that are looked at
MAX_BOUNDARY = 1000  # octets; RFC 2046 §5.1.1 allows 70, peers don't count
MAX_CANDIDATES = 100_000  # lines that begin like a boundary, in one multipart

_FIELD = re.compile(rb"(?:([!-9;-~]+)[ \t]*(:))?[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z)")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_TYPE = re.compile(rb'\s*([^\s/;"()<>@,]+)\s*/\s*([^\s/;"()<>@,]+)')
_TOKEN = re.compile(rb'\s*([^\s;"()<>@,]+)')
_PARAMETER = re.compile(rb';\s*([^\s=;"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^;]*))', re.S)
_ESCAPED = re.compile(rb"\\(.)", re.S)
_COMMENT = re.compile(rb'("(?:[^"\\]|\\.)*"?)|\((?:[^()\\]|\\.)*\)', re.S)
_BOUNDARY_TAIL = re.compile(rb"(--)?[ \t]*(?:\r?\n|\Z)")
_LINE_FEED, _RETURN = 10, 13
_MESSAGE_TYPES = (b"rfc822", b"global")  # RFC 2046 §5.2.1, RFC 6532 §3.7


def parse(octets: bytes) -> Structure:
    """A message's structure. Never raises."""
    return _Parser(octets).structure()


def header_fields(octets: bytes, start: int = 0, end: int | None = None, limit: int = MAX_FIELDS) -> tuple[Field, ...]:
    """The fields of a header in octets[start:end], offsets counted in `octets`; the empty line at its end is none."""
    end = len(octets) if end is None else end
    fields: list[Field] = []
    at = start
    while at < end:
        if octets[at] == _LINE_FEED or octets.startswith(b"\r\n", at, end):  # only the last line can be empty
            break
        if len(fields) == limit:
            fields.append(Field(b"", at, at, end))
            break
        found = _FIELD.match(octets, at, end)
        assert found is not None  # every part of the pattern may be empty
        name = found[1]
        fields.append(
            Field(b"" if name is None else name.lower(), at, at if name is None else found.end(2), found.end())
        )
        at = found.end()
    return tuple(fields)


def header_end(octets: bytes, start: int, end: int) -> int:
    """The offset behind the empty line that ends a header, or `end` when there is none."""
    if octets.startswith(b"\r\n", start, end):
        return start + 2
    if octets.startswith(b"\n", start, end):
        return start + 1
    empty = octets.find(b"\n\r\n", start, end)
    bare = octets.find(b"\n\n", start, end if empty < 0 else empty + 1)
    if bare >= 0:
        return bare + 2
    return end if empty < 0 else empty + 3


def unfold(raw: bytes) -> bytes:
    """A field's value on one line (RFC 5322 §2.2.3), without white space around and NULs (which no IMAP string can hold)."""
    if b"\n" in raw:
        raw = _FOLD.sub(b"", raw)
    if b"\0" in raw:
        raw = raw.replace(b"\0", b"")
    raw = raw.strip(b" \t\r\n")
    return raw.replace(b"\r", b" ") if b"\r" in raw else raw


class _Header:
    """An entity's fields, looked up by name."""

    def __init__(self, octets: bytes, fields: Iterable[Field]) -> None:
        self._octets = octets
        self._spans: dict[bytes, list[Span]] = {}
        for field in fields:
            self._spans.setdefault(field.name, []).append((field.value, field.end))

    def get(self, name: bytes, limit: int = 1 << 20) -> bytes | None:
        """The first field's unfolded value."""
        spans = self._spans.get(name)
        if spans is None:
            return None
        start, end = spans[0]
        return unfold(self._octets[start : min(end, start + limit)])

    def joined(self, name: bytes) -> bytes:
        """Every field's value: some peers write `To:` more than once."""
        return b", ".join(unfold(self._octets[start:end]) for start, end in self._spans.get(name, ()))

    def envelope(self) -> Envelope:
        """RFC 3501 §7.4.2."""
        from_ = parse_addresses(self.joined(b"from"))
        return Envelope(
            date=self.get(b"date"),
            subject=self.get(b"subject"),
            from_=from_,
            sender=parse_addresses(self.joined(b"sender")) or from_,
            reply_to=parse_addresses(self.joined(b"reply-to")) or from_,
            to=parse_addresses(self.joined(b"to")),
            cc=parse_addresses(self.joined(b"cc")),
            bcc=parse_addresses(self.joined(b"bcc")),
            in_reply_to=self.get(b"in-reply-to"),
            message_id=self.get(b"message-id"),
        )


class _Parser:
    """One message; its budgets of parts and fields are shared by all levels."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._parts_left = MAX_PARTS - 1  # the message itself is one
        self._fields_left = MAX_FIELDS

    def structure(self) -> Structure:
        octets = self._octets
        body = header_end(octets, 0, len(octets))
        fields = self._fields(0, body)
        header = _Header(octets, fields)
        part = self._entity(header, (0, body, len(octets)), 0, digest=False)
        return Structure(len(octets), header.envelope(), part, fields)

    def _fields(self, start: int, end: int) -> tuple[Field, ...]:
        fields = header_fields(self._octets, start, end, self._fields_left)
        self._fields_left = max(0, self._fields_left - len(fields))
        return fields

    def _inside(self, start: int, end: int, depth: int, *, digest: bool) -> tuple[_Header, Part]:
        body = header_end(self._octets, start, end)
        header = _Header(self._octets, self._fields(start, body))
        return header, self._entity(header, (start, body, end), depth, digest=digest)

    def _entity(self, header: _Header, span: tuple[int, int, int], depth: int, *, digest: bool) -> Part:
        start, body, end = span
        kind, subtype, parameters = _content_type(header.get(b"content-type", MAX_VALUE), digest=digest)
        lower = kind.lower()
        children: tuple[Part, ...] = ()
        envelope, message, lines = None, None, 0
        may_descend = depth < MAX_DEPTH and self._parts_left > 0
        has_inside = lower == b"multipart" or (lower == b"message" and subtype.lower() in _MESSAGE_TYPES)
        if has_inside and not may_descend:
            kind, subtype = b"application", b"octet-stream"
        elif lower == b"multipart":
            children = self._children(parameters, subtype, body, end, depth)
        elif has_inside:
            self._parts_left -= 1
            inner, message = self._inside(body, end, depth + 1, digest=False)
            envelope, lines = inner.envelope(), self._lines(body, end)
        elif lower == b"text":
            lines = self._lines(body, end)
        disposition, disposition_parameters = _disposition(header.get(b"content-disposition", MAX_VALUE))
        return Part(
            type=kind,
            subtype=subtype,
            parameters=parameters,
            id=header.get(b"content-id"),
            description=header.get(b"content-description"),
            encoding=_token(header.get(b"content-transfer-encoding", MAX_VALUE)) or b"7BIT",  # RFC 2045 §6.1
            size=end - body,
            lines=lines,
            md5=header.get(b"content-md5"),
            disposition=disposition,
            disposition_parameters=disposition_parameters,
            languages=_languages(header.get(b"content-language", MAX_VALUE)),
            location=header.get(b"content-location"),
            header_start=start,
            body_start=body,
            body_end=end,
            children=children,
            envelope=envelope,
            message=message,
        )

    def _lines(self, start: int, end: int) -> int:
        count = self._octets.count(b"\n", start, end)
        return count + 1 if end > start and self._octets[end - 1] != _LINE_FEED else count

    def _children(self, parameters: Parameters, subtype: bytes, start: int, end: int, depth: int) -> tuple[Part, ...]:
        boundary = next((value for name, value in parameters if name.lower() == b"boundary"), b"").rstrip(b" \t")
        spans = self._split(b"\n--" + boundary, start, end) if 0 < len(boundary) <= MAX_BOUNDARY else []
        self._parts_left -= max(1, len(spans))  # now, so that what is inside the first part can't use it up
        if not spans:  # nothing to go by: one text part without a header, so that a multipart has a child
            return (self._entity(_Header(self._octets, ()), (start, start, end), depth + 1, digest=False),)
        digest = subtype.lower() == b"digest"  # RFC 2046 §5.1.5
        return tuple(self._inside(first, last, depth + 1, digest=digest)[1] for first, last in spans)

    def _split(self, delimiter: bytes, start: int, end: int) -> list[Span]:
        """The spans between the boundary's lines (RFC 2046 §5.1.1); an unclosed multipart's last part runs to the end."""
        octets = self._octets
        spans: list[Span] = []
        opened = -1
        at = (
            start - 1 if start and octets[start - 1] == _LINE_FEED else start
        )  # the first boundary may be the first line
        for _ in range(MAX_CANDIDATES):
            found = octets.find(delimiter, at, end)
            if found < 0:
                break
            tail = _BOUNDARY_TAIL.match(octets, found + len(delimiter), end)
            if tail is None:  # another boundary that begins like this one
                at = found + 1
                continue
            if opened >= 0:
                if not tail[1] and len(spans) + 1 >= self._parts_left:
                    break
                before = found - 1 if found > opened and octets[found - 1] == _RETURN else found
                spans.append((opened, max(opened, before)))
                opened = -1
            if tail[1]:
                break
            opened = tail.end()
            at = opened - 1 if octets[opened - 1] == _LINE_FEED else opened
        if opened >= 0:
            spans.append((opened, end))
        return spans


def _content_type(value: bytes | None, *, digest: bool) -> tuple[bytes, bytes, Parameters]:
    if value is not None:
        value = _without_comments(value)
        found = _TYPE.match(value)
        if found is not None:
            return found[1], found[2], parse_parameters(value, found.end())
    if digest and value is None:
        return b"message", b"rfc822", ()
    return b"text", b"plain", ((b"charset", b"us-ascii"),)  # RFC 2045 §5.2


def parse_parameters(value: bytes, at: int = 0) -> Parameters:
    """The `; name=value` pairs behind offset `at`; an unquoted value runs to the next semicolon, as peers write file names."""
    return tuple(
        (name, _ESCAPED.sub(rb"\1", quoted) if found.group(2) is not None else bare.rstrip())
        for found in _PARAMETER.finditer(value, at)
        for name, quoted, bare in (found.groups(default=b""),)
    )


def _disposition(value: bytes | None) -> tuple[bytes | None, Parameters]:
    if value is None:
        return None, ()
    value = _without_comments(value)
    found = _TOKEN.match(value)
    return (found[1], parse_parameters(value, found.end())) if found is not None else (None, ())


def _token(value: bytes | None) -> bytes | None:
    found = _TOKEN.match(_without_comments(value)) if value is not None else None
    return found[1] if found is not None else None


def _languages(value: bytes | None) -> tuple[bytes, ...]:
    if value is None:
        return ()
    return tuple(tag.strip() for tag in _without_comments(value).split(b",") if tag.strip())


def _without_comments(value: bytes) -> bytes:
    return _COMMENT.sub(rb"\1", value) if b"(" in value else value
