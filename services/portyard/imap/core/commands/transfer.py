"""COPY and MOVE, with their UID kin (RFC 3501 §6.4.7, RFC 6851, RFC 4315 §3)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from portyard.commons.mailstore.model import NoSuchMailboxError
from portyard.imap.core.commands.numbers import chosen
from portyard.imap.core.context import Answer, Context
from portyard.imap.core.model import Copy, Move
from portyard.imap.core.replies import Refusal, Tagged, compact_set, status_line
from portyard.imap.core.view import uids_at


async def transfer(context: Context, command: Copy | Move) -> AsyncIterator[Answer]:
    """COPY and MOVE: all or nothing; MOVE tells COPYUID before the EXPUNGEs (RFC 6851 §4.3)."""
    name = type(command).__name__
    moving = isinstance(command, Move)
    view = context.writable if moving else context.selected
    yield await context.news(expunges=False, uid=command.uid)
    indexes, vanished = chosen(view, command.messages, uid=command.uid)
    if vanished:
        raise Refusal("Some of the messages no longer exist", "EXPUNGEISSUED")  # RFC 2180 §4.4.1
    if not indexes:
        yield Tagged("OK", f"No messages for {name.upper()}")
        return
    act = context.mail.move if moving else context.mail.copy
    try:
        copied = await act(view.mailbox_id, uids_at(view, indexes), context.account_id, command.mailbox)
    except NoSuchMailboxError:
        raise Refusal("No such mailbox", "TRYCREATE") from None  # RFC 3501 §6.4.7
    code = None
    if copied.source:
        code = f"COPYUID {copied.uid_validity} {compact_set(copied.source)} {compact_set(copied.target)}"
    if moving and code:
        yield status_line("*", "OK", "Moved", code)
        code = None
    yield Tagged("OK", f"{name} completed", code)
