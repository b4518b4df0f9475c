"""The write jobs on messages: append, flags, expunge, copy and move. They run on the writer's thread, inside its transaction.

Each keeps a mailbox's counters (messages, unseen, size, UIDNEXT, highest modseq) by what it changes, so that STATUS reads one row.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from portyard.commons.database.engine import Row, Transaction
from portyard.commons.mailstore.model import (
    Appended,
    Copied,
    Entry,
    FlagChange,
    Mailbox,
    MailstoreError,
    NoSuchMailboxError,
)
from portyard.commons.mailstore.rows import flags_of, flags_text, is_unseen
from portyard.commons.mailstore.schema import COUNTER, UID_MASK, message_key

SLICE = 200  # rows of one statement
KEEP_UNREFERENCED_S = 300  # an expunged body stays for sessions that are in the middle of reading it
_SWEEP = 100  # bodies that one write job removes at most, so that none is slow

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Body:
    """A message's octets, ready to be stored.

    Attributes:
        size: Octets.
        file: The name under `bodies/`, or None when they lie in the table.
        structure: Encoded.
        head: The header (its first 64 KiB).
        rest: What follows `head`, for a body in the table.
    """

    size: int
    file: str | None
    structure: bytes
    head: bytes
    rest: bytes | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """What makes an append happen once."""

    id: str
    recipient: str


def append(
    work: Transaction,
    account_id: int,
    name: str,
    body: Body,
    flags: frozenset[str],
    date: tuple[int, int],
    delivery: Delivery | None,
    delivery_id: str | None,
) -> tuple[Appended, bool]:
    """Store a message; False when this delivery was made before. See `Mailstore.append`."""
    if delivery is not None and (before := _delivered(work, delivery)) is not None:
        return before, False
    rows = work.execute(
        "UPDATE mailboxes SET uid_next = uid_next + 1, highest_modseq = highest_modseq + 1, messages = messages + 1, "
        "unseen = unseen + ?, size = size + ? WHERE account_id = ? AND name = ? "
        "RETURNING id, uid_validity, uid_next - 1, highest_modseq",
        (is_unseen(flags), body.size, account_id, name),
    )
    if not rows:
        raise NoSuchMailboxError(f"no mailbox {name}")
    mailbox_id, uid_validity, uid, modseq = rows[0]
    if uid > UID_MASK:
        raise MailstoreError(f"mailbox {name} has used all its UIDs")
    key = message_key(mailbox_id, uid)
    work.execute(
        "INSERT INTO bodies (id, size, file, structure, head, rest) VALUES (?, ?, ?, ?, ?, ?)",
        (key, body.size, body.file, body.structure, body.head, body.rest),
    )
    work.execute(
        "INSERT INTO messages (id, mailbox_id, uid, modseq, flags, internal_date, zone, size, body_id, delivery_id) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (key, mailbox_id, uid, modseq, flags_text(flags), *date, body.size, key, delivery_id),
    )
    appended = Appended(uid_validity, uid, key)
    if delivery is not None:
        _remember(work, delivery, appended)
    work.bump(f"mailbox:{mailbox_id}")
    work.bump(COUNTER)
    return appended, True


def _delivered(work: Transaction, delivery: Delivery) -> Appended | None:
    rows = work.execute(
        "SELECT uid_validity, uid, message_id FROM deliveries WHERE delivery_id = ? AND recipient = ?",
        (delivery.id, delivery.recipient),
    )
    return Appended(*rows[0]) if rows else None


def _remember(work: Transaction, delivery: Delivery, appended: Appended) -> None:
    work.execute(
        "INSERT INTO deliveries (delivery_id, recipient, uid_validity, uid, message_id) VALUES (?, ?, ?, ?, ?)",
        (delivery.id, delivery.recipient, appended.uid_validity, appended.uid, appended.message_id),
    )


def change_flags(
    work: Transaction,
    mailbox_id: int,
    uids: Sequence[int],
    how: FlagChange,
    flags: frozenset[str],
    unchanged_since: int | None,
) -> tuple[list[Entry], list[int]]:
    """See `Mailstore.change_flags`."""
    modseq = _highest(work, mailbox_id) + 1
    changed: list[Entry] = []
    refused: list[int] = []
    unseen = 0
    for uid, stored, at in _rows(work, mailbox_id, uids, "uid, flags, modseq"):
        if unchanged_since is not None and at > unchanged_since:  # RFC 7162 §3.1.3
            refused.append(uid)
            continue
        old = flags_of(stored)
        new = applied(old, how, flags)
        if new != old:
            unseen += is_unseen(new) - is_unseen(old)
            changed.append(Entry(uid, new, modseq))
    if changed:
        work.execute_many(
            "UPDATE messages SET flags = ?, modseq = ? WHERE id = ?",
            [(flags_text(entry.flags), modseq, message_key(mailbox_id, entry.uid)) for entry in changed],
        )
        _count(work, mailbox_id, modseq, 0, unseen, 0)
    return changed, refused


def applied(old: frozenset[str], how: FlagChange, flags: frozenset[str]) -> frozenset[str]:
    """The flags after a change (RFC 3501 §6.4.6)."""
    if how is FlagChange.ADD:
        return old | flags
    if how is FlagChange.REMOVE:
        return old - flags
    return flags


def expunge(work: Transaction, mailbox_id: int, uids: Sequence[int], now_s: int) -> list[int]:
    """See `Mailstore.expunge`."""
    gone = list(_rows(work, mailbox_id, uids, "uid, flags, size, body_id"))
    if gone:
        _remove(work, mailbox_id, [(uid, flags, size) for uid, flags, size, _ in gone])
        discard_bodies(work, [row[3] for row in gone], now_s)
    return [row[0] for row in gone]


def transfer(work: Transaction, source_id: int, uids: Sequence[int] | None, target: Mailbox, *, remove: bool) -> Copied:
    """Copy or move messages (all for `uids` None); see `Mailstore.copy` and `Mailstore.move`."""
    columns = "uid, flags, size, internal_date, zone, body_id, delivery_id"
    found = list(_rows(work, source_id, uids, columns))
    if not found:
        return Copied(target.uid_validity, (), ())
    first, modseq = work.execute("SELECT uid_next, highest_modseq + 1 FROM mailboxes WHERE id = ?", (target.id,))[0]
    new_uids = tuple(range(first, first + len(found)))
    work.execute_many(
        "INSERT INTO messages (id, mailbox_id, uid, modseq, flags, size, internal_date, zone, body_id, delivery_id) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (message_key(target.id, uid), target.id, uid, modseq, *row[1:])
            for uid, row in zip(new_uids, found, strict=True)
        ],
    )
    unseen, size = sum(is_unseen(flags_of(row[1])) for row in found), sum(row[2] for row in found)
    work.execute("UPDATE mailboxes SET uid_next = uid_next + ? WHERE id = ?", (len(found), target.id))
    _count(work, target.id, modseq, len(found), unseen, size)
    if remove:
        _remove(work, source_id, [row[:3] for row in found])
    return Copied(target.uid_validity, tuple(row[0] for row in found), new_uids)


def _remove(work: Transaction, mailbox_id: int, gone: Sequence[Row]) -> None:
    """Delete messages (rows of uid, flags, size) and leave their tombstones (RFC 7162 §3.2.10)."""
    modseq = _highest(work, mailbox_id) + 1
    work.execute_many("DELETE FROM messages WHERE id = ?", [(message_key(mailbox_id, row[0]),) for row in gone])
    work.execute_many(
        "INSERT INTO tombstones (mailbox_id, uid, modseq) VALUES (?, ?, ?)",
        [(mailbox_id, row[0], modseq) for row in gone],
    )
    unseen = sum(is_unseen(flags_of(row[1])) for row in gone)
    _count(work, mailbox_id, modseq, -len(gone), -unseen, -sum(row[2] for row in gone))


def _highest(work: Transaction, mailbox_id: int) -> int:
    rows = work.execute("SELECT highest_modseq FROM mailboxes WHERE id = ?", (mailbox_id,))
    if not rows:
        raise NoSuchMailboxError("the mailbox was deleted")
    modseq: int = rows[0][0]
    return modseq


def _count(work: Transaction, mailbox_id: int, modseq: int, messages: int, unseen: int, size: int) -> None:
    work.execute(
        "UPDATE mailboxes SET highest_modseq = ?, messages = messages + ?, unseen = unseen + ?, size = size + ? WHERE id = ?",
        (modseq, messages, unseen, size, mailbox_id),
    )
    work.bump(f"mailbox:{mailbox_id}")
    work.bump(COUNTER)


def _rows(work: Transaction, mailbox_id: int, uids: Sequence[int] | None, columns: str) -> Iterator[Row]:
    """Rows of a mailbox's messages by UID; the columns are ours, never a peer's."""
    if uids is None:
        yield from work.execute(
            f"SELECT {columns} FROM messages WHERE id > ? AND id <= ? ORDER BY id",  # noqa: S608
            (message_key(mailbox_id, 0), message_key(mailbox_id, UID_MASK)),
        )
        return
    for some in slices(real_uids(uids), SLICE):
        yield from work.execute(
            f"SELECT {columns} FROM messages WHERE id IN ({marks(some)}) ORDER BY id",  # noqa: S608
            [message_key(mailbox_id, uid) for uid in some],
        )


def real_uids(uids: Iterable[int]) -> list[int]:
    """The numbers that can be UIDs, ascending, each once; others would run into another mailbox's keys."""
    return sorted({uid for uid in uids if 0 < uid <= UID_MASK})


def slices(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in runs of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def marks(items: Sequence[object]) -> str:
    """As many question marks."""
    return ",".join("?" * len(items))


def discard_bodies(work: Transaction, bodies: Iterable[int], now_s: int) -> None:
    """Note bodies that may have lost their last message; they are looked at, and removed, when they have lain a while."""
    work.execute_many(
        "INSERT INTO garbage (body_id, since) VALUES (?, ?) ON CONFLICT DO NOTHING", [(body, now_s) for body in bodies]
    )


def sweep(work: Transaction, folder: Path, now_s: int, keep_s: int = KEEP_UNREFERENCED_S) -> int:
    """Remove bodies that no message references, a hundred at most; their files after the commit. How many were looked at."""
    rows = work.execute(
        "SELECT g.body_id, b.file, EXISTS (SELECT 1 FROM messages WHERE id = g.body_id) "
        "OR EXISTS (SELECT 1 FROM messages WHERE body_id = g.body_id AND body_id <> id) "
        "FROM garbage g LEFT JOIN bodies b ON b.id = g.body_id WHERE g.since <= ? LIMIT ?",
        (now_s - keep_s, _SWEEP),
    )
    for body_id, file, referenced in rows:
        work.execute("DELETE FROM garbage WHERE body_id = ?", (body_id,))
        if not referenced:
            work.execute("DELETE FROM bodies WHERE id = ?", (body_id,))
            work.execute(
                "INSERT INTO spent (message_id, since) SELECT DISTINCT message_id, CAST(? AS BIGINT) FROM deliveries "
                "WHERE message_id = ? ON CONFLICT DO NOTHING",
                (int(time.time()), body_id),
            )
            if file is not None:
                work.after_commit((folder / file).unlink)
    return len(rows)


def take_recent(work: Transaction, mailbox_id: int) -> int:
    """See `Mailstore.claim_recent`."""
    rows = work.execute("SELECT recent_from FROM mailboxes WHERE id = ?", (mailbox_id,))
    if not rows:
        raise NoSuchMailboxError("the mailbox was deleted")
    work.execute("UPDATE mailboxes SET recent_from = uid_next WHERE id = ?", (mailbox_id,))
    first: int = rows[0][0]
    return first
