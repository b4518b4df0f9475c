"""A `Request` to a frame, and a frame to what a client sends: the inverse of grammar.py."""

from __future__ import annotations

import re
from collections.abc import Iterable

from portyard.commons.mailstore.model import FlagChange
from portyard.imap.core import fetch_grammar, search_grammar
from portyard.imap.core.grammar import BARE, ONE_MAILBOX
from portyard.imap.core.lexing import (
    Frame,
    print_astring,
    print_date_time,
    print_mailbox,
    print_sequence_set,
    print_string,
)
from portyard.imap.core.model import (
    Append,
    Authenticate,
    Command,
    Copy,
    Enable,
    Expunge,
    Fetch,
    Id,
    List,
    Login,
    Lsub,
    Move,
    Rename,
    Request,
    Search,
    Status,
    Store,
)


def print_command(request: Request) -> Frame:
    """The request as a frame that `parse_command` reads back to the same value."""
    pieces = [request.tag.encode() + b" ", *_print_verb(request.command)]
    return join_pieces(pieces)


def join_pieces(pieces: Iterable[bytes]) -> Frame:
    """Pieces to a frame: after a piece that announces a literal, the next one is its octets."""
    text = bytearray()
    literals: list[bytes] = []
    announced = False
    for piece in pieces:
        if announced:
            literals.append(piece)
            text += b"\r\n"
            announced = False
        else:
            text += piece
            announced = re.fullmatch(rb"\{[0-9]+\}", piece) is not None
    return Frame(bytes(text), tuple(literals))


def wire(frame: Frame, *, synchronising: bool = True) -> list[bytes]:
    """A frame as a client sends it: one item up to each place where it waits for "+ " (a single one with LITERAL+)."""
    lines = frame.text.split(b"\r\n")
    if not synchronising:
        lines = [line[:-1] + b"+}" for line in lines[:-1]] + lines[-1:]
    parts = [lines[0] + b"\r\n"]
    for literal, line in zip(frame.literals, lines[1:], strict=True):
        parts.append(literal + line + b"\r\n")
    return parts if synchronising else [b"".join(parts)]


def _print_verb(command: Command) -> list[bytes]:
    for name, bare in BARE.items():
        if command == bare:
            return [name.encode()]
    for name, kind in ONE_MAILBOX.items():
        if isinstance(command, kind):
            return [name.encode() + b" ", *print_mailbox(command.mailbox)]
    return _print_rest(command)


def _print_rest(command: Command) -> list[bytes]:
    match command:
        case Login(user, password):
            return [b"LOGIN ", *print_astring(user), b" ", *print_astring(password)]
        case Authenticate(mechanism, initial):
            return [b"AUTHENTICATE " + mechanism.encode() + (b"" if initial is None else b" " + initial)]
        case Id(fields):
            return [b"ID ", *_print_id(fields)]
        case Enable(capabilities):
            return [" ".join(("ENABLE", *capabilities)).encode()]
        case Rename(old, new):
            return [b"RENAME ", *print_mailbox(old), b" ", *print_mailbox(new)]
        case List(reference, pattern):
            return [b"LIST ", *print_mailbox(reference), b" ", *print_string(pattern.encode())]
        case Lsub(reference, pattern):
            return [b"LSUB ", *print_mailbox(reference), b" ", *print_string(pattern.encode())]
        case Status(mailbox, items):
            return [b"STATUS ", *print_mailbox(mailbox), f" ({' '.join(items)})".encode()]
        case Append():
            return _print_append(command)
        case _:
            return _print_selected(command)


def _print_selected(command: Command) -> list[bytes]:
    match command:
        case Expunge(uids) if uids is not None:
            return [b"UID EXPUNGE " + print_sequence_set(uids)]
        case Store():
            sign = {FlagChange.ADD: "+", FlagChange.REMOVE: "-", FlagChange.REPLACE: ""}[command.how]
            item = f" {sign}FLAGS{'.SILENT' if command.silent else ''} ({' '.join(command.flags)})"
            return [_numbered(b"STORE", command.uid) + print_sequence_set(command.messages) + item.encode()]
        case Copy(messages, mailbox, uid):
            return [_numbered(b"COPY", uid) + print_sequence_set(messages) + b" ", *print_mailbox(mailbox)]
        case Move(messages, mailbox, uid):
            return [_numbered(b"MOVE", uid) + print_sequence_set(messages) + b" ", *print_mailbox(mailbox)]
        case Fetch(messages, attributes, uid):
            head = _numbered(b"FETCH", uid) + print_sequence_set(messages) + b" "
            return [head, *fetch_grammar.print_attributes(attributes)]
        case Search():
            return [_numbered(b"SEARCH", command.uid), *search_grammar.print_search(command)]
    raise TypeError(f"no command: {command!r}")


def _numbered(name: bytes, uid: bool) -> bytes:
    return (b"UID " if uid else b"") + name + b" "


def _print_id(fields: tuple[tuple[bytes, bytes | None], ...] | None) -> list[bytes]:
    if fields is None:
        return [b"NIL"]
    pieces: list[bytes] = []
    for name, value in fields:
        pieces += [b" ", *print_string(name), b" ", *([b"NIL"] if value is None else print_string(value))]
    return [b"(", *pieces[1:], b")"]


def _print_append(command: Append) -> list[bytes]:
    pieces = [b"APPEND ", *print_mailbox(command.mailbox), b" "]
    if command.flags:
        pieces.append(f"({' '.join(command.flags)}) ".encode())
    if command.internal_date is not None:
        pieces.append(print_date_time(command.internal_date) + b" ")
    return [*pieces, b"{%d}" % len(command.message), command.message]
