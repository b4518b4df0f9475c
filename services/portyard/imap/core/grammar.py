"""A frame to a `Request`; printing.py has the way back. The rules' own texts stand above their functions (RFC 3501 §9)."""

from __future__ import annotations

import re
from collections.abc import Callable

from portyard.commons.mailstore.model import FlagChange
from portyard.imap.core import fetch_grammar, search_grammar
from portyard.imap.core.lexing import (
    BadSyntax,
    Cursor,
    Frame,
)
from portyard.imap.core.model import (
    Append,
    Authenticate,
    Capability,
    Check,
    Close,
    Command,
    Copy,
    Create,
    Delete,
    Enable,
    Examine,
    Expunge,
    Fetch,
    Id,
    Idle,
    List,
    Login,
    Logout,
    Lsub,
    Move,
    Namespace,
    Noop,
    Rename,
    Request,
    Search,
    Select,
    Starttls,
    Status,
    Store,
    Subscribe,
    Unselect,
    Unsubscribe,
)

STATUS_ITEMS = ("MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN")
ID_PAIRS_LIMIT = 30  # RFC 2971 §3.3
_BASE64 = re.compile(rb"[A-Za-z0-9+/=]+")
_TAG_ONLY = re.compile(rb'([^\x00-\x20\x7f-\xff(){%*"\\+]{1,256})(?: |\Z)')
_VERB = re.compile(rb"[^ ]+ +(UID +)?([A-Za-z]+)", re.IGNORECASE)


def parse_command(frame: Frame) -> Request:
    """Read a command.

    Raises:
        BadSyntax: It isn't one; its `tag` is set when a tag could be read.
    """
    tag = tag_of(frame.text)
    cursor = Cursor(frame)
    try:
        cursor.tag()
        cursor.space()
        command = _parse_verb(cursor)
        cursor.end()
    except BadSyntax as error:
        error.tag = tag
        raise
    return Request(tag or "", command)


def tag_of(line: bytes) -> str | None:
    """A line's tag, whatever follows it; None when it has none."""
    found = _TAG_ONLY.match(line)
    return found[1].decode() if found else None


def verb_of(line: bytes) -> str:
    """The name of the command that a line opens, in capitals; empty when it has none. For decisions that can't wait for the whole."""
    found = _VERB.match(line)
    return found[2].decode().upper() if found else ""


def _parse_verb(cursor: Cursor) -> Command:
    name = cursor.word("a command")
    if name == "UID":
        # uid = "UID" SP (copy / fetch / search / store), and EXPUNGE (RFC 4315 §2.1), MOVE (RFC 6851 §3.2)
        cursor.space()
        name = cursor.word("a command")
        if name not in _UID_PARSERS:
            raise BadSyntax(f"Unknown command UID {name}", name="unknown")
        return _UID_PARSERS[name](cursor)
    if name not in _PARSERS:
        raise BadSyntax(f"Unknown command {name}", name="unknown")
    return _PARSERS[name](cursor)


# login = "LOGIN" SP userid SP password
def _parse_login(cursor: Cursor) -> Login:
    cursor.space()
    user = cursor.astring()
    cursor.space()
    return Login(user, cursor.astring())


# authenticate = "AUTHENTICATE" SP auth-type [SP (base64 / "=")] *(CRLF base64) (RFC 4959 §5)
def _parse_authenticate(cursor: Cursor) -> Authenticate:
    cursor.space()
    mechanism = cursor.word("a mechanism")
    initial = cursor.match(_BASE64, "base64")[0] if cursor.take(b" ") else None
    return Authenticate(mechanism, initial)


# id = "ID" SP id-params-list; id-params-list = "(" *(string SP nstring) ")" / nil (RFC 2971 §4)
def _parse_id(cursor: Cursor) -> Id:
    cursor.space()
    if not cursor.peek(b"("):
        if cursor.nstring() is not None:
            raise BadSyntax("Expected a list or NIL")
        return Id(None)
    fields = cursor.parenthesized(_parse_id_pair, empty=True)
    if len(fields) > ID_PAIRS_LIMIT:
        raise BadSyntax("Too many fields")
    return Id(fields)


def _parse_id_pair(cursor: Cursor) -> tuple[bytes, bytes | None]:
    name = cursor.string()
    cursor.space()
    return name, cursor.nstring()


# enable = "ENABLE" 1*(SP capability) (RFC 5161 §6)
def _parse_enable(cursor: Cursor) -> Enable:
    cursor.space()
    names = [cursor.word("a capability")]
    while cursor.take(b" "):
        names.append(cursor.word("a capability"))
    return Enable(tuple(names))


# status = "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"
def _parse_status(cursor: Cursor) -> Status:
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.space()
    return Status(mailbox, cursor.parenthesized(_parse_status_item))


def _parse_status_item(cursor: Cursor) -> str:
    item = cursor.word("a status item")
    if item not in STATUS_ITEMS:
        raise BadSyntax(f"Unknown status item {item}")
    return item


# append = "APPEND" SP mailbox [SP flag-list] [SP date-time] SP literal
def _parse_append(cursor: Cursor) -> Append:
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.space()
    flags: tuple[str, ...] = ()
    if cursor.peek(b"("):
        flags = cursor.flag_list()
        cursor.space()
    moment = None
    if cursor.peek(b'"'):
        moment = cursor.date_time()
        cursor.space()
    return Append(mailbox, flags, moment, cursor.literal())


# store = "STORE" SP sequence-set SP store-att-flags
# store-att-flags = (["+" / "-"] "FLAGS" [".SILENT"]) SP (flag-list / (flag *(SP flag)))
def _parse_store(cursor: Cursor, uid: bool) -> Store:
    cursor.space()
    messages = cursor.sequence_set()
    cursor.space()
    how = FlagChange.ADD if cursor.take(b"+") else FlagChange.REMOVE if cursor.take(b"-") else FlagChange.REPLACE
    item = cursor.word("FLAGS")
    if item not in ("FLAGS", "FLAGS.SILENT"):
        raise BadSyntax(f"Unknown store item {item}")
    cursor.space()
    return Store(messages, how, _parse_flags(cursor), silent=item == "FLAGS.SILENT", uid=uid)


def _parse_flags(cursor: Cursor) -> tuple[str, ...]:
    if cursor.peek(b"("):
        return cursor.flag_list()
    flags = [cursor.flag()]
    while cursor.take(b" "):
        flags.append(cursor.flag())
    return tuple(flags)


# expunge = "EXPUNGE" / "UID" SP "EXPUNGE" SP sequence-set (RFC 4315 §4)
def _parse_uid_expunge(cursor: Cursor) -> Expunge:
    cursor.space()
    return Expunge(cursor.sequence_set())


def _parse_fetch(cursor: Cursor, uid: bool) -> Fetch:
    cursor.space()
    messages = cursor.sequence_set()
    cursor.space()
    return Fetch(messages, fetch_grammar.parse_attributes(cursor), uid)


def _parse_search(cursor: Cursor, uid: bool) -> Search:
    cursor.space()
    return search_grammar.parse_search(cursor, uid)


# copy = "COPY" SP sequence-set SP mailbox; move alike (RFC 6851 §4)
def _parse_copy(kind: type[Copy] | type[Move], uid: bool) -> Callable[[Cursor], Copy | Move]:
    def parse(cursor: Cursor) -> Copy | Move:
        cursor.space()
        messages = cursor.sequence_set()
        cursor.space()
        return kind(messages, cursor.mailbox(), uid)

    return parse


def _parse_mailbox(kind: type[_OneMailbox]) -> Callable[[Cursor], Command]:
    def parse(cursor: Cursor) -> Command:
        cursor.space()
        return kind(cursor.mailbox())

    return parse


# rename = "RENAME" SP mailbox SP mailbox
def _parse_rename(cursor: Cursor) -> Rename:
    cursor.space()
    old = cursor.mailbox()
    cursor.space()
    return Rename(old, cursor.mailbox())


# list = "LIST" SP mailbox SP list-mailbox; lsub alike
def _parse_list(kind: type[List] | type[Lsub]) -> Callable[[Cursor], Command]:
    def parse(cursor: Cursor) -> Command:
        cursor.space()
        reference = cursor.mailbox()
        cursor.space()
        return kind(reference, cursor.list_mailbox())

    return parse


_OneMailbox = Select | Examine | Create | Delete | Subscribe | Unsubscribe
BARE: dict[str, Command] = {
    "CAPABILITY": Capability(),
    "NOOP": Noop(),
    "LOGOUT": Logout(),
    "STARTTLS": Starttls(),
    "NAMESPACE": Namespace(),
    "IDLE": Idle(),
    "CHECK": Check(),
    "CLOSE": Close(),
    "UNSELECT": Unselect(),
    "EXPUNGE": Expunge(),
}
ONE_MAILBOX: dict[str, type[_OneMailbox]] = {
    "SELECT": Select,
    "EXAMINE": Examine,
    "CREATE": Create,
    "DELETE": Delete,
    "SUBSCRIBE": Subscribe,
    "UNSUBSCRIBE": Unsubscribe,
}


def _bare(command: Command) -> Callable[[Cursor], Command]:
    return lambda _cursor: command


_PARSERS: dict[str, Callable[[Cursor], Command]] = {
    **{name: _bare(command) for name, command in BARE.items()},
    **{name: _parse_mailbox(kind) for name, kind in ONE_MAILBOX.items()},
    "LOGIN": _parse_login,
    "AUTHENTICATE": _parse_authenticate,
    "ID": _parse_id,
    "ENABLE": _parse_enable,
    "RENAME": _parse_rename,
    "LIST": _parse_list(List),
    "LSUB": _parse_list(Lsub),
    "STATUS": _parse_status,
    "APPEND": _parse_append,
    "STORE": lambda cursor: _parse_store(cursor, uid=False),
    "FETCH": lambda cursor: _parse_fetch(cursor, uid=False),
    "SEARCH": lambda cursor: _parse_search(cursor, uid=False),
    "COPY": _parse_copy(Copy, uid=False),
    "MOVE": _parse_copy(Move, uid=False),
}
_UID_PARSERS: dict[str, Callable[[Cursor], Command]] = {
    "STORE": lambda cursor: _parse_store(cursor, uid=True),
    "FETCH": lambda cursor: _parse_fetch(cursor, uid=True),
    "SEARCH": lambda cursor: _parse_search(cursor, uid=True),
    "COPY": _parse_copy(Copy, uid=True),
    "MOVE": _parse_copy(Move, uid=True),
    "EXPUNGE": _parse_uid_expunge,
}
