"""What a hop's queue holds and tells, and where it hands new messages on. Knows no SQL and no task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from portyard.smtp.core.model import Mailbox, Taker


class State(StrEnum):
    """Where a recipient stands."""

    QUEUED = "queued"
    DELIVERED = "delivered"
    DROPPED = "dropped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Queued:
    """A recipient whose turn has come.

    Attributes:
        id: The message's delivery id.
        mailbox: The address.
        sandbox: Whose traffic it is.
        generation: That sandbox's at acceptance.
        attempts: Tries so far.
        since: When it was accepted, on the sandbox's clock, in seconds since 1970; 0 where that isn't known.
        taker: Who takes it, where that is another.
    """

    id: str
    mailbox: Mailbox
    sandbox: str
    generation: int
    attempts: int
    since: float = 0.0
    taker: Taker | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """When something of a sandbox is to be tried.

    Attributes:
        sandbox: Whose.
        generation: That sandbox's at acceptance.
        first: When the first is due, on the sandbox's clock, in seconds since 1970; 0 for at once.
        last: When the last is.
    """

    sandbox: str
    generation: int
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class Letter:
    """A spooled message."""

    reverse_path: Mailbox
    eight_bit: bool
    smtputf8: bool
    octets: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a recipient.

    Attributes:
        mailbox: The address.
        state: Where it stands now.
        attempts: Tries so far.
        due: When it is tried again, on its sandbox's clock, in seconds since 1970.
        reason: The last reply, or why.
    """

    mailbox: Mailbox
    state: State
    attempts: int
    due: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the queue as people see it."""

    hop: str
    id: str
    recipient: str
    sandbox: str
    state: str
    attempts: int
    due: float
    reason: str


class Desk(Protocol):
    """Where new messages go from their commit, so that the spool needn't be read for them."""

    def reserve(self, delivery_id: str) -> bool:
        """Ask before the commit; True means that `take` or `release` must follow."""

    def take(self, delivery_id: str, recipients: Sequence[Queued], letter: Letter | None) -> None:
        """The message is committed; the letter is None where it lies in a file."""

    def release(self, delivery_id: str) -> None:
        """Nothing was committed."""
