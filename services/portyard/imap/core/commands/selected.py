"""The selected mailbox: NOOP, CHECK, IDLE, CLOSE, UNSELECT, EXPUNGE (RFC 3501 §6.4; RFC 2177; RFC 3691; RFC 4315)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from portyard.commons.effects import Unwatch, Watch
from portyard.commons.scenario.quirks import worded
from portyard.imap.core.context import Answer, Context, Dialogue
from portyard.imap.core.model import Check, Close, Expunge, Idle, Noop, Unselect
from portyard.imap.core.replies import Refusal, Tagged
from portyard.imap.core.view import uids_at


async def noop(_context: Context, command: Noop | Check) -> AsyncIterator[Answer]:
    """NOOP and CHECK (§6.1.2, §6.4.1): the session tells what changed, as after each command."""
    yield Tagged("OK", f"{type(command).__name__} completed")


async def idle(context: Context, _command: Idle) -> AsyncIterator[Answer]:
    """IDLE (RFC 2177 §3)."""

    async def done(line: bytes) -> AsyncIterator[Answer]:
        if context.view is not None:
            yield Unwatch()
        if line.upper() != b"DONE":
            raise Refusal("Expected DONE", status="BAD")
        yield Tagged("OK", "Idle completed")

    if context.view is not None:
        yield Watch(context.view.mailbox_id)
    yield f"+ {worded(context.quirks.replies, 'idling', context.offer.facts, 'idling')}\r\n".encode()
    yield Dialogue(done, watching=True)


async def close(context: Context, _command: Close) -> AsyncIterator[Answer]:
    """CLOSE (§6.4.2): expunges without a word, unless the mailbox is read-only."""
    view = context.selected
    if not view.read_only:
        await context.news(expunges=False)
        await _expunge(context, view.deleted())
    context.view = None
    yield Tagged("OK", "Close completed")


async def unselect(context: Context, _command: Unselect) -> AsyncIterator[Answer]:
    """UNSELECT (RFC 3691 §2)."""
    context.view = None
    yield Tagged("OK", "Unselect completed")


async def expunge(context: Context, command: Expunge) -> AsyncIterator[Answer]:
    """EXPUNGE (§6.4.3) and UID EXPUNGE (RFC 4315 §2.1); the session tells what went."""
    view = context.writable
    yield await context.news(expunges=False)
    deleted = view.deleted()
    if command.uids is not None:
        chosen = set(uids_at(view, view.by_uid(command.uids)))
        deleted = [uid for uid in deleted if uid in chosen]
    await _expunge(context, deleted)
    yield Tagged("OK", "Expunge completed")


async def _expunge(context: Context, uids: list[int]) -> None:
    if uids:
        await context.mail.expunge(context.selected.mailbox_id, uids)
