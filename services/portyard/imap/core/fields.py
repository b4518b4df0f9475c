"""What an event of IMAP tells the rules: a command's verb and the fields that verbs.py declares for it."""

from __future__ import annotations

from functools import lru_cache

from portyard.commons.mailstore.model import FlagChange
from portyard.commons.scenario.vocabulary import Scalar
from portyard.imap.core import fetch_grammar, search_grammar
from portyard.imap.core.lexing import print_sequence_set
from portyard.imap.core.model import (
    STAR,
    Append,
    Command,
    Copy,
    Create,
    Delete,
    Enable,
    Examine,
    Expunge,
    Fetch,
    FetchAttribute,
    Id,
    List,
    Lsub,
    Move,
    Rename,
    Search,
    Select,
    SequenceSet,
    Status,
    Store,
    Subscribe,
    Unsubscribe,
)
from portyard.imap.core.replies import flat


def verb_for(command: Command) -> str:
    """The command's verb."""
    return type(command).__name__.lower()


def fields_for(command: Command, selected: str) -> dict[str, Scalar]:
    """The command's fields.

    Args:
        command: It.
        selected: The selected mailbox's name, or "".
    """
    match command:
        case Select(mailbox) | Examine(mailbox) | Create(mailbox) | Delete(mailbox):
            return {"mailbox": mailbox}
        case Subscribe(mailbox) | Unsubscribe(mailbox):
            return {"mailbox": mailbox}
        case Rename(mailbox, new_name):
            return {"mailbox": mailbox, "new_name": new_name}
        case List(reference, pattern) | Lsub(reference, pattern):
            return {"reference": reference, "pattern": pattern}
        case Status(mailbox, items):
            return {"mailbox": mailbox, "items": " ".join(items)}
        case Append(mailbox, flags, _, message):
            return {"mailbox": mailbox, "flags": " ".join(flags), "octets": len(message)}
        case Id(pairs):
            return {"client": next((_text(value or b"") for name, value in pairs or () if name.lower() == b"name"), "")}
        case Enable(capabilities):
            return {"capabilities": " ".join(capabilities)}
    return {"mailbox": selected, **_selected_fields(command)}


def _selected_fields(command: Command) -> dict[str, Scalar]:
    match command:
        case Expunge(uids):
            return {"uid": uids is not None, "sequence": _text(print_sequence_set(uids)) if uids else ""}
        case Store(messages, how, flags, silent, uid):
            sign = {FlagChange.ADD: "+", FlagChange.REMOVE: "-", FlagChange.REPLACE: ""}[how]
            item = f"{sign}FLAGS{'.SILENT' if silent else ''}"
            return {**_numbers(messages, uid), "flags": " ".join(flags), "items": item}
        case Copy(messages, mailbox, uid) | Move(messages, mailbox, uid):
            return {**_numbers(messages, uid), "destination": mailbox}
        case Fetch(messages, attributes, uid):
            return {**_numbers(messages, uid), "items": _items(attributes)}
        case Search():
            return {"uid": command.uid, "keys": _text(flat(search_grammar.print_search(command)))}
    return {}


@lru_cache(maxsize=512)  # a client asks for the same again and again, and printing it takes as long as a whole NOOP
def _items(attributes: tuple[FetchAttribute, ...]) -> str:
    return _text(flat(fetch_grammar.print_attributes(attributes)))[1:-1]


@lru_cache(maxsize=512)
def _sequence(messages: SequenceSet) -> str:
    return _text(print_sequence_set(messages))


def _numbers(messages: SequenceSet, uid: bool) -> dict[str, Scalar]:
    (low, high), *more = messages.ranges
    single = low if low == high != STAR and not more else 0
    return {"uid": uid, "sequence": _sequence(messages), "message": single}


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")
