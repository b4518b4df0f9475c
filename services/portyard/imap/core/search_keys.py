"""The keys of SEARCH as values (RFC 3501 §6.4.4). Printed and parsed by search_grammar.py, judged by matching.py."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portyard.imap.core.model import SequenceSet


@dataclass(frozen=True, slots=True)
class AllKey:
    """ALL."""


@dataclass(frozen=True, slots=True)
class FlagKey:
    """SEEN, UNSEEN, KEYWORD x, UNKEYWORD x and their like."""

    flag: str
    present: bool


@dataclass(frozen=True, slots=True)
class RecentKey:
    """RECENT, OLD ("OLD" is not recent) and NEW (recent and unseen)."""

    kind: str


@dataclass(frozen=True, slots=True)
class HeaderKey:
    """BCC, CC, FROM, SUBJECT, TO and HEADER; `name` in capitals."""

    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class BodyKey:
    """BODY."""

    value: bytes


@dataclass(frozen=True, slots=True)
class TextKey:
    """TEXT."""

    value: bytes


@dataclass(frozen=True, slots=True)
class DateKey:
    """BEFORE, ON, SINCE (`when`), and with `sent` SENTBEFORE, SENTON, SENTSINCE."""

    when: str
    day: date
    sent: bool


@dataclass(frozen=True, slots=True)
class SizeKey:
    """LARGER or SMALLER than so many octets."""

    larger: bool
    octets: int


@dataclass(frozen=True, slots=True)
class SequenceKey:
    """A sequence set, of UIDs when `uid`."""

    messages: SequenceSet
    uid: bool


@dataclass(frozen=True, slots=True)
class NotKey:
    """NOT."""

    key: SearchKey


@dataclass(frozen=True, slots=True)
class OrKey:
    """OR."""

    left: SearchKey
    right: SearchKey


@dataclass(frozen=True, slots=True)
class AndKey:
    """Keys in parentheses."""

    keys: tuple[SearchKey, ...]


SearchKey = (
    AllKey
    | FlagKey
    | RecentKey
    | HeaderKey
    | BodyKey
    | TextKey
    | DateKey
    | SizeKey
    | SequenceKey
    | NotKey
    | OrKey
    | AndKey
)
