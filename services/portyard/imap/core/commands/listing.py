"""The tree of mailboxes: LIST, LSUB, NAMESPACE (RFC 3501 §6.3.8, §6.3.9; RFC 2342; RFC 3348; RFC 6154)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from portyard.commons.mailstore.model import DELIMITER, INBOX
from portyard.imap.core.context import Answer, Context, printed_name
from portyard.imap.core.model import List, Lsub, Namespace
from portyard.imap.core.names import ancestors, encode_name, matches
from portyard.imap.core.replies import Tagged, string


async def list_mailboxes(context: Context, command: List) -> AsyncIterator[Answer]:
    """LIST (RFC 3501 §6.3.8), with the attributes of RFC 3348 and, without being asked (RFC 6154 §2), of RFC 6154."""
    if not command.pattern:
        yield _line(context, "LIST", ["\\Noselect"], "")  # §6.3.8: the delimiter and the root's name
        yield Tagged("OK", "List completed")
        return
    shown, quirks = context.naming.shown, context.quirks
    special = {shown(box.name): box.special_use for box in await context.mail.mailboxes(context.account_id)}
    parents = _parents(special)
    pattern = _full_pattern(command.reference, command.pattern)
    for name in sorted(special.keys() | parents, key=_inbox_first):
        if not matches(pattern, name):
            continue
        attributes = [] if name in special else ["\\Noselect"]  # §6.3.4: only a level of the tree
        if not quirks.lacks("CHILDREN"):
            attributes.append("\\HasChildren" if name in parents else "\\HasNoChildren")
        use = None if quirks.lacks("SPECIAL-USE") else special.get(name)
        yield _line(context, "LIST", attributes + ([use] if use else []), name)
    yield Tagged("OK", "List completed")


async def list_subscribed(context: Context, command: Lsub) -> AsyncIterator[Answer]:
    r"""LSUB (RFC 3501 §6.3.9).

    With "%", a level that isn't subscribed but has subscribed names below it is told as \Noselect.
    """
    names = {context.naming.shown(name) for name in await context.mail.subscriptions(context.account_id)}
    pattern = _full_pattern(command.reference, command.pattern)
    levels = _parents(names) - names if "%" in pattern else set()
    for name in sorted(names | levels, key=_inbox_first):
        if not matches(pattern, name):
            continue
        if name in names:
            yield _line(context, "LSUB", [], name)
        elif not _all_told(pattern, name, names):
            yield _line(context, "LSUB", ["\\Noselect"], name)
    yield Tagged("OK", "Lsub completed")


async def namespace(context: Context, _command: Namespace) -> AsyncIterator[Answer]:
    """NAMESPACE (RFC 2342 §5): all of it personal, nothing shared."""
    yield b'* NAMESPACE (("" ' + string(context.naming.separator.encode()) + b")) NIL NIL\r\n"
    yield Tagged("OK", "Namespace completed")


def _full_pattern(reference: str, pattern: str) -> str:
    """The reference stands before the pattern as it is (§6.3.8)."""
    return encode_name(reference) + pattern


def _parents(names: Iterable[str]) -> set[str]:
    return {above for name in names for above in ancestors(name)}


def _all_told(pattern: str, level: str, names: Iterable[str]) -> bool:
    """Whether the pattern tells each subscribed name below the level itself."""
    return all(matches(pattern, name) for name in names if name.startswith(level + DELIMITER))


def _inbox_first(name: str) -> tuple[bool, str]:
    return name != INBOX and not name.startswith(INBOX + DELIMITER), name


def _line(context: Context, kind: str, attributes: Iterable[str], name: str) -> bytes:
    head = f"* {kind} ({' '.join(attributes)}) ".encode()
    return head + string(context.naming.separator.encode()) + b" " + printed_name(context, name) + b"\r\n"
