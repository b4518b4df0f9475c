"""FETCH and UID FETCH (RFC 3501 §6.4.5): message by message, large bodies piece by piece."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from portyard.commons.effects import Effect, Send
from portyard.commons.mailstore.model import SEEN, FlagChange, Message
from portyard.commons.mailstore.structure import Structure
from portyard.commons.scenario.model import Scalar
from portyard.commons.scenario.obeying import interrupted
from portyard.imap.core.commands.numbers import chosen
from portyard.imap.core.context import Answer, BrokenAnswerError, Context
from portyard.imap.core.fetch_grammar import print_section
from portyard.imap.core.giving_way import give_way
from portyard.imap.core.lexing import print_date_time
from portyard.imap.core.model import BodySection, Fetch, FetchAttribute, FetchItem, Section
from portyard.imap.core.reading import PIECE, structure_of
from portyard.imap.core.replies import Tagged, body_structure, envelope, flag_list, flat
from portyard.imap.core.ruling import moments
from portyard.imap.core.sections import chosen_fields, has_fields_alone, place
from portyard.imap.core.view import View, uids_at

SLICE = 100  # messages whose \Seen is set in one commit; a client that goes away leaves no more of them seen and unread
PLAIN_PIECE = 4096  # a literal up to here is gathered with its neighbours, and the journal shows it

# The old names of three sections (§6.4.5), and whether they leave \Seen alone.
_OLD_NAMES = {
    FetchItem.RFC822: BodySection(Section()),
    FetchItem.RFC822_HEADER: BodySection(Section(text="HEADER"), peek=True),
    FetchItem.RFC822_TEXT: BodySection(Section(text="TEXT")),
}
_IN_VIEW = {FetchItem.FLAGS, FetchItem.UID}


async def fetch(context: Context, command: Fetch) -> AsyncIterator[Answer]:
    """FETCH; the UID variant tells UIDs unasked (§6.4.8)."""
    view = context.selected
    yield await context.news(expunges=False, uid=command.uid)
    indexes, vanished = chosen(view, command.messages, uid=command.uid)
    attributes = command.attributes
    if command.uid and FetchItem.UID not in attributes:
        attributes = (FetchItem.UID, *attributes)
    for start in range(0, len(indexes), SLICE):
        some = indexes[start : start + SLICE]
        if set(attributes) <= _IN_VIEW:
            for index in some:
                yield _in_view_line(view, index, attributes)
        else:
            found = 0
            async for answer in _fetch_slice(context, some, attributes):
                found += answer == b")\r\n"
                yield answer
            vanished |= found < len(some) and not command.uid
        await give_way()
    if vanished:
        yield Tagged("NO", "Some of the messages no longer exist", "EXPUNGEISSUED")  # RFC 2180 §4.1.2, RFC 5530 §3
    else:
        yield Tagged("OK", "Fetch completed")


def _in_view_line(view: View, index: int, attributes: Sequence[FetchAttribute]) -> bytes:
    shown = [
        b"UID %d" % view.uids[index] if item is FetchItem.UID else b"FLAGS " + flag_list(view.shown_flags(index))
        for item in attributes
    ]
    return b"* %d FETCH (%s)\r\n" % (index + 1, b" ".join(shown))


async def _fetch_slice(
    context: Context, indexes: Sequence[int], attributes: tuple[FetchAttribute, ...]
) -> AsyncIterator[Answer]:
    view = context.selected
    seen_now = await _mark_seen(context, indexes) if any(map(_reads, attributes)) else set()
    async for message in context.mail.messages(view.mailbox_id, uids_at(view, indexes)):
        index = view.position(message.uid)
        assert index is not None, "the view keeps what it asked for until it tells the EXPUNGE"
        shown = attributes
        if index in seen_now and FetchItem.FLAGS not in attributes:
            shown = (*attributes, FetchItem.FLAGS)  # §6.4.5: "the flags should be included"
        yield b"* %d FETCH (" % (index + 1)
        one = _One(context, view, index, message)
        for number, attribute in enumerate(shown):
            if number:
                yield b" "
            async for answer in one.answer(attribute):
                yield answer
        yield b")\r\n"


def _reads(attribute: FetchAttribute) -> bool:
    r"""Whether fetching this sets \Seen."""
    attribute = _OLD_NAMES.get(attribute, attribute) if isinstance(attribute, FetchItem) else attribute
    return isinstance(attribute, BodySection) and not attribute.peek


async def _mark_seen(context: Context, indexes: Sequence[int]) -> set[int]:
    r"""Set \Seen where it is missing, unless the mailbox is read-only; the indexes where it is new."""
    view = context.selected
    fresh = [] if view.read_only else [index for index in indexes if SEEN not in view.flags[index]]
    if not fresh:
        return set()
    changed, _ = await context.mail.change_flags(
        view.mailbox_id, uids_at(view, fresh), FlagChange.ADD, frozenset({SEEN})
    )
    return {index for entry in changed if (index := view.set_flags(entry)) is not None}


@dataclass(frozen=True, slots=True)
class _Run:
    """Octets of an answer: a span of the message, or octets of our own."""

    start: int
    end: int
    own: bytes | None = None

    def cut(self, first: int, last: int) -> _Run:
        """The part between two offsets that count from this run's first octet."""
        own = None if self.own is None else self.own[first:last]
        return _Run(self.start + first, min(self.end, self.start + last), own)


class _One:
    """One message's answers."""

    def __init__(self, context: Context, view: View, index: int, message: Message) -> None:
        self._context = context
        self._view = view
        self._index = index
        self._message = message
        self._structure: Structure | None = None

    async def answer(self, attribute: FetchAttribute) -> AsyncIterator[Answer]:
        """A data item's name and value."""
        if isinstance(attribute, BodySection):
            async for answer in self._body_section(flat(_answer_name(attribute)), attribute):
                yield answer
        elif attribute in _OLD_NAMES:
            async for answer in self._body_section(attribute.value.encode(), _OLD_NAMES[attribute]):
                yield answer
        else:
            yield attribute.value.encode() + b" " + await self._item(attribute)

    async def _item(self, item: FetchItem) -> bytes:
        match item:
            case FetchItem.UID:
                return b"%d" % self._message.uid
            case FetchItem.FLAGS:
                return flag_list(self._view.shown_flags(self._index))
            case FetchItem.INTERNALDATE:
                return print_date_time(self._message.internal_date)
            case FetchItem.RFC822_SIZE:
                size = self._message.size
                return b"%d" % (size + size * self._context.quirks.size_error_percent // 100)
            case FetchItem.ENVELOPE:
                return envelope((await self._parsed()).envelope)
        return body_structure((await self._parsed()).part, extensible=item is FetchItem.BODYSTRUCTURE)

    async def _parsed(self) -> Structure:
        if self._structure is None:
            self._structure = await structure_of(self._context.mail, self._message)
        return self._structure

    async def _body_section(self, name: bytes, attribute: BodySection) -> AsyncIterator[Answer]:
        runs = await self._runs(attribute.section)
        if runs is None:
            yield name + b" NIL"  # there is no such part
            return
        if attribute.partial is not None:
            runs = _cut(runs, *attribute.partial)
        size = sum(run.end - run.start for run in runs)
        yield name + (b" {%d}\r\n" % size if size else b' ""')
        try:
            async for answer in self._stream(runs, size):
                yield answer
        except Exception as error:
            raise BrokenAnswerError from error

    async def _stream(self, runs: Sequence[_Run], size: int) -> AsyncIterator[Answer]:
        gate, ruling, sent = self._context.gate, self._context.ruling, 0
        asked = gate is not None and gate.asks("message")
        for run in runs:
            for start in range(run.start, run.end, PIECE):
                end = min(run.end, start + PIECE)
                piece = await self._read(run, start, end)
                if len(piece) != end - start:
                    raise EOFError(f"message {self._message.id} has {len(piece)} octets at {start}, not {end - start}")
                told = 0  # octets of the piece that were handed on before something happened in its midst
                if asked and ruling.heeds_piece(self._view.name, self._index + 1, sent, len(piece), size):
                    async for at, effect in self._interruptions(sent, len(piece), size):
                        if at > told:
                            yield _shown(piece[told:at], size)
                            told = at
                        yield effect
                sent += len(piece)
                yield _shown(piece[told:], size)
                if size > PLAIN_PIECE:
                    await give_way()

    async def _interruptions(self, sent: int, octets: int, size: int) -> AsyncIterator[tuple[int, Effect]]:
        """What is to happen within a piece of a literal, and behind how many of its octets.

        Args:
            sent: Octets of the literal before the piece.
            octets: The piece's.
            size: The literal's.
        """
        number, mailbox = self._index + 1, self._view.name
        for at in moments(sent, octets, size):
            fields: dict[str, Scalar] = {"mailbox": mailbox, "message": number, "octets": sent + at, "size": size}
            async for effect in interrupted(self._context.gate, "message", **fields):
                yield at, effect

    async def _read(self, run: _Run, start: int, end: int) -> bytes:
        if run.own is not None:
            return run.own[start - run.start : end - run.start]
        return await self._context.mail.octets(self._message, start, end - start)

    async def _runs(self, wanted: Section) -> list[_Run] | None:
        """Where the section lies; None when there is no such part."""
        if wanted == Section():
            return [_Run(0, self._message.size)]
        span = place(await self._parsed(), wanted)
        if span is None:
            return None
        if not has_fields_alone(wanted):
            return [_Run(*span)]
        own = chosen_fields(await self._context.mail.octets(self._message, span[0], span[1] - span[0]), wanted)
        return [_Run(0, len(own), own)]


def _shown(octets: bytes, size: int) -> Answer:
    """Octets of a literal of this size."""
    return octets if size <= PLAIN_PIECE else Send(octets, f"«{len(octets)} bytes»")


def _cut(runs: Sequence[_Run], first: int, count: int) -> list[_Run]:
    """The runs' octets from `first` on, `count` of them at most."""
    result: list[_Run] = []
    for run in runs:
        length = run.end - run.start
        low, high = min(first, length), min(first + count, length)
        if low < high:
            result.append(run.cut(low, high))
        taken = high - low
        first, count = max(0, first - length), count - taken
    return result


def _answer_name(attribute: BodySection) -> list[bytes]:
    """The name in the answer: never PEEK, and of a partial fetch only where it begins (§7.4.2)."""
    begin = b"" if attribute.partial is None else b"<%d>" % attribute.partial[0]
    return [b"BODY[", *print_section(attribute.section), b"]" + begin]
