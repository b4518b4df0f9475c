"""What a core asks of its edge, as values. The core never awaits a socket; the edge never decides.

Pure: every core may import it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

from portyard.commons.events import Event


@dataclass(frozen=True, slots=True)
class Send:
    """Write these octets. The edge drains between two effects, so a long answer is many small `Send`s.

    Attributes:
        data: The octets, line endings included.
        note: What the journal shows in place of the octets (a secret, or the bulk of a message); None shows them.
    """

    data: bytes
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Expect:
    """Tell framing what comes next. `mode` is a value that the room's own framing understands."""

    mode: object


@dataclass(frozen=True, slots=True)
class StartTls:
    """Upgrade now. What was read in plaintext is dropped; a `TlsStarted` event follows, or the connection closes."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Send me `MailboxChanged` whenever this mailbox moves, until `Unwatch`.

    Attributes:
        mailbox_id: The mailstore's id of the mailbox.
    """

    mailbox_id: int


@dataclass(frozen=True, slots=True)
class Unwatch:
    """No more `MailboxChanged`."""


@dataclass(frozen=True, slots=True)
class Authenticated:
    """The peer is now this account (the journal and the sandbox want to know).

    Attributes:
        account: The account's address.
        mechanism: "PLAIN", "USER", "publickey" …
        sandbox: The sandbox that the account lives in.
    """

    account: str
    mechanism: str
    sandbox: str


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the journal alone.

    Attributes:
        kind: The journal's kind of event ("data", "auth", "fault" …).
        fields: JSON-able values.
    """

    kind: str
    fields: dict[str, object]


@dataclass(frozen=True, slots=True)
class Joins:
    """The session belongs to this sandbox from now on: its name was claimed, whether or not what follows is granted.

    Attributes:
        sandbox: Its name.
        anew: Whatever the peer says names one, and what it said last names this one; what was before stays where it was.
    """

    sandbox: str
    anew: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for so long, by monotonic time; what comes meanwhile waits."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hush:
    """Say nothing any more, whatever comes, until the peer leaves."""


@dataclass(frozen=True, slots=True)
class Arm:
    """Put these faults of bytes on the connection from now on.

    Attributes:
        faults: Actions of `commons.scenario.actions` of the kind that the wire obeys.
    """

    faults: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Hear:
    """The peer's next line may go on with this answer in place of being a command; the session's own patience bounds the wait.

    Attributes:
        matches: Whether a line does; another is the session's to answer.
        then: How it goes on.
    """

    matches: Callable[[bytes], bool]
    then: Callable[[bytes], AsyncIterator[Effect]]


@dataclass(frozen=True, slots=True)
class Close:
    """Flush, then close cleanly."""


@dataclass(frozen=True, slots=True)
class Abort:
    """Drop the connection with a RST."""


Effect = (
    Send
    | Expect
    | StartTls
    | Watch
    | Unwatch
    | Authenticated
    | Note
    | Joins
    | Pause
    | Hush
    | Arm
    | Hear
    | Close
    | Abort
)


class Framing(Protocol):
    """Bytes to events; a room's core/framing.py."""

    def feed(self, data: bytes) -> None:
        """Take octets as they came, in any cut."""

    def next_event(self) -> Event | None:
        """The next whole unit, or None while more octets are needed."""

    def expect(self, mode: object) -> None:
        """Switch to what the core said comes next (effect `Expect`)."""

    def clear(self) -> None:
        """Drop everything that was fed but not yet cut: called on a TLS upgrade."""


class Session(Protocol):
    """A conversation's core; a room's core/session.py. Whoever runs it obeys each effect before asking for the next."""

    @property
    def timeout_s(self) -> float | None:
        """How long the peer may stay silent now, in seconds; None for ever."""

    def open(self) -> AsyncIterator[Effect]:
        """The greeting (or, for a client's core, nothing)."""

    def receive(self, event: Event) -> AsyncIterator[Effect]:
        """The answer to one event."""

    def transcript(self, event: Event) -> str | bytes:
        """The event as the journal shows it, secrets blanked (`AUTH PLAIN «secret, 24 bytes»`); as octets where they are all that it shows.

        Called before `receive`.
        """
