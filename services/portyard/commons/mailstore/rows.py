"""Rows ↔ values: mailboxes, messages, flags, dates. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any

from portyard.commons.mailstore.model import DELIMITER, INBOX, SEEN, InvalidMailboxNameError, Mailbox, Message

MAX_NAME = 1000  # characters of a mailbox name; a LIST line stays readable
MAX_COMPONENTS = 50  # levels of hierarchy

MAILBOX_COLUMNS = (
    "m.id, m.account_id, m.name, m.uid_validity, m.uid_next, m.highest_modseq, s.name IS NOT NULL, m.special_use, m.messages, "
    "m.unseen, m.size, m.recent_from"
)
MAILBOX_FROM = "mailboxes m LEFT JOIN subscriptions s ON s.account_id = m.account_id AND s.name = m.name"
MESSAGE_COLUMNS = "m.id, m.mailbox_id, m.uid, m.flags, m.modseq, m.internal_date, m.zone, m.size, b.structure, m.delivery_id, m.body_id"
MESSAGE_FROM = "messages m JOIN bodies b ON b.id = m.body_id"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def mailbox_of(row: tuple[Any, ...]) -> Mailbox:
    """A mailbox from MAILBOX_COLUMNS."""
    key, account_id, name, uid_validity, uid_next, highest, subscribed, use, messages, unseen, size, recent_from = row
    counters = (messages, unseen, size, recent_from)
    return Mailbox(key, account_id, name, uid_validity, uid_next, highest, bool(subscribed), use, *counters)


def message_of(row: tuple[Any, ...]) -> Message:
    """A message from MESSAGE_COLUMNS."""
    key, mailbox_id, uid, flags, modseq, micros, zone, size, structure, delivery_id, body_id = row
    date = date_of(micros, zone)
    return Message(key, mailbox_id, uid, flags_of(flags), modseq, date, size, structure, delivery_id, body_id)


@lru_cache(maxsize=4096)
def flags_of(text: str) -> frozenset[str]:
    """Flags as stored, one space between; the few sets that a mailbox really has are shared."""
    return frozenset(text.split())


def flags_text(flags: Iterable[str]) -> str:
    r"""Flags to store, in one order. \\Recent is never stored.

    Raises:
        ValueError: A flag that is empty or has a space in it.
    """
    chosen = sorted(set(flags) - {"\\Recent"})
    if any(not flag or len(flag.split()) != 1 for flag in chosen):
        raise ValueError(f"not flags: {chosen!r}")
    return " ".join(chosen)


def is_unseen(flags: frozenset[str]) -> int:
    """1 for a message that counts as unseen."""
    return 0 if SEEN in flags else 1


def micros_of(date: datetime) -> tuple[int, int]:
    """An aware date as microseconds since the epoch, and its zone in minutes east."""
    offset = date.utcoffset() or timedelta()
    return (date - _EPOCH) // _MICROSECOND, int(offset.total_seconds()) // 60


def date_of(micros: int, zone: int) -> datetime:
    """The inverse of `micros_of`."""
    date = _EPOCH + timedelta(microseconds=micros)
    return date.astimezone(timezone(timedelta(minutes=zone))) if zone else date


def canonical(name: str) -> str:
    """The name under which the store keeps a mailbox: INBOX in any case is INBOX, also as the first component (RFC 3501 §5.1).

    A name that UTF-8 can't hold (half of a surrogate pair) becomes one that no mailbox has.
    """
    if not name.isascii() and any(0xD800 <= ord(character) < 0xE000 for character in name):
        return "\0"
    first, delimiter, rest = name.partition(DELIMITER)
    return INBOX + delimiter + rest if first.upper() == INBOX else name


def checked(name: str) -> str:
    """The canonical form of a name that a new mailbox may have; one delimiter at its end is dropped (RFC 3501 §6.3.3).

    Raises:
        InvalidMailboxNameError: It can't.
    """
    name = canonical(name.removesuffix(DELIMITER))
    components = name.split(DELIMITER)
    if not all(components):
        raise InvalidMailboxNameError(f"mailbox name {name!r}: an empty component")
    if len(name) > MAX_NAME or len(components) > MAX_COMPONENTS:
        raise InvalidMailboxNameError(f"mailbox name of {len(name)} characters, {len(components)} levels: too long")
    if any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in name):
        raise InvalidMailboxNameError(f"mailbox name {name!r}: control characters")
    return name


def superiors(name: str) -> list[str]:
    """The names above, from the top."""
    parts = name.split(DELIMITER)
    return [DELIMITER.join(parts[:count]) for count in range(1, len(parts))]
