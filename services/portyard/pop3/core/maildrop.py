"""A maildrop as it was when its session opened it: numbers, sizes, unique ids, deletion marks, and the octets as the wire wants them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from portyard.commons.mailstore.model import INBOX, FlagChange, Mailstore, Message
from portyard.commons.scenario.templates import fill
from portyard.pop3.core.model import PeerError
from portyard.pop3.core.quirks import NONE, Quirks

TAKEN = "$Retrieved"  # the keyword of what some servers show once only
MOST_TOLD = 1000  # messages of which the journal has the UIDs: what a login costs it has a bound
PIECE = 64 * 1024  # octets read and sent at a time, so that a 25 MB message is never whole in memory


@dataclass(slots=True)
class Maildrop:
    """The messages of one account's INBOX, numbered from 1 (RFC 1939 §5).

    Attributes:
        mailbox_id: The INBOX.
        uid_validity: The INBOX's.
        messages: In UID order.
        deleted: Numbers that are marked.
    """

    store: Mailstore
    mailbox_id: int
    uid_validity: int
    messages: list[Message]
    quirks: Quirks = NONE
    deleted: set[int] = field(default_factory=set)
    retrieved: set[int] = field(default_factory=set)

    @classmethod
    async def open(
        cls, store: Mailstore, account_id: int, quirks: Quirks | None = None, since: datetime | None = None
    ) -> Maildrop:
        """The account's maildrop now; what is delivered later shows in the next session.

        Args:
            store: The mailstore.
            account_id: Whose.
            quirks: How the maildrop differs.
            since: All that came since is shown, and what an earlier session retrieved or deleted, too; None for what is new.
        """
        quirks = quirks or NONE
        mailbox = await store.mailbox(account_id, INBOX)
        assert mailbox is not None, "INBOX always exists"
        hides = since is None and (quirks.retrieved_once or quirks.kept_when_deleted)
        uids = [entry.uid for entry in await store.entries(mailbox.id) if not (hides and TAKEN in entry.flags)]
        # Without its structure a message is small, so that a huge maildrop fits.
        messages = [
            replace(message, structure=b"")
            async for message in store.messages(mailbox.id, uids)
            if since is None or message.internal_date >= since
        ]
        return cls(store, mailbox.id, mailbox.uid_validity, messages, quirks)

    def message(self, number: int) -> Message:
        """A message that isn't marked.

        Raises:
            PeerError: No such message, or it is marked.
        """
        if not 1 <= number <= len(self.messages):
            count = len(self.messages)
            raise PeerError(
                f"no such message, only {count} in maildrop", None, "missing", message=number, messages=count
            )
        if number in self.deleted:
            raise PeerError(f"message {number} is deleted", None, "deleted", message=number)
        return self.messages[number - 1]

    def remaining(self) -> list[tuple[int, Message]]:
        """Numbers and messages that aren't marked."""
        return [(number, m) for number, m in enumerate(self.messages, 1) if number not in self.deleted]

    def totals(self) -> dict[str, str | int]:
        """How many messages aren't marked, and their octets."""
        remaining = self.remaining()
        return {"messages": len(remaining), "octets": sum(self.size(message) for _, message in remaining)}

    def told(self) -> dict[str, object]:
        """Which messages the numbers mean, for the journal: the UIDs of the first of them, as IMAP would name them."""
        return {"mailbox": self.mailbox_id, "maildrop": _ranges([m.uid for m in self.messages[:MOST_TOLD]])}

    def unique_id(self, message: Message) -> str:
        """RFC 1939 §7: 1 to 70 printable characters that stay with the message, and never mean another one."""
        values = {"uid": f"{message.uid:08x}", "validity": f"{self.uid_validity:08x}"}
        return fill(self.quirks.unique_id, values)

    def size(self, message: Message) -> int:
        """Its octets, as they are told."""
        return message.size + message.size * self.quirks.size_error_percent // 100

    async def update(self) -> None:
        """Remove what is marked (RFC 1939 §6), or only hide it, as the quirks want it."""
        kept = self.quirks.kept_when_deleted
        gone = [] if kept else [self.messages[number - 1].uid for number in sorted(self.deleted)]
        if gone:
            await self.store.expunge(self.mailbox_id, gone)
        taken = (self.deleted if kept else set()) | (self.retrieved if self.quirks.retrieved_once else set())
        uids = [self.messages[number - 1].uid for number in sorted(taken)]
        uids = [uid for uid in uids if uid not in gone]
        if uids:
            await self.store.change_flags(self.mailbox_id, uids, FlagChange.ADD, frozenset({TAKEN}))

    async def stuffed(self, message: Message, body_lines: int | None = None) -> AsyncIterator[bytes]:
        """The message as multi-line data with its terminator (RFC 1939 §3), piece by piece.

        Args:
            message: Which.
            body_lines: Lines of the body to give after the header; None gives all.
        """
        stuffer = Stuffer()
        cutter = HeadCutter(body_lines)
        position = 0
        while position < message.size and not cutter.done:
            piece = await self.store.octets(message, position, PIECE)
            if not piece:
                raise PeerError("the message is gone")
            position += len(piece)
            yield stuffer.feed(cutter.feed(piece))
        yield stuffer.end()


def _ranges(uids: list[int]) -> str:
    """UIDs, ascending, as a sequence-set (RFC 3501 §9)."""
    if not uids:
        return ""
    if uids[-1] - uids[0] + 1 == len(uids):
        return f"{uids[0]}:{uids[-1]}"
    runs: list[list[int]] = []
    for uid in uids:
        if runs and uid == runs[-1][1] + 1:
            runs[-1][1] = uid
        else:
            runs.append([uid, uid])
    return ",".join(f"{first}:{last}" if last > first else f"{first}" for first, last in runs)


def numbered(told: str) -> list[int]:
    """The UIDs of a maildrop's first messages, as `Maildrop.told` tells them, in the order of their numbers."""
    uids: list[int] = []
    for run in filter(None, told.split(",")):
        first, _, last = run.partition(":")
        uids += range(int(first), int(last or first) + 1)
    return uids


class Stuffer:
    """Dot-stuffing over pieces (RFC 1939 §3)."""

    def __init__(self) -> None:
        self._last = b"\n"

    def feed(self, piece: bytes) -> bytes:
        """The piece with each line that begins with a dot given another one."""
        if not piece:
            return b""
        # A bare LF ends a line for many a client, so what follows it is stuffed as well.
        stuffed = piece.replace(b"\n.", b"\n..")
        if self._last.endswith(b"\n") and piece.startswith(b"."):
            stuffed = b"." + stuffed
        self._last = (self._last + piece)[-2:]
        return stuffed

    def end(self) -> bytes:
        """What completes the last line, and the terminator."""
        if self._last in (b"\r\n", b"\n"):
            return b".\r\n"
        return (b"\n" if self._last.endswith(b"\r") else b"\r\n") + b".\r\n"


class HeadCutter:
    """Cuts a message after its header and some lines of its body (RFC 1939 §7, TOP)."""

    def __init__(self, body_lines: int | None) -> None:
        self._left = body_lines
        self._in_header = True
        self._tail = b"\r\n"  # so that a message that begins with a blank line has an empty header
        self.done = False

    def feed(self, piece: bytes) -> bytes:
        """The part of the piece that is wanted; `done` once no more is."""
        if self._left is None:
            return piece
        position = 0
        if self._in_header:
            position = self._header_end(piece)
            if position < 0:
                return piece
        while self._left:
            end = piece.find(b"\n", position)
            if end < 0:
                return piece
            position = end + 1
            self._left -= 1
        self.done = True
        return piece[:position]

    def _header_end(self, piece: bytes) -> int:
        joined = self._tail + piece
        end = joined.find(b"\r\n\r\n")
        if end < 0:
            self._tail = joined[-3:]
            return -1
        self._in_header = False
        return end + 4 - len(self._tail)
