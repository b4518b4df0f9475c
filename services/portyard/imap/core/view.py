r"""What a session remembers of its selected mailbox: UIDs, flags and \Recent, and what it hasn't told the client yet.

Sequence numbers are positions here; they move only when an EXPUNGE is told (RFC 3501 §7.4.1), whatever the store holds by then. Kept
compact: eight octets for a UID's two arrays, one reference to a shared set of flags.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from sys import intern

from portyard.commons.mailstore.model import DELETED, Changes, Entry, Mailbox
from portyard.imap.core.model import STAR, SequenceSet

RECENT = "\\Recent"
_shared_flags: dict[frozenset[str], frozenset[str]] = {}
SHARED_FLAGS_LIMIT = 10_000  # different combinations kept for sharing; past it they are simply not shared


class View:
    """One session's picture of one mailbox.

    Args:
        mailbox: As it was when selected.
        entries: Its messages by UID.
        recent_from: UIDs from here on are recent in this session.
        read_only: EXAMINEd.
    """

    def __init__(self, mailbox: Mailbox, entries: Iterable[Entry], recent_from: int, *, read_only: bool) -> None:
        self.mailbox_id = mailbox.id
        self.name = mailbox.name
        self.read_only = read_only
        self.generation = -1  # the store's, when the view last agreed with it
        self.modseq = 0
        self.uids = array("I")
        self.flags: list[frozenset[str]] = []
        self.recent: set[int] = set()
        self.gone: set[int] = set()  # expunged, not told yet
        self.keywords: dict[str, str] = {}  # by lower case
        for entry in entries:
            self._add(entry, recent_from)
            self.modseq = max(self.modseq, entry.modseq)

    def __len__(self) -> int:
        return len(self.uids)

    def position(self, uid: int) -> int | None:
        """The index of a UID, or None."""
        index = bisect_left(self.uids, uid)
        return index if index < len(self.uids) and self.uids[index] == uid else None

    def shown_flags(self, index: int) -> frozenset[str]:
        r"""The flags that FETCH shows, \Recent included."""
        flags = self.flags[index]
        return flags | {RECENT} if self.uids[index] in self.recent else flags

    def canonical(self, flags: Iterable[str]) -> frozenset[str]:
        """Flags with keywords in the case in which the mailbox knows them: $Junk and $junk are one."""
        return frozenset(flag if flag.startswith("\\") else self.keywords.get(flag.lower(), flag) for flag in flags)

    def by_number(self, numbers: SequenceSet) -> list[int] | None:
        """The indexes that sequence numbers mean, ascending; None when one is larger than there are messages (RFC 3501 §9)."""
        last = len(self.uids)
        spans = []
        for low, high in _ordered(numbers, last):
            if not 1 <= low <= high <= last:
                return None
            spans.append((low - 1, high))
        return _indexes(spans)

    def by_uid(self, uids: SequenceSet) -> list[int]:
        """The indexes that UIDs mean, ascending; those that don't exist are passed over (RFC 3501 §6.4.8)."""
        if not self.uids:
            return []
        return _indexes(
            (bisect_left(self.uids, low), bisect_right(self.uids, high)) for low, high in _ordered(uids, self.uids[-1])
        )

    def deleted(self) -> list[int]:
        r"""UIDs with \Deleted."""
        return [uid for uid, flags in zip(self.uids, self.flags, strict=True) if DELETED in flags]

    def set_flags(self, entry: Entry) -> int | None:
        """Take a message's flags from the store; its index when they differ from what was known."""
        index = self.position(entry.uid)
        if index is None or self.flags[index] == entry.flags:
            return None
        self.flags[index] = self._share(entry.flags)
        return index

    def take(self, changes: Changes, recent_from: int) -> tuple[bool, list[int]]:
        """Take what happened in the store.

        Returns:
            Whether there are new messages, and the indexes of known ones whose flags changed. Expunged ones wait in `gone`.
        """
        self.modseq = max(self.modseq, changes.modseq)
        self.gone.update(uid for uid in changes.vanished if self.position(uid) is not None)
        last = self.uids[-1] if self.uids else 0
        changed = [index for entry in changes.changed if (index := self.set_flags(entry)) is not None]
        fresh = [entry for entry in changes.changed if entry.uid > last]
        for entry in fresh:
            self._add(entry, recent_from)
        return bool(fresh), changed

    def tell_gone(self) -> list[int]:
        """Forget the expunged; the sequence numbers to tell, each as it is once those before it are told."""
        if not self.gone:
            return []
        indexes = sorted(index for uid in self.gone if (index := self.position(uid)) is not None)
        drop = set(indexes)
        self.uids = array("I", (uid for index, uid in enumerate(self.uids) if index not in drop))
        self.flags = [flags for index, flags in enumerate(self.flags) if index not in drop]
        self.recent -= self.gone
        self.gone.clear()
        return [index + 1 - told for told, index in enumerate(indexes)]

    def _add(self, entry: Entry, recent_from: int) -> None:
        self.uids.append(entry.uid)
        self.flags.append(self._share(entry.flags))
        if entry.uid >= recent_from:
            self.recent.add(entry.uid)

    def _share(self, flags: frozenset[str]) -> frozenset[str]:
        shared = _shared_flags.get(flags)
        if shared is None:
            shared = flags
            if len(_shared_flags) < SHARED_FLAGS_LIMIT:
                _shared_flags[flags] = flags
        for flag in shared:
            if not flag.startswith("\\"):
                self.keywords.setdefault(intern(flag.lower()), flag)
        return shared


def _ordered(numbers: SequenceSet, last: int) -> Iterable[tuple[int, int]]:
    for low, high in numbers.ranges:
        first, second = (last if low == STAR else low), (last if high == STAR else high)
        yield min(first, second), max(first, second)


def _indexes(spans: Iterable[tuple[int, int]]) -> list[int]:
    """Half-open spans, in any order and overlapping, as ascending indexes without doubles."""
    result: list[int] = []
    for low, high in sorted(spans):
        result.extend(range(max(low, result[-1] + 1 if result else 0), high))
    return result


def uids_at(view: View, indexes: Sequence[int]) -> list[int]:
    """The UIDs of indexes."""
    return [view.uids[index] for index in indexes]
