"""SEARCH's keys, both ways (RFC 3501 §6.4.4, §9)."""

from __future__ import annotations

import re
from collections.abc import Callable

from portyard.commons.mailstore.model import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN
from portyard.imap.core.lexing import (
    OCTETS_LIMIT,
    BadSyntax,
    Cursor,
    print_astring,
    print_date,
    print_sequence_set,
)
from portyard.imap.core.model import Search
from portyard.imap.core.search_keys import (
    AllKey,
    AndKey,
    BodyKey,
    DateKey,
    FlagKey,
    HeaderKey,
    NotKey,
    OrKey,
    RecentKey,
    SearchKey,
    SequenceKey,
    SizeKey,
    TextKey,
)

DEPTH_LIMIT = 50  # of NOT, OR and parentheses within each other; a parser that recursed for ever would fall
_FLAGS = {"ANSWERED": ANSWERED, "DELETED": DELETED, "DRAFT": DRAFT, "FLAGGED": FLAGGED, "SEEN": SEEN}
_FIELDS = ("BCC", "CC", "FROM", "SUBJECT", "TO")
_CHARSET = re.compile(rb"CHARSET ", re.IGNORECASE)
_WHEN = ("BEFORE", "ON", "SINCE")


# search = "SEARCH" [SP "CHARSET" SP astring] 1*(SP search-key)
def parse_search(cursor: Cursor, uid: bool) -> Search:
    """The charset and the keys."""
    charset = None
    if cursor.optional(_CHARSET):
        charset = cursor.astring().decode("ascii", "replace")
        cursor.space()
    keys = [_parse_key(cursor, 0)]
    while cursor.take(b" "):
        keys.append(_parse_key(cursor, 0))
    return Search(tuple(keys), charset, uid)


def _parse_key(cursor: Cursor, depth: int) -> SearchKey:
    if depth > DEPTH_LIMIT:
        raise BadSyntax("The search keys are nested too deeply")
    if cursor.peek(b"("):
        return AndKey(cursor.parenthesized(lambda inner: _parse_key(inner, depth + 1)))
    if any(cursor.peek(first) for first in (b"*", *(b"%d" % digit for digit in range(1, 10)))):
        return SequenceKey(cursor.sequence_set(), uid=False)
    name = cursor.word("a search key")
    if name == "NOT":
        cursor.space()
        return NotKey(_parse_key(cursor, depth + 1))
    if name == "OR":
        cursor.space()
        left = _parse_key(cursor, depth + 1)
        cursor.space()
        return OrKey(left, _parse_key(cursor, depth + 1))
    if name in _SIMPLE:
        return _SIMPLE[name]
    if name not in _WITH_ARGUMENT:
        raise BadSyntax(f"Unknown search key {name}")
    cursor.space()
    return _WITH_ARGUMENT[name](cursor)


def _flag_keys() -> dict[str, SearchKey]:
    present: dict[str, SearchKey] = {name: FlagKey(flag, True) for name, flag in _FLAGS.items()}
    return present | {"UN" + name: FlagKey(flag, False) for name, flag in _FLAGS.items()}


_SIMPLE: dict[str, SearchKey] = {
    "ALL": AllKey(),
    "NEW": RecentKey("NEW"),
    "OLD": RecentKey("OLD"),
    "RECENT": RecentKey("RECENT"),
    **_flag_keys(),
}


def _parse_header(cursor: Cursor) -> HeaderKey:
    name = cursor.astring().upper()
    cursor.space()
    return HeaderKey(name, cursor.astring())


def _field(name: str) -> Callable[[Cursor], SearchKey]:
    return lambda cursor: HeaderKey(name.encode(), cursor.astring())


def _date(when: str, sent: bool) -> Callable[[Cursor], SearchKey]:
    return lambda cursor: DateKey(when, cursor.date(), sent)


_WITH_ARGUMENT: dict[str, Callable[[Cursor], SearchKey]] = {
    **{name: _field(name) for name in _FIELDS},
    **{when: _date(when, False) for when in _WHEN},
    **{"SENT" + when: _date(when, True) for when in _WHEN},
    "BODY": lambda cursor: BodyKey(cursor.astring()),
    "TEXT": lambda cursor: TextKey(cursor.astring()),
    "HEADER": _parse_header,
    "KEYWORD": lambda cursor: FlagKey(cursor.atom("a keyword"), True),
    "UNKEYWORD": lambda cursor: FlagKey(cursor.atom("a keyword"), False),
    "LARGER": lambda cursor: SizeKey(True, cursor.number(OCTETS_LIMIT)),
    "SMALLER": lambda cursor: SizeKey(False, cursor.number(OCTETS_LIMIT)),
    "UID": lambda cursor: SequenceKey(cursor.sequence_set(), uid=True),
}


def print_search(search: Search) -> list[bytes]:
    """Charset and keys, as pieces."""
    pieces: list[bytes] = []
    if search.charset is not None:
        pieces += [b"CHARSET ", *print_astring(search.charset.encode()), b" "]
    return pieces + _print_all(search.keys)


def _print_all(keys: tuple[SearchKey, ...]) -> list[bytes]:
    pieces: list[bytes] = []
    for key in keys:
        pieces += [b" ", *_print_key(key)]
    return pieces[1:]


def _print_key(key: SearchKey) -> list[bytes]:
    match key:
        case HeaderKey(name, value) if name.decode("latin-1") in _FIELDS:
            return [name + b" ", *print_astring(value)]
        case HeaderKey(name, value):
            return [b"HEADER ", *print_astring(name), b" ", *print_astring(value)]
        case BodyKey(value):
            return [b"BODY ", *print_astring(value)]
        case TextKey(value):
            return [b"TEXT ", *print_astring(value)]
        case NotKey(inner):
            return [b"NOT ", *_print_key(inner)]
        case OrKey(left, right):
            return [b"OR ", *_print_key(left), b" ", *_print_key(right)]
        case AndKey(keys):
            return [b"(", *_print_all(keys), b")"]
        case SequenceKey(messages, uid):
            return [(b"UID " if uid else b"") + print_sequence_set(messages)]
        case _:
            return [_print_word(key)]


def _print_word(key: SearchKey) -> bytes:
    for name, simple in _SIMPLE.items():
        if key == simple:
            return name.encode()
    match key:
        case FlagKey(flag, present):
            return f"{'' if present else 'UN'}KEYWORD {flag}".encode()
        case DateKey(when, day, sent):
            return (b"SENT" if sent else b"") + when.encode() + b" " + print_date(day)
        case SizeKey(larger, octets):
            return f"{'LARGER' if larger else 'SMALLER'} {octets}".encode()
    raise TypeError(f"no search key: {key!r}")
