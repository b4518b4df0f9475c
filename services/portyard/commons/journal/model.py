"""The journal's values and interfaces. Pure: every core may import it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

from portyard.commons.journal.visits import WHOLE, Span

KINDS = (
    "opened",
    "persona",
    "tls",
    "greeting",
    "auth",
    "command",
    "reply",
    "data",
    "transfer",
    "fault",
    "error",
    "closed",
)

END: Final = (1 << 31) - 1
"""A number behind every event's."""


@dataclass(frozen=True, slots=True)
class JournalEvent:
    """One thing that happened in a session.

    Attributes:
        seq: Its place in the session, from 1.
        at: The testbed's time, aware.
        kind: One of KINDS.
        fields: JSON-able; `text` holds a command's or reply's line as a transcript shows it, secrets blanked.
    """

    seq: int
    at: datetime
    kind: str
    fields: dict[str, object]


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session's card in the journal.

    Attributes:
        id: Unique in the testbed.
        room: "pop3" …
        service: The process ("mta") that took it.
        sandbox: The sandbox that it belongs to; of those in which it shows, the one that was asked for.
        peer: "127.0.0.1:54321".
        opened_at: The testbed's time, aware.
        closed_at: None while it runs.
        account: Who logged in, or None.
        shown: Which of its events are the sandbox's.
    """

    id: str
    room: str
    service: str
    sandbox: str
    peer: str
    opened_at: datetime
    closed_at: datetime | None
    account: str | None
    shown: Sequence[Span] = WHOLE


@dataclass(frozen=True, slots=True)
class Tally:
    """How many events of a kind a service ever noted."""

    room: str
    service: str
    kind: str
    events: int


class Stretch(NamedTuple):
    """Some of a session's events.

    Attributes:
        first: The number of the first that was looked at.
        end: The number behind the last one.
        events: Those that were asked for, in order.
    """

    first: int
    end: int
    events: list[JournalEvent]


class Sheet(Protocol):
    """What a session's events are noted on, for whoever notes so often that a call of its pen costs too much.

    An event is three values at the end of `noted`: `moment()`, the number of a form (`pages.form`), and the octets. Then, where `noted` has
    come to be as long as `due`, `attend()` is called.

    Attributes:
        noted: Events that nobody has attended to.
        due: How long it may become; another number after each `attend`.
        moment: When something is noted.
    """

    noted: list[Any]
    due: int
    moment: Callable[[], int | str]

    def attend(self) -> None:
        """See that what was noted is written."""


class SessionLog(Protocol):
    """One session's pen. Every call returns at once; the journal writes behind."""

    @property
    def id(self) -> str:
        """The session's id."""

    def event(self, kind: str, **fields: object) -> None:
        """Note one thing. Values are JSON-able, or JSON already (msgspec.Raw); secrets were blanked by whoever knows what is secret."""

    def told(self, kind: str, fields: bytes) -> None:
        """Note one thing whose fields are JSON already, an object: for what is noted again and again."""

    def noter(self, form: int) -> Callable[[bytes], None]:
        """What notes octets that went over the wire, told in a form: see `pages.form`. Whoever reads them makes text of them."""

    def sheet(self) -> Sheet | None:
        """What it notes on, the same one always; None where nothing is kept."""

    def command(self, text: str | bytes) -> None:
        """Note a line that the client sent, as a transcript shows it; octets are shown as UTF-8."""

    def reply(self, text: str | bytes) -> None:
        """Note a line (or lines) that the server sent; of octets, which are shown as UTF-8, the last line end is left out."""

    def part(self) -> None:
        """What was noted last begins a part (a request, a transaction) that may be in another sandbox than what was before."""

    def join(self, sandbox: str, *, also: bool = False) -> None:
        """The session named its sandbox; with `also` one more, beside those that it named before in this part.

        A sandbox sees the parts in which it was named and what was before any part; the one that is named first sees all from the start.
        """

    def authenticated(self, account: str, mechanism: str) -> None:
        """Somebody logged in."""

    def close(self, reason: str = "") -> None:
        """The session ended; a second call does nothing."""


class Journal(Protocol):
    """Every session of the testbed."""

    def open_session(
        self, *, room: str, service: str, peer: str, local: str, port: str, closed: Callable[[], None] | None = None
    ) -> SessionLog:
        """Begin a session's record with its `opened` event; `closed` is called once, when the log is closed."""

    async def sessions(
        self, sandbox: str, *, room: str | None = None, limit: int = 100, before: str | None = None
    ) -> list[SessionRecord]:
        """Sessions, newest first."""

    async def session(self, session_id: str, sandbox: str | None = None) -> SessionRecord | None:
        """One session; when a sandbox is given, as that one sees it: None where it doesn't show there."""

    async def events(self, session_id: str, after: int = 0, shown: Sequence[Span] = WHOLE) -> list[JournalEvent]:
        """A session's events in order, behind the one with this number; of them those that a record's `shown` names."""

    def paged(
        self, session_id: str, after: int = 0, shown: Sequence[Span] = WHOLE
    ) -> AsyncGenerator[list[JournalEvent]]:
        """The same, some at a time, for whoever may stop."""

    async def before(
        self, session_id: str, number: int = END, shown: Sequence[Span] = WHOLE, only: str | None = None
    ) -> Stretch | None:
        """The last events before the one with this number, of a kind where only that is wanted; None where there are none before it."""

    async def mark(self) -> int:
        """A number for what is written by now: ask `changed` from here."""

    async def changed(self, sandbox: str, mark: int) -> list[SessionRecord]:
        """The sandbox's sessions of which something was written after the mark, by any process; oldest first."""

    async def standing(self, sandbox: str) -> dict[str, int]:
        """The numbers of the last events of the sandbox's open sessions, by the sessions' ids."""

    async def tallies(self) -> list[Tally]:
        """How many events of each kind there ever were, those that are forgotten by now included."""

    @property
    def waiting(self) -> int:
        """How many events of this process wait to be written."""

    async def flush(self) -> None:
        """Return once everything noted so far by this process is readable everywhere."""
