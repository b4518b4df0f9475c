"""FETCH's attributes, both ways (RFC 3501 §6.4.5, §9)."""

from __future__ import annotations

import re

from portyard.imap.core.lexing import OCTETS_LIMIT, BadSyntax, Cursor, print_astring
from portyard.imap.core.model import BodySection, FetchAttribute, FetchItem, Section

_FAST: tuple[FetchAttribute, ...] = (FetchItem.FLAGS, FetchItem.INTERNALDATE, FetchItem.RFC822_SIZE)
_ALL: tuple[FetchAttribute, ...] = (*_FAST, FetchItem.ENVELOPE)
_MACROS: dict[str, tuple[FetchAttribute, ...]] = {"FAST": _FAST, "ALL": _ALL, "FULL": (*_ALL, FetchItem.BODY)}
_ITEMS: dict[str, FetchItem] = {item.value: item for item in FetchItem}
_NAME = re.compile(rb"[A-Za-z0-9.]+")
_PART = re.compile(rb"[1-9][0-9]{0,8}(?:\.[1-9][0-9]{0,8})*")
PART_DEPTH_LIMIT = 100  # numbers in a part; no message nests deeper
_TEXTS = ("HEADER.FIELDS.NOT", "HEADER.FIELDS", "HEADER", "TEXT", "MIME")


# "FETCH" SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")")
def parse_attributes(cursor: Cursor) -> tuple[FetchAttribute, ...]:
    """One attribute, several in parentheses, or a macro, expanded."""
    if cursor.peek(b"("):
        return cursor.parenthesized(_parse_attribute)
    name = cursor.match(_NAME, "a fetch attribute")[0].decode().upper()
    return _MACROS.get(name) or (_parse_named(cursor, name),)


def _parse_attribute(cursor: Cursor) -> FetchAttribute:
    return _parse_named(cursor, cursor.match(_NAME, "a fetch attribute")[0].decode().upper())


# fetch-att = … / "BODY" section ["<" number "." nz-number ">"] / "BODY.PEEK" section ["<" number "." nz-number ">"]
def _parse_named(cursor: Cursor, name: str) -> FetchAttribute:
    if name in ("BODY", "BODY.PEEK") and cursor.take(b"["):
        section = _parse_section(cursor)
        cursor.need(b"]")
        return BodySection(section, name == "BODY.PEEK", _parse_partial(cursor))
    if name not in _ITEMS:
        raise BadSyntax(f"Unknown fetch attribute {name}")
    return _ITEMS[name]


def _parse_partial(cursor: Cursor) -> tuple[int, int] | None:
    if not cursor.take(b"<"):
        return None
    first = cursor.number(OCTETS_LIMIT)
    cursor.need(b".")
    count = cursor.number(OCTETS_LIMIT)
    cursor.need(b">")
    if not count:
        raise BadSyntax("A partial fetch must ask for an octet at least")
    return first, count


# section-spec = section-msgtext / (section-part ["." section-text]); section-text = section-msgtext / "MIME"
def _parse_section(cursor: Cursor) -> Section:
    part: tuple[int, ...] = ()
    if not (cursor.peek(b"]") or _peeks_text(cursor)):
        numbers = cursor.match(_PART, "a section")[0].split(b".")
        if len(numbers) > PART_DEPTH_LIMIT:
            raise BadSyntax("Too many part numbers")
        part = tuple(int(number) for number in numbers)
        if not cursor.take(b"."):
            return Section(part)
    if cursor.peek(b"]") and not part:
        return Section()
    text = cursor.match(_NAME, "a section text")[0].decode().upper()
    if text not in _TEXTS or (text == "MIME" and not part):
        raise BadSyntax(f"Unknown section text {text}")
    if not text.startswith("HEADER.FIELDS"):
        return Section(part, text)
    cursor.space()
    return Section(part, text, cursor.parenthesized(Cursor.astring))


def _peeks_text(cursor: Cursor) -> bool:
    return any(cursor.peek(letter) for letter in (b"H", b"h", b"T", b"t", b"M", b"m"))


def print_attributes(attributes: tuple[FetchAttribute, ...]) -> list[bytes]:
    """Attributes in parentheses, as pieces."""
    pieces: list[bytes] = []
    for attribute in attributes:
        pieces.append(b" ")
        if isinstance(attribute, FetchItem):
            pieces.append(attribute.value.encode())
        else:
            pieces += _print_body_section(attribute)
    return [b"(", *pieces[1:], b")"]


def _print_body_section(attribute: BodySection) -> list[bytes]:
    pieces = [b"BODY.PEEK[" if attribute.peek else b"BODY[", *print_section(attribute.section), b"]"]
    if attribute.partial is not None:
        pieces.append(b"<%d.%d>" % attribute.partial)
    return pieces


def print_section(section: Section) -> list[bytes]:
    """What stands between the brackets, as pieces; a reply repeats it."""
    head = ".".join([*map(str, section.part), *([section.text] if section.text else [])])
    if not section.fields:
        return [head.encode()]
    fields: list[bytes] = []
    for name in section.fields:
        fields += [b" ", *print_astring(name)]
    return [head.encode(), b" (", *fields[1:], b")"]
