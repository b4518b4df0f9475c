"""The values of the control API: what comes in, what goes out. Times are RFC 3339, ids are opaque strings, lists are bare arrays."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec

from portyard.rooms import ROOMS

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=1000, description="How many at most.")]
# Held against the rooms by whoever is asked, so that a refusal names them and the nearest.
Room = Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(ROOMS)})]
SessionId = Annotated[
    str, msgspec.Meta(pattern=r"^[0-9a-f]{24}$", description="A session's id: 24 hexadecimal digits.")
]
Cursor = Annotated[
    str, msgspec.Meta(pattern=r"^-?[0-9]{1,18}\.[0-9]{1,18}$", description="The cursor of a page's Link field.")
]


class Problem(msgspec.Struct, omit_defaults=True):
    """What went wrong (RFC 9457 §3.1), and where: the key and value that are refused, and what is allowed."""

    title: str
    status: int
    detail: str = ""
    key: str | None = None
    value: Any = None
    allowed: Any = None
    type: str = "about:blank"


class ServiceHealth(msgspec.Struct):
    """Whether a service is up."""

    name: str
    ready: bool


class Health(msgspec.Struct):
    """Whether everything is up that was asked for."""

    ready: bool
    services: list[ServiceHealth]


class Endpoint(msgspec.Struct):
    """A reachable port: `host` and `host_number` from the user's machine, `address` and `number` from inside.

    Attributes:
        passive_ports: The further ports to which its data connections come, `first-last`; empty where there are none, or any.
    """

    service: str
    port: str
    address: str
    number: int
    host: str
    host_number: int
    tls: str
    transport: str
    summary: str
    passive_ports: str


PublicKey = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^([^\x00-\x1f]+ )?(ssh-|ecdsa-|sk-)[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,3}( [^\x00-\x1f]*)?$",
        description='A line of authorized_keys: "ssh-ed25519 AAAA… somebody".',
    ),
]


class NewAccount(msgspec.Struct, forbid_unknown_fields=True):
    """An account to make; its address is `name` at the sandbox's first domain, unless `name` is an address."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=320)]
    password: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    public_keys: tuple[PublicKey, ...] = ()


class Account(msgspec.Struct):
    """Somebody who can log in."""

    name: str
    address: str
    sandbox: str
    public_keys: tuple[str, ...]


class Message(msgspec.Struct, rename={"from_": "from"}):
    """A message in a mailbox.

    Attributes:
        account: The address of whose mailbox it lies in.
        from_: The first address of From, bare; empty when there is none.
        to: The addresses of To, bare; the envelope's recipient when there is no To.
        cc: The addresses of Cc, bare.
        recipient: The envelope's recipient; None for what a client appended.
        message_id: Message-ID with its brackets.
        size: Octets.
    """

    id: str
    account: str
    mailbox: str
    uid: int
    flags: list[str]
    from_: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    recipient: str | None
    subject: str
    message_id: str
    received_at: Moment
    size: int


class NearMiss(Message):
    """A message that came and didn't fit."""

    because: str = msgspec.field(default="")


class Header(msgspec.Struct):
    """A header field, unfolded, encoded words decoded."""

    name: str
    value: str


class Attachment(msgspec.Struct):
    """A part of a message that isn't its text.

    Attributes:
        part: Its number ("2.1"), by which `/parts/{part}` gives its content.
        filename: Decoded; None when it has no name.
        type: Its media type.
        size: Octets as they lie in the message, encoded.
        content_id: Without brackets; None when it has none.
        disposition: "attachment", "inline" or None.
    """

    part: str
    filename: str | None
    type: str
    size: int
    content_id: str | None
    disposition: str | None


class WholeMessage(Message):
    """A message with its header, its text and its HTML decoded, and the list of its other parts.

    Attributes:
        text: The first text/plain part; None when there is none.
        html: The first text/html part; None when there is none.
        cut: True when text or HTML is longer than what is shown.
        links: Every http(s) link in text and HTML.
        codes: What looks like one-time codes in subject and text.
    """

    headers: list[Header] = msgspec.field(default_factory=list)
    text: str | None = msgspec.field(default=None)
    html: str | None = msgspec.field(default=None)
    cut: bool = msgspec.field(default=False)
    attachments: list[Attachment] = msgspec.field(default_factory=list)
    links: list[str] = msgspec.field(default_factory=list)
    codes: list[str] = msgspec.field(default_factory=list)


class Arrived(Message):
    """A message that was waited for, with the links and one-time codes in it."""

    links: list[str] = msgspec.field(default_factory=list)
    codes: list[str] = msgspec.field(default_factory=list)


class Waited(msgspec.Struct):
    """What came of waiting.

    Attributes:
        satisfied: So many fit; where none was to, none does, of all that was there.
        messages: Those that fit, newest first.
        near_misses: Those that are most like what was waited for.
        complete: False where the time was up before all that was there was looked through: older messages may fit.
    """

    satisfied: bool
    messages: list[Arrived]
    near_misses: list[NearMiss]
    complete: bool = True


class QueueEntry(msgspec.Struct):
    """A recipient that a hop has not got rid of.

    Attributes:
        id: The message's delivery id, the same at every hop.
        hop: The service that has it.
        sender: The envelope's sender; empty for a bounce.
        state: "queued" or "failed".
        attempts: Tries so far.
        due_at: When it is tried next; None when it is being tried, or never will be.
        reason: What the last try came to.
    """

    id: str
    hop: str
    sender: str
    recipient: str
    state: str
    attempts: int
    accepted_at: Moment
    due_at: Moment | None
    size: int
    reason: str


class Session(msgspec.Struct):
    """A session of the journal."""

    id: str
    room: str
    service: str
    sandbox: str
    peer: str
    opened_at: Moment
    closed_at: Moment | None
    account: str | None


class SessionEvent(msgspec.Struct):
    """One thing that happened in a session."""

    seq: int
    at: Moment
    kind: str
    fields: dict[str, Any]


class WholeSession(Session):
    """A session with its events."""

    events: list[SessionEvent] = msgspec.field(default_factory=list)


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """No parameters."""


class Filter(msgspec.Struct, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Which messages: text within a field, a glob of the whole (`*@t1.test`), or `/a regular expression/`."""

    to: str | None = None
    from_: str | None = None
    subject: str | None = None


class MessagesQuery(Filter, forbid_unknown_fields=True, rename={"from_": "from"}):
    """A page of messages; `cursor` comes from the last page's Link field."""

    limit: Limit = 100
    cursor: Cursor | None = None


class WaitQuery(Filter, forbid_unknown_fields=True, rename={"from_": "from"}, kw_only=True):
    """What to wait for.

    Attributes:
        timeout: Seconds; a wait has a bound.
        count: So many messages that fit; 0 waits the whole time for nothing to come.
    """

    timeout: Annotated[float, msgspec.Meta(ge=0, le=300)]
    count: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 1


class SessionsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """A page of sessions; `before` is the id of the last page's last one."""

    room: Room | None = None
    limit: Limit = 100
    before: SessionId | None = None
