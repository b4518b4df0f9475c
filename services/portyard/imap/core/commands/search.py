"""SEARCH and UID SEARCH (RFC 3501 §6.4.4)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from portyard.imap.core.context import Answer, Context
from portyard.imap.core.decoding import known_charset
from portyard.imap.core.giving_way import give_way
from portyard.imap.core.matching import Candidate, Query, cost, known
from portyard.imap.core.model import Search
from portyard.imap.core.replies import Refusal, Tagged
from portyard.imap.core.search_keys import AndKey, BodyKey, HeaderKey, NotKey, OrKey, SearchKey, SequenceKey, TextKey
from portyard.imap.core.view import View

SLICE = 200  # messages looked at between two breaths
NUMBERS_SENT = 4000  # numbers of the answer printed at once
CHARSETS_SHOWN = (
    "US-ASCII UTF-8 ISO-8859-1 ISO-8859-15 WINDOWS-1252 ISO-2022-JP SHIFT_JIS EUC-JP GB18030 BIG5 EUC-KR KOI8-R"
)


async def search(context: Context, command: Search) -> AsyncIterator[Answer]:
    """SEARCH: the view answers what it can, the rest is read message by message."""
    view = context.selected
    yield await context.news(expunges=False, uid=command.uid)
    query = _query(command, view)
    yield b"* SEARCH"
    pending: list[int] = []
    async for index in _matching(context, query):
        pending.append(view.uids[index] if command.uid else index + 1)
        if len(pending) >= NUMBERS_SENT:
            yield b"".join(b" %d" % number for number in pending)
            pending.clear()
    yield b"".join(b" %d" % number for number in pending) + b"\r\n"
    yield Tagged("OK", "Search completed")


async def _matching(context: Context, query: Query) -> AsyncIterator[int]:
    """The indexes that match, ascending; messages that are gone don't (RFC 2180 §4.3)."""
    view = context.selected
    for start in range(0, len(view), SLICE):
        indexes = range(start, min(start + SLICE, len(view)))
        alive = [index for index in indexes if view.uids[index] not in view.gone]
        answers = {index: known(query, query.key, view, index) for index in alive}
        doubtful = [view.uids[index] for index, answer in answers.items() if answer is None]
        if doubtful:
            async for message in context.mail.messages(view.mailbox_id, doubtful):
                index = view.position(message.uid)
                assert index is not None, "the view doesn't change while it is searched"
                answers[index] = await Candidate(context, query, index, message).matches(query.key)
        for index, answer in answers.items():
            if answer:
                yield index
        await give_way()


def _query(command: Search, view: View) -> Query:
    """The command made ready.

    Raises:
        Refusal: An unknown charset, a string that isn't in it, or a sequence number out of range.
    """
    charset = "utf-8"  # US-ASCII by the RFC; some clients send UTF-8 without saying so
    if command.charset is not None:
        found = known_charset(command.charset)
        if found is None:
            raise Refusal("Unknown charset", f"BADCHARSET ({CHARSETS_SHOWN})")
        charset = found
    key = AndKey(tuple(sorted(command.keys, key=cost)))
    numbers: dict[SequenceKey, frozenset[int]] = {}
    texts: dict[bytes, str] = {}
    for leaf in _leaves(key):
        match leaf:
            case SequenceKey(messages, uid):
                indexes = view.by_uid(messages) if uid else view.by_number(messages)
                if not len(view):
                    indexes = []  # clients that poll say "SEARCH 1:* UNSEEN" without looking whether there is anything
                if indexes is None:
                    raise Refusal("No such sequence number", status="BAD")
                numbers[leaf] = frozenset(indexes)
            case HeaderKey(_, value) | BodyKey(value) | TextKey(value):
                texts[value] = _decoded(value, charset)
    return Query(key, numbers, texts)


def _decoded(value: bytes, charset: str) -> str:
    try:
        return value.decode(charset)
    except UnicodeError:
        raise Refusal(f"A search string isn't {charset}", status="BAD") from None


def _leaves(key: SearchKey) -> Iterator[SearchKey]:
    match key:
        case NotKey(inner):
            yield from _leaves(inner)
        case OrKey(left, right):
            yield from _leaves(left)
            yield from _leaves(right)
        case AndKey(keys):
            for inner in keys:
                yield from _leaves(inner)
        case _:
            yield key
