"""The values by which the testbed is steered: sandboxes, rules, clocks, records, files, and the events of the journal."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from portyard.commons.allowed import ALLOWED
from portyard.commons.durations import ALLOWED as DURATIONS
from portyard.commons.journal.model import KINDS
from portyard.console.shapes import Endpoint, Room, SessionId

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Label = Annotated[str, msgspec.Meta(min_length=1, max_length=63, description="A label of a host name.")]
Kind = Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(KINDS)})]
Capture = Literal["any", "own"]
Timeout = Annotated[float, msgspec.Meta(ge=0, le=300, description="Seconds; a wait has a bound.")]


class Sandbox(msgspec.Struct):
    """A slice of the testbed.

    Attributes:
        generation: Another one after each reset.
        capture: "any" takes mail for every recipient, "own" is a strict server.
        domains: What it owns; the first one completes bare local parts.
        magic: Whether magic words in addresses, paths and file names are heard.
    """

    name: str
    generation: int
    capture: Capture
    domains: tuple[str, ...]
    magic: bool


class NewSandbox(msgspec.Struct, forbid_unknown_fields=True):
    """A sandbox to make; it owns `<name>.test` and these domains."""

    name: Label
    capture: Capture = "any"
    domains: tuple[str, ...] = ()
    default_password: str = "portyard"  # noqa: S105 - documented, a testbed's
    magic: bool = False


class SandboxChanges(msgspec.Struct, forbid_unknown_fields=True):
    """What shall be otherwise; `domains` are all that it owns, `<name>.test` aside."""

    capture: Capture | None = None
    domains: tuple[str, ...] | None = None
    default_password: str | None = None
    magic: bool | None = None


class Rule(msgspec.Struct):
    """A rule in force, and what became of it.

    Attributes:
        times: None for ever.
        then: What is done: a table of actions, or a list of them.
        matched: How often an event matched it.
        hits: How often it fired.
        spent: Whether it has fired as often as it may.
        last_session: The session in which it fired last.
        warnings: What can't be seen through this engine's published ports, and where it never fires or for few.
    """

    id: str
    name: str
    on: str
    where: dict[str, Any]
    times: int | None
    skip: int
    every: int
    chance: float
    per: str | None
    then: dict[str, Any] | list[dict[str, Any]]
    matched: int
    hits: int
    spent: bool
    last_session: str | None
    last_at: Moment | None
    warnings: list[str]


class NewLease(msgspec.Struct, forbid_unknown_fields=True):
    """Listeners to open for one sandbox alone.

    Attributes:
        service: The service: "mta", "msa", "imap" …
    """

    service: str


class Lease(msgspec.Struct):
    """A service's listeners for one sandbox alone.

    Attributes:
        service: The service.
        endpoints: Where they are, one for each of its TCP ports.
        failure: Why they could not be opened, or "".
    """

    service: str
    endpoints: list[Endpoint]
    failure: str


class ListedPersona(msgspec.Struct):
    """A named kind of server that a rule may ask for.

    Attributes:
        builtin: Whether the room brings it; then it can't be changed.
    """

    name: str
    room: str
    summary: str
    builtin: bool


class WholePersona(ListedPersona):
    """A persona with all that it says.

    Attributes:
        keys: What its room lets a persona say, as it was written.
    """

    keys: dict[str, Any] = {}


class ClockState(msgspec.Struct):
    """A sandbox's time.

    Attributes:
        mode: "real" is the machine's own; "ahead" runs before it; "frozen" stands.
        ahead_s: How far it runs ahead, in seconds.
        machine: The machine's time, by which the journal dates sessions and their events.
    """

    now: Moment
    mode: Literal["real", "ahead", "frozen"]
    ahead_s: float
    machine: Moment


class ClockChange(msgspec.Struct, forbid_unknown_fields=True):
    """One of these.

    Attributes:
        freeze: The moment at which it stands from now on; true for the present one.
        advance: By how much it goes on: seconds, or text such as "2h".
        real: Be the machine's own again.
    """

    freeze: Moment | Literal[True] | None = None
    advance: Annotated[str | float, msgspec.Meta(extra={ALLOWED: DURATIONS})] | None = None
    real: Literal[True] | None = None


RecordType = Literal["A", "AAAA", "CNAME", "MX", "NS", "PTR", "SRV", "TXT"]
Ttl = Annotated[int, msgspec.Meta(ge=0, le=(1 << 31) - 1, description="Seconds that an answer may be kept.")]


class RecordSet(msgspec.Struct):
    """The records of one name and type, in master file form (RFC 1035 §5.1)."""

    name: str
    type: str
    ttl: int
    values: list[str]


class NewRecords(msgspec.Struct, forbid_unknown_fields=True):
    """Records that become the whole of a name's records of their type."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
    type: RecordType
    values: Annotated[list[str], msgspec.Meta(min_length=1, max_length=100)]
    ttl: Ttl = 60


class RecordValues(msgspec.Struct, forbid_unknown_fields=True):
    """The values of a name's records of one type."""

    values: Annotated[list[str], msgspec.Meta(min_length=1, max_length=100)]
    ttl: Ttl = 60


class File(msgspec.Struct):
    """A name in a directory; `size` in octets."""

    name: str
    type: Literal["file", "directory", "link", "other"]
    size: int
    modified_at: Moment


class Event(msgspec.Struct):
    """One thing that happened in a session.

    Attributes:
        id: Where it stands: the session's id and the number in it.
        sandbox: Of those in which it shows, the one that was asked for.
        peer: The session's client, "127.0.0.1:54321".
        fields: Its own fields; `text` is a line as a transcript shows it, secrets blanked.
    """

    id: str
    session: str
    room: str
    service: str
    sandbox: str
    peer: str
    seq: int
    at: Moment
    kind: str
    fields: dict[str, Any]


class EventMiss(Event):
    """An event that came and didn't fit."""

    because: str = msgspec.field(default="")


class EventsWaited(msgspec.Struct):
    """What came of waiting.

    Attributes:
        satisfied: So many fit; where none was to, none does, of all that was there.
        events: Those that fit, in the order in which they came.
        near_misses: Those that are most like what was waited for.
        complete: False where the time was up before all that was there was looked through: older events may fit.
    """

    satisfied: bool
    events: list[Event]
    near_misses: list[EventMiss]
    complete: bool = True


class EventFilter(msgspec.Struct, forbid_unknown_fields=True):
    """Which events.

    Attributes:
        room: Of this room.
        kind: Of this kind: "command", "reply", "auth", "fault" …
        session: Of this session.
        text: Text within any of its fields, a glob of the whole, or `/a regular expression/`.
        since: At this moment or later (RFC 3339).
    """

    room: Room | None = None
    kind: Kind | None = None
    session: SessionId | None = None
    text: str | None = None
    since: Moment | None = None


class EventsQuery(EventFilter, forbid_unknown_fields=True):
    """A page of events, oldest first; `after` is the id of the last page's last one."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000, description="How many at most.")] = 1000
    after: str | None = None


class EventsWaitQuery(EventFilter, forbid_unknown_fields=True, kw_only=True):
    """What to wait for; `count=0` waits the whole time for nothing to come."""

    timeout: Timeout
    count: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 1


class ExportQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How a session is written down."""

    format: Literal["talk", "test", "jsonl", "har", "pcapng"] = "talk"


class ExportSomeQuery(ExportQuery, forbid_unknown_fields=True):
    """Which sessions are written down, and how.

    Attributes:
        room: Only those of this room.
        session: Only these, ids with commas between.
        limit: The newest so many.
    """

    room: Room | None = None
    session: Annotated[str, msgspec.Meta(min_length=1, max_length=100_000)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1)] | None = None


class PasswordQuery(msgspec.Struct, forbid_unknown_fields=True):
    """The password of a key store."""

    password: Annotated[str, msgspec.Meta(min_length=6, max_length=200, pattern="^[ -~]+$")] = "changeit"  # noqa: S105 - the usual one
