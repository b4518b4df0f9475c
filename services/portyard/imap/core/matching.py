"""Does a message match SEARCH's keys (RFC 3501 §6.4.4)? What the view knows is asked first, octets are read last and in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import date
from email.utils import parsedate_tz

from portyard.commons.mailstore.model import SEEN, Message
from portyard.commons.mailstore.structure import Part, Structure
from portyard.imap.core.context import Context
from portyard.imap.core.decoding import Finder, PartDecoder, header_text
from portyard.imap.core.giving_way import give_way
from portyard.imap.core.reading import PIECE, structure_of
from portyard.imap.core.search_keys import (
    AllKey,
    AndKey,
    BodyKey,
    DateKey,
    FlagKey,
    HeaderKey,
    NotKey,
    OrKey,
    RecentKey,
    SearchKey,
    SequenceKey,
    SizeKey,
    TextKey,
)
from portyard.imap.core.view import View


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked, made ready.

    Attributes:
        key: All of it.
        numbers: The indexes that each sequence set means.
        texts: Each search string, decoded.
    """

    key: SearchKey
    numbers: dict[SequenceKey, frozenset[int]]
    texts: dict[bytes, str]


def known(query: Query, key: SearchKey, view: View, index: int) -> bool | None:
    """The answer as far as the view knows it; None when the message must be looked at."""
    match key:
        case AllKey():
            return True
        case FlagKey(flag, present):
            return _has_flag(view, index, flag) is present
        case RecentKey(kind):
            recent = view.uids[index] in view.recent
            return (not recent) if kind == "OLD" else recent and (kind == "RECENT" or SEEN not in view.flags[index])
        case SequenceKey():
            return index in query.numbers[key]
        case NotKey(inner):
            answer = known(query, inner, view, index)
            return None if answer is None else not answer
        case OrKey(left, right):
            return _any(known(query, side, view, index) for side in (left, right))
        case AndKey(keys):
            answer = _any(_negated(known(query, inner, view, index)) for inner in keys)
            return _negated(answer)
    return None


def _has_flag(view: View, index: int, flag: str) -> bool:
    if not flag.startswith("\\"):
        flag = view.keywords.get(flag.lower(), flag)
    return flag in view.flags[index]


def _negated(answer: bool | None) -> bool | None:
    return None if answer is None else not answer


def _any(answers: Iterable[bool | None]) -> bool | None:
    """Kleene's or."""
    result: bool | None = False
    for answer in answers:
        if answer:
            return True
        if answer is None:
            result = None
    return result


def cost(key: SearchKey) -> int:
    """How dear a key is: 0 the view knows, 1 the message's row, 2 its header, 3 its body."""
    match key:
        case SizeKey() | DateKey(sent=False):
            return 1
        case HeaderKey() | DateKey():
            return 2
        case BodyKey() | TextKey():
            return 3
        case NotKey(inner):
            return cost(inner)
        case OrKey(left, right):
            return max(cost(left), cost(right))
        case AndKey(keys):
            return max(map(cost, keys))
    return 0


class Candidate:
    """A message about which the view alone couldn't say.

    Args:
        context: The session's.
        query: What is asked.
        index: The message's place in the view.
        message: The message.
    """

    def __init__(self, context: Context, query: Query, index: int, message: Message) -> None:
        self._context = context
        self._query = query
        self._index = index
        self._message = message
        self._structure: Structure | None = None
        self._header: bytes | None = None

    async def matches(self, key: SearchKey) -> bool:
        """The answer."""
        answer = known(self._query, key, self._context.selected, self._index)
        if answer is not None:
            return answer
        match key:
            case NotKey(inner):
                return not await self.matches(inner)
            case OrKey(left, right):
                first, second = sorted((left, right), key=cost)
                return await self.matches(first) or await self.matches(second)
            case AndKey(keys):
                for inner in sorted(keys, key=cost):
                    if not await self.matches(inner):
                        return False
                return True
            case SizeKey(larger, octets):
                return self._message.size > octets if larger else self._message.size < octets
            case DateKey(when, day, sent):
                return _compare(await self._sent() if sent else self._message.internal_date.date(), when, day)
            case HeaderKey(name, value):
                return await self._in_header(name, self._query.texts[value])
            case BodyKey(value):
                return await self._in_body(Finder(self._query.texts[value]))
            case TextKey(value):
                return await self._in_text(self._query.texts[value])
        raise TypeError(f"no search key: {key!r}")

    async def _parsed(self) -> Structure:
        if self._structure is None:
            self._structure = await structure_of(self._context.mail, self._message)
        return self._structure

    async def _header_octets(self) -> bytes:
        if self._header is None:
            part = (await self._parsed()).part
            self._header = await self._context.mail.octets(self._message, 0, part.body_start)
        return self._header

    async def _sent(self) -> date | None:
        """The Date field's day as written, its time and zone left aside."""
        written = (await self._parsed()).envelope.date
        try:
            parsed = parsedate_tz(written.decode("latin-1")) if written else None
            return date(*parsed[:3]) if parsed else None
        except (ValueError, TypeError, IndexError, OverflowError):
            return None  # a Date that is none

    async def _in_header(self, name: bytes, text: str) -> bool:
        wanted = name.lower()
        fields = [field for field in (await self._parsed()).fields if field.name == wanted]
        if not fields or not text:
            return bool(fields)
        header, needle = await self._header_octets(), text.casefold()
        return any(needle in header_text(header[field.value : field.end]).casefold() for field in fields)

    async def _in_text(self, text: str) -> bool:
        if text.casefold() in header_text(await self._header_octets()).casefold():
            return True
        return await self._in_body(Finder(text))

    async def _in_body(self, finder: Finder) -> bool:
        """In the text parts, and in the headers of parts and messages inside; other parts hold no text to find."""
        if finder.found:
            return True
        root = (await self._parsed()).part
        for part in root.walk():
            if part is not root:
                header = await self._context.mail.octets(
                    self._message, part.header_start, min(PIECE, part.body_start - part.header_start)
                )
                if finder.feed("\n" + header_text(header) + "\n"):
                    return True
            if part.kind.startswith("text/"):
                async for text in self._text(part):
                    if finder.feed(text):
                        return True
        return False

    async def _text(self, part: Part) -> AsyncIterator[str]:
        decoder = PartDecoder(part.encoding, part.parameter(b"charset"))
        for start in range(part.body_start, part.body_end, PIECE):
            length = min(PIECE, part.body_end - start)
            octets = await self._context.mail.octets(self._message, start, length)
            yield decoder.feed(octets, final=start + length >= part.body_end)
            await give_way()


def _compare(found: date | None, when: str, day: date) -> bool:
    if found is None:
        return False
    return {"BEFORE": found < day, "ON": found == day, "SINCE": found >= day}[when]
