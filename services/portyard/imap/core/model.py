"""Commands as values, in RFC 3501's nouns. Printed and parsed by grammar.py, answered by commands/."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from portyard.commons.mailstore.model import FlagChange
from portyard.imap.core.search_keys import SearchKey

STAR = 0  # "*" in a sequence set: the largest number in use (RFC 3501 §9)


@dataclass(frozen=True, slots=True)
class SequenceSet:
    """Message numbers or UIDs as the client wrote them; each range in either order, `STAR` for "*"."""

    ranges: tuple[tuple[int, int], ...]


# Any state (RFC 3501 §6.1).


@dataclass(frozen=True, slots=True)
class Capability:
    """CAPABILITY."""


@dataclass(frozen=True, slots=True)
class Noop:
    """NOOP."""


@dataclass(frozen=True, slots=True)
class Logout:
    """LOGOUT."""


@dataclass(frozen=True, slots=True)
class Id:
    """ID (RFC 2971). `fields` are name and value pairs; None for NIL."""

    fields: tuple[tuple[bytes, bytes | None], ...] | None


# Not authenticated (§6.2).


@dataclass(frozen=True, slots=True)
class Starttls:
    """STARTTLS."""


@dataclass(frozen=True, slots=True)
class Authenticate:
    """AUTHENTICATE; `initial` is the base64 of RFC 4959 as sent ("=" for an empty one), None without."""

    mechanism: str
    initial: bytes | None = None


@dataclass(frozen=True, slots=True)
class Login:
    """LOGIN."""

    user: bytes
    password: bytes


# Authenticated (§6.3).


@dataclass(frozen=True, slots=True)
class Enable:
    """ENABLE (RFC 5161)."""

    capabilities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Select:
    """SELECT."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class Examine:
    """EXAMINE."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class Create:
    """CREATE."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class Delete:
    """DELETE."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class Rename:
    """RENAME."""

    mailbox: str
    new_name: str


@dataclass(frozen=True, slots=True)
class Subscribe:
    """SUBSCRIBE."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """UNSUBSCRIBE."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class List:
    """LIST; `pattern` as on the wire."""

    reference: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Lsub:
    """LSUB; `pattern` as on the wire."""

    reference: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Namespace:
    """NAMESPACE (RFC 2342)."""


@dataclass(frozen=True, slots=True)
class Status:
    """STATUS; `items` in capitals."""

    mailbox: str
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Append:
    """APPEND."""

    mailbox: str
    flags: tuple[str, ...]
    internal_date: datetime | None
    message: bytes


@dataclass(frozen=True, slots=True)
class Idle:
    """IDLE (RFC 2177)."""


# Selected (§6.4).


@dataclass(frozen=True, slots=True)
class Check:
    """CHECK."""


@dataclass(frozen=True, slots=True)
class Close:
    """CLOSE."""


@dataclass(frozen=True, slots=True)
class Unselect:
    """UNSELECT (RFC 3691)."""


@dataclass(frozen=True, slots=True)
class Expunge:
    """EXPUNGE, or UID EXPUNGE (RFC 4315 §2.1) when `uids` is given."""

    uids: SequenceSet | None = None


@dataclass(frozen=True, slots=True)
class Store:
    """STORE or UID STORE."""

    messages: SequenceSet
    how: FlagChange
    flags: tuple[str, ...]
    silent: bool = False
    uid: bool = False


@dataclass(frozen=True, slots=True)
class Copy:
    """COPY or UID COPY."""

    messages: SequenceSet
    mailbox: str
    uid: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """MOVE or UID MOVE (RFC 6851)."""

    messages: SequenceSet
    mailbox: str
    uid: bool = False


class FetchItem(Enum):
    """The data items of FETCH that have no arguments (§6.4.5)."""

    ENVELOPE = "ENVELOPE"
    FLAGS = "FLAGS"
    INTERNALDATE = "INTERNALDATE"
    RFC822 = "RFC822"
    RFC822_HEADER = "RFC822.HEADER"
    RFC822_SIZE = "RFC822.SIZE"
    RFC822_TEXT = "RFC822.TEXT"
    BODY = "BODY"
    BODYSTRUCTURE = "BODYSTRUCTURE"
    UID = "UID"


@dataclass(frozen=True, slots=True)
class Section:
    """What BODY[…] names.

    Attributes:
        part: The part's numbers; empty for the whole message.
        text: "" (all of it), "HEADER", "HEADER.FIELDS", "HEADER.FIELDS.NOT", "TEXT" or "MIME".
        fields: Header names of the two FIELDS kinds, as sent.
    """

    part: tuple[int, ...] = ()
    text: str = ""
    fields: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class BodySection:
    """BODY[section]<partial> or BODY.PEEK[…]; `partial` is (first octet, count)."""

    section: Section
    peek: bool = False
    partial: tuple[int, int] | None = None


FetchAttribute = FetchItem | BodySection


@dataclass(frozen=True, slots=True)
class Fetch:
    """FETCH or UID FETCH; macros are expanded."""

    messages: SequenceSet
    attributes: tuple[FetchAttribute, ...]
    uid: bool = False


@dataclass(frozen=True, slots=True)
class Search:
    """SEARCH or UID SEARCH; all of `keys` must hold."""

    keys: tuple[SearchKey, ...]
    charset: str | None = None
    uid: bool = False


Command = (
    Capability
    | Noop
    | Logout
    | Id
    | Starttls
    | Authenticate
    | Login
    | Enable
    | Select
    | Examine
    | Create
    | Delete
    | Rename
    | Subscribe
    | Unsubscribe
    | List
    | Lsub
    | Namespace
    | Status
    | Append
    | Idle
    | Check
    | Close
    | Unselect
    | Expunge
    | Store
    | Copy
    | Move
    | Fetch
    | Search
)


@dataclass(frozen=True, slots=True)
class Request:
    """A tagged command."""

    tag: str
    command: Command
