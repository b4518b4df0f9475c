"""STORE and UID STORE (RFC 3501 §6.4.6)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence

from portyard.commons.mailstore.model import DELETED, FlagChange
from portyard.imap.core.commands.numbers import chosen
from portyard.imap.core.context import Answer, Context, flags_fetch, flags_line
from portyard.imap.core.model import Store
from portyard.imap.core.replies import Refusal, Tagged
from portyard.imap.core.view import uids_at

_ARCHIVE = "Archive"
_NOT_ARCHIVED = frozenset({_ARCHIVE, "Junk", "Trash"})
FLAGS_LIMIT = 100  # of one message (RFC 5530 §3, LIMIT); a mailbox of large flag lists would be slow for everybody


async def store(context: Context, command: Store) -> AsyncIterator[Answer]:
    """STORE: in one commit; without .SILENT each message's flags are told, with it only what others changed meanwhile."""
    view = context.writable
    yield await context.news(expunges=False, uid=command.uid)
    indexes, vanished = chosen(view, command.messages, uid=command.uid)
    flags = view.canonical(context.kept(command.flags))
    expected = {index: _applied(view.flags[index], command.how, flags) for index in indexes}
    check_count(*expected.values())
    keywords = len(view.keywords)
    if indexes:
        changed, _ = await context.mail.change_flags(view.mailbox_id, uids_at(view, indexes), command.how, flags)
        for entry in changed:
            view.set_flags(entry)
    if len(view.keywords) != keywords:
        yield flags_line(view, context.quirks.keywords)
    for index in indexes:
        if not command.silent or view.flags[index] != expected[index]:
            yield flags_fetch(view, index, uid=command.uid)
    if context.quirks.auto_expunge and indexes and DELETED in flags and command.how is not FlagChange.REMOVE:
        await _expunge_at_once(context, uids_at(view, indexes))
    if vanished:
        yield Tagged("NO", "Some of the messages no longer exist", "EXPUNGEISSUED")  # RFC 2180 §4.2.1, RFC 5530 §3
    else:
        yield Tagged("OK", "Store completed")


async def _expunge_at_once(context: Context, uids: Sequence[int]) -> None:
    """What was marked goes now; the session tells it as soon as it may (RFC 3501 §7.4.1)."""
    view = context.selected
    if context.quirks.auto_expunge == "archive" and view.name not in _NOT_ARCHIVED:
        await context.mail.change_flags(view.mailbox_id, uids, FlagChange.REMOVE, frozenset({DELETED}))
        await context.mail.move(view.mailbox_id, uids, context.account_id, _ARCHIVE)
    else:
        await context.mail.expunge(view.mailbox_id, uids)


def check_count(*flags: Collection[str]) -> None:
    """Refuse more flags than one message may have.

    Raises:
        Refusal: Too many.
    """
    if any(len(some) > FLAGS_LIMIT for some in flags):
        raise Refusal(f"A message has {FLAGS_LIMIT} flags at most", "LIMIT")


def _applied(flags: frozenset[str], how: FlagChange, given: frozenset[str]) -> frozenset[str]:
    match how:
        case FlagChange.ADD:
            return flags | given
        case FlagChange.REMOVE:
            return flags - given
        case FlagChange.REPLACE:
            return given
