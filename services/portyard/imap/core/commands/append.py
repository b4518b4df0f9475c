"""APPEND (RFC 3501 §6.3.11, RFC 4315 §3)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from portyard.commons.mailstore.model import NoSuchMailboxError
from portyard.imap.core.commands.flags import check_count
from portyard.imap.core.context import Answer, Context
from portyard.imap.core.model import Append
from portyard.imap.core.replies import Refusal, Tagged


async def append(context: Context, command: Append) -> AsyncIterator[Answer]:
    """APPEND: all of it or nothing; it is committed when OK is said."""
    check_count(command.flags)
    try:
        appended = await context.mail.append(
            context.account_id,
            command.mailbox,
            command.message,
            flags=context.kept(command.flags),
            internal_date=command.internal_date or context.now(),  # RFC 3501 §6.3.11: without one, the current time
        )
    except NoSuchMailboxError:
        raise Refusal("No such mailbox", "TRYCREATE") from None  # §6.3.11
    yield Tagged("OK", "Append completed", f"APPENDUID {appended.uid_validity} {appended.uid}")
