"""One mailbox as a whole: SELECT, EXAMINE, CREATE, DELETE, RENAME, SUBSCRIBE, STATUS (RFC 3501 §6.3)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from portyard.commons.mailstore.model import DELIMITER, INBOX, SEEN, SYSTEM_FLAGS, Mailbox, NoSuchMailboxError
from portyard.imap.core.context import Answer, Context, flags_line, printed_name
from portyard.imap.core.model import Create, Delete, Examine, Rename, Select, Status, Subscribe, Unsubscribe
from portyard.imap.core.replies import Refusal, Tagged, flag_list, status_line
from portyard.imap.core.view import View

RECENT_SLICE = 1000  # UIDs asked for at once while \Recent messages are counted


async def select(context: Context, command: Select | Examine) -> AsyncIterator[Answer]:
    """SELECT and EXAMINE (§6.3.1, §6.3.2)."""
    context.view = None  # §6.3.1: the old mailbox is left even when the new one can't be opened
    mailbox = await context.mail.mailbox(context.account_id, command.mailbox)
    if mailbox is None:
        raise Refusal("No such mailbox", "NONEXISTENT")
    view = await _open(context, mailbox, read_only=isinstance(command, Examine))
    context.view = view
    yield flags_line(view, context.quirks.keywords)
    keywords = context.quirks.keywords
    lasting = (*view.keywords.values(), "\\*") if keywords is None else keywords
    kept = () if view.read_only else (*SYSTEM_FLAGS, *lasting)
    yield status_line("*", "OK", "Flags kept", f"PERMANENTFLAGS {flag_list(kept).decode()}")
    yield b"* %d EXISTS\r\n* %d RECENT\r\n" % (len(view), len(view.recent))
    unseen = next((index for index, flags in enumerate(view.flags) if SEEN not in flags), None)
    if unseen is not None:
        yield status_line("*", "OK", "First unseen", f"UNSEEN {unseen + 1}")
    yield status_line("*", "OK", "UIDs valid", f"UIDVALIDITY {mailbox.uid_validity}")
    uid_next = max(mailbox.uid_next, view.uids[-1] + 1 if view.uids else 1)
    yield status_line("*", "OK", "Predicted next UID", f"UIDNEXT {uid_next}")
    if view.read_only:
        yield Tagged("OK", "Examine completed", "READ-ONLY", name="selected")
    else:
        yield Tagged("OK", "Select completed", "READ-WRITE", name="selected")


async def _open(context: Context, mailbox: Mailbox, *, read_only: bool) -> View:
    """The view of a mailbox. The mark is taken before the entries are read, so that nothing recent is missed."""
    generation = context.mail.generation(mailbox.id)
    recent_from = mailbox.recent_from
    if not read_only and recent_from < mailbox.uid_next:
        recent_from = await context.mail.claim_recent(mailbox.id)  # §6.3.2: EXAMINE takes no mark away
        generation = context.mail.generation(mailbox.id)
    view = View(mailbox, await context.mail.entries(mailbox.id), recent_from, read_only=read_only)
    view.modseq = max(view.modseq, mailbox.highest_modseq)
    view.generation = generation
    return view


async def create(context: Context, command: Create) -> AsyncIterator[Answer]:
    """CREATE (§6.3.3); a delimiter at the end only says that more will stand below."""
    name = command.mailbox.removesuffix(DELIMITER)
    await context.mail.create(context.account_id, name)
    yield Tagged("OK", "Create completed")


async def delete(context: Context, command: Delete) -> AsyncIterator[Answer]:
    """DELETE (§6.3.4)."""
    if command.mailbox == INBOX:
        raise Refusal("INBOX can't be deleted", "CANNOT")
    mailbox = await context.mail.mailbox(context.account_id, command.mailbox)
    if mailbox is None:
        await _refuse_missing(context, command.mailbox)
    else:
        await context.mail.delete(context.account_id, command.mailbox)
        if context.view is not None and context.view.mailbox_id == mailbox.id:
            context.view = None
    yield Tagged("OK", "Delete completed")


async def _refuse_missing(context: Context, name: str) -> None:
    """A name without a mailbox: one that only has others below it can't be deleted (§6.3.4)."""
    below = name + DELIMITER
    if any(box.name.startswith(below) for box in await context.mail.mailboxes(context.account_id)):
        raise Refusal("There are mailboxes below it", "HASCHILDREN")
    raise NoSuchMailboxError


async def rename(context: Context, command: Rename) -> AsyncIterator[Answer]:
    """RENAME (§6.3.5)."""
    await context.mail.rename(context.account_id, command.mailbox, command.new_name.removesuffix(DELIMITER))
    yield Tagged("OK", "Rename completed")


async def subscribe(context: Context, command: Subscribe | Unsubscribe) -> AsyncIterator[Answer]:
    """SUBSCRIBE and UNSUBSCRIBE (§6.3.6, §6.3.7); a name may be subscribed to without a mailbox."""
    name = command.mailbox.removesuffix(DELIMITER)
    await context.mail.subscribe(context.account_id, name, isinstance(command, Subscribe))
    yield Tagged("OK", f"{type(command).__name__} completed")


async def status(context: Context, command: Status) -> AsyncIterator[Answer]:
    """STATUS (§6.3.10)."""
    mailbox = await context.mail.mailbox(context.account_id, command.mailbox)
    if mailbox is None:
        raise Refusal("No such mailbox", "NONEXISTENT")
    items = [f"{item} {await _status_item(context, mailbox, item)}" for item in command.items]
    yield b"* STATUS " + printed_name(context, context.naming.shown(mailbox.name))
    yield f" ({' '.join(items)})\r\n".encode()
    yield Tagged("OK", "Status completed")


async def _status_item(context: Context, mailbox: Mailbox, item: str) -> int:
    match item:
        case "MESSAGES":
            return mailbox.messages
        case "UIDNEXT":
            return mailbox.uid_next
        case "UIDVALIDITY":
            return mailbox.uid_validity
        case "UNSEEN":
            return mailbox.unseen
    assert item == "RECENT"
    if context.view is not None and context.view.mailbox_id == mailbox.id:
        return len(context.view.recent)
    return await _count_recent(context, mailbox)


async def _count_recent(context: Context, mailbox: Mailbox) -> int:
    count = 0
    for first in range(mailbox.recent_from, mailbox.uid_next, RECENT_SLICE):
        uids = range(first, min(first + RECENT_SLICE, mailbox.uid_next))
        async for _ in context.mail.messages(mailbox.id, uids):
            count += 1
    return count
