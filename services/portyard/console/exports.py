"""What the journal and the mail look like in other people's formats: talk, JSON lines, HAR, packets, mbox."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC
from http import HTTPStatus
from typing import TYPE_CHECKING

from portyard.commons.journal import export_pcapng
from portyard.commons.journal.export_pcapng import Dialogue
from portyard.commons.journal.export_sessions import capture, dialogues
from portyard.commons.journal.export_stored import Stored
from portyard.commons.journal.model import JournalEvent, SessionRecord
from portyard.commons.mailstore.model import MessageGoneError
from portyard.commons.talk.print import JournalTalk
from portyard.commons.talk.replay import Replay
from portyard.commons.turns import go_on, uncollected
from portyard.console import contents, forms, shapes
from portyard.console.beside import StoredBeside, beside
from portyard.console.calls import JSON, Answer, Call
from portyard.console.core import har
from portyard.console.events import EventReader
from portyard.console.problems import ProblemError
from portyard.console.queries import Boxes, Place
from portyard.console.readable import encoded
from portyard.console.stored import StoredMail
from portyard.console.streams import begin
from portyard.rooms import cards

if TYPE_CHECKING:  # a caller in this process needs no library to be answered
    from aiohttp import web

JSONL = "application/jsonl"
MBOX = "application/mbox"  # RFC 4155 §4
TALK = "text/plain"
PACKETS = export_pcapng.MEDIA_TYPE
MEDIA_TYPES = {"talk": TALK, "test": TALK, "jsonl": JSONL, "har": JSON, "pcapng": PACKETS}
MOST_EVENTS = 300_000  # of a format that is made as a whole
MOST_OCTETS = (
    64 << 20
)  # of the same: of one session as it was noted, and of what is made; they are held some four times
_AT_HAND = 10_000  # events that are there at once, where no session has more
_OCTETS_AT_HAND = 8 << 20
_LONG = 10_000  # characters of a talk, some ten milliseconds' work; more is done beside the loop
_SLICE = 200  # messages that are looked up in one go
_QUOTED = re.compile(rb"^(?=>*From )", re.MULTILINE)
_RETURNED = re.compile(rb"return-path:[ \t]*<([^>\r\n]*)>", re.IGNORECASE)
_BLANK = re.compile(r"\s")  # the sender on the line between messages is one word (RFC 4155, appendix A)
_Whole = list[tuple[SessionRecord, list[JournalEvent]]]


async def session(call: Call, reader: EventReader, record: SessionRecord, form: str) -> Answer | web.StreamResponse:
    """One session, written down.

    Raises:
        ProblemError: 422, this room's sessions can't be written so, or it is too long for a format that has to be made as a whole.
    """
    if form == "har":
        check_exchanges(record.room)
    parts, name = written(reader, [record], form), f"{record.id}.{_ending(form)}"
    if call.wire is not None:
        return await sent(call.wire, parts, MEDIA_TYPES[form], name)
    body = b"".join([part async for part in parts])
    return Answer(body, MEDIA_TYPES[form], {"Content-Disposition": f'attachment; filename="{name}"'})


async def sessions(call: Call, reader: EventReader, records: Sequence[SessionRecord], form: str) -> web.StreamResponse:
    """Several sessions, written down one after the other as the client takes them.

    Raises:
        ProblemError: 422, they are too many for a format that has to be made as a whole.
    """
    return await sent(call.request, written(reader, records, form), MEDIA_TYPES[form], f"sessions.{_ending(form)}")


async def sent(
    request: web.Request, parts: AsyncGenerator[bytes], media_type: str, name: str | None = None
) -> web.StreamResponse:
    """The parts as an answer that is written as its client takes it: a long one is nowhere as a whole."""
    response, first = _response(media_type, name), b""
    async with contextlib.aclosing(parts):
        async for part in parts:  # a refusal comes before the answer's head
            first += part
            if len(first) > contents.PIECE:
                break
        else:
            response.content_length = len(first)
        if await begin(request, response):
            await response.write(first)
            async for part in parts:
                await response.write(part)
    await response.write_eof()
    return response


async def written(reader: EventReader, records: Sequence[SessionRecord], form: str) -> AsyncGenerator[bytes]:
    """Sessions in a format, in parts."""
    if form in ("har", "pcapng"):
        yield await _made(reader, records, form)
        return
    for number, record in enumerate(records):
        await asyncio.sleep(0)  # the store answers without ever waiting: others want their turn
        if form == "jsonl":
            async with contextlib.aclosing(reader.paged(record)) as pages:
                async for page in pages:
                    yield b"".join([encoded(event) + b"\n" for event in page])
        else:
            if number:
                yield b"\n"
            async with contextlib.aclosing((test if form == "test" else talk)(reader, record)) as parts:
                async for part in parts:
                    yield part.encode("utf-8", "backslashreplace")


async def talk(reader: EventReader, record: SessionRecord) -> AsyncGenerator[str]:
    """One session as a talk, in parts."""
    told = JournalTalk(record)
    async with contextlib.aclosing(reader.yard.journal.paged(record.id, shown=record.shown)) as pages:
        async for page in pages:
            yield told.lines(page)
    yield told.lines(())  # of a session without events its head alone


async def test(reader: EventReader, record: SessionRecord) -> AsyncGenerator[str]:
    """The same as one that runs again; of a long text it takes seconds, in which others go on."""
    again = Replay()
    async with contextlib.aclosing(talk(reader, record)) as parts:
        async for part in parts:
            lines = again.lines(part.removesuffix("\n")) if part else iter(())
            while text := await beside(_next, lines) if len(part) > _LONG else _next(lines):
                yield text


def _next(lines: Iterator[str]) -> str:
    """Some lines: of a message that was counted there are as many as it had."""
    text: list[str] = []
    size = 0
    while size < contents.PIECE and (line := next(lines, None)) is not None:
        go_on()
        text.append(f"{line}\n")
        size += len(line)
    return "".join(text)


async def _made(reader: EventReader, records: Sequence[SessionRecord], form: str) -> bytes:
    """The sessions in a format that is made as a whole."""
    with uncollected():
        return await (_archive if form == "har" else _packets)(reader, records)


async def _archive(reader: EventReader, records: Sequence[SessionRecord]) -> bytes:
    archive = har.Archive()
    async for some in _whole(reader, records, "har"):
        await beside(_add, archive, some)
    return await beside(archive.whole)


def _add(archive: har.Archive, some: _Whole) -> None:
    for record, events in some:
        for _ in archive.add(record, events):
            go_on()
            _check(archive.octets, MOST_OCTETS, "octets", "har")


async def _packets(reader: EventReader, records: Sequence[SessionRecord]) -> bytes:
    stored, found, octets = StoredBeside(StoredMail(reader.yard)), [], 0
    async for some in _whole(reader, records, "pcapng"):
        told, octets = await beside(lambda: asyncio.run(_told(some, stored, octets)))  # noqa: B023 - it ends here
        found += told
    return await beside(capture, found)


async def _told(whole: _Whole, stored: Stored, octets: int) -> tuple[list[Dialogue], int]:
    """The sessions' dialogues, and how many octets there are with those before."""
    rooms, found = cards(), []
    for record, events in whole:
        told = await dialogues(record, events, rooms, stored)
        octets += sum(len(piece.kept) for dialogue in told for piece in dialogue.pieces)
        _check(octets, MOST_OCTETS, "octets", "pcapng")
        found += told
    return found, octets


async def _whole(reader: EventReader, records: Sequence[SessionRecord], form: str) -> AsyncIterator[_Whole]:
    """The sessions with all their events, as many at a time as are worth a thread's beginning."""
    found: _Whole = []
    count = at_hand = octets = 0
    for record in records:
        await asyncio.sleep(0)
        events: list[JournalEvent] = []
        async with contextlib.aclosing(reader.yard.journal.paged(record.id, shown=record.shown)) as pages:
            async for page in pages:
                events += page
                octets += sum([_octets(event.fields) for event in page])
                _check(count + len(events), MOST_EVENTS, "events", form)
                _check(octets, MOST_OCTETS, "octets", form)
        count, at_hand = count + len(events), at_hand + len(events)
        found.append((record, events))
        if at_hand >= _AT_HAND or octets >= _OCTETS_AT_HAND:
            yield found
            found, at_hand, octets = [], 0, 0
    if found:
        yield found


def _octets(value: object) -> int:
    """What the texts among an event's fields take in memory."""
    match value:
        case str():
            return sys.getsizeof(value)
        case dict():
            return sum([_octets(each) for each in value.values()])
        case list():
            return sum([_octets(each) for each in value])
    return 0


def _check(count: int, most: int, what: str, form: str) -> None:
    """Hold against its bound what is made as a whole.

    Raises:
        ProblemError: 422, there is more.
    """
    if count > most:
        detail = f"format: these sessions have more than {most:,} {what}, and a {form} is made as a whole"
        allowed = "talk or jsonl, or fewer sessions: room=, session=, limit="
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail, key="format", value=form, allowed=allowed)


def _ending(form: str) -> str:
    return "talk" if form == "test" else form


def check_exchanges(room: str) -> None:
    """See that a room's sessions can be a HAR.

    Raises:
        ProblemError: 422, they can't.
    """
    if room not in har.ROOMS:
        detail = f"format: a session of {room} holds no HTTP exchanges"
        allowed = [form for form in MEDIA_TYPES if form != "har"]
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail, key="format", value="har", allowed=allowed)


async def lines(call: Call, events: AsyncGenerator[forms.Event]) -> web.StreamResponse:
    """Events as JSON lines."""
    response = _response(JSONL, "events.jsonl")
    if not await begin(call.request, response):
        return response
    some = bytearray()
    async with contextlib.aclosing(events):
        async for event in events:
            some += encoded(event)
            some += b"\n"
            if len(some) >= contents.PIECE:  # a line by itself would be a chunk, and a call of the system
                await response.write(bytes(some))
                some.clear()
    await response.write(bytes(some))
    await response.write_eof()
    return response


async def mbox(call: Call, mailboxes: Boxes, fits: Callable[[shapes.Message], bool]) -> web.StreamResponse:
    """The messages of these mailboxes that fit, newest first, as an mbox of the kind that can be read back whole (mboxrd)."""
    response = _response(MBOX, "messages.mbox")
    if not await begin(call.request, response):
        return response
    place: Place | None = None
    while True:
        places = await call.desk.queries.newest(mailboxes, _SLICE, place)
        async for message in call.desk.queries.listed(mailboxes, [key for _, key in places]):
            if fits(message):
                async for part in _entry(call, message):
                    await response.write(part)
        if len(places) < _SLICE:
            break
        place = places[-1]
    await response.write_eof()
    return response


async def _entry(call: Call, listed: shapes.Message) -> AsyncIterator[bytes]:
    """One message of an mbox in parts, or nothing when it is gone by now."""
    mail = call.desk.yard.mail
    message = await mail.message(int(listed.id))
    if message is None:
        return
    try:
        octets = b"".join([piece async for piece in contents.pieces(mail, message)])
    except MessageGoneError:
        return
    returned = _RETURNED.match(octets)  # where it was delivered; what a client appended has but its From
    sender = returned[1].decode(errors="replace") if returned else listed.from_
    sender_word = _BLANK.sub("_", sender or "MAILER-DAEMON").encode("ascii", "replace")
    date = listed.received_at.astimezone(UTC).strftime("%a %b %e %H:%M:%S %Y").encode()
    yield b"From %s %s\n" % (sender_word, date)
    for lines in _some_lines(octets):
        yield _QUOTED.sub(b">", lines.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
        await asyncio.sleep(0)  # many of them take as long as nobody else may wait
    yield b"\n" if octets.endswith((b"\r", b"\n")) else b"\n\n"


def _some_lines(octets: bytes) -> Iterator[bytes]:
    """The lines of a message, some at a time."""
    start = 0
    while start < len(octets):
        end = octets.find(b"\n", start + contents.PIECE) + 1 or len(octets)
        yield octets[start:end]
        start = end


def _response(media_type: str, name: str | None) -> web.StreamResponse:
    from aiohttp import web

    saved = {"Content-Disposition": f'attachment; filename="{name}"'} if name else {}
    kind = f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type
    careful = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return web.StreamResponse(headers={"Content-Type": kind, **saved, **careful})
