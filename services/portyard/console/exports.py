"""What the journal and the mail look like in other people's formats: talk, JSON lines, HAR, packets, mbox."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC
from http import HTTPStatus
from typing import TYPE_CHECKING

from portyard.commons.journal import export_pcapng
from portyard.commons.journal.export_sessions import capture, dialogues
from portyard.commons.journal.export_stored import Stored
from portyard.commons.journal.model import JournalEvent, SessionRecord
from portyard.commons.mailstore.model import MessageGoneError
from portyard.commons.talk.print import JournalTalk
from portyard.commons.talk.replay import replayable
from portyard.commons.turns import uncollected
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
MOST_OCTETS = 64 << 20  # of a capture, with the messages that it shows; in the making they are held some four times
_LONG = 10_000  # characters of a talk, some ten milliseconds' work; more is done beside the loop
_SLICE = 200  # messages that are looked up in one go
_QUOTED = re.compile(rb"^(?=>*From )", re.MULTILINE)
_RETURNED = re.compile(rb"return-path:[ \t]*<([^>\r\n]*)>", re.IGNORECASE)
_BLANK = re.compile(r"\s")  # the sender on the line between messages is one word (RFC 4155, appendix A)
_Whole = list[tuple[SessionRecord, list[JournalEvent]]]


async def session(reader: EventReader, record: SessionRecord, form: str) -> Answer:
    """One session, written down.

    Raises:
        ProblemError: 422, this room's sessions can't be written so.
    """
    if form == "har":
        check_exchanges(record.room)
    body = b"".join([part async for part in written(reader, [record], form)])
    saved = {"Content-Disposition": f'attachment; filename="{record.id}.{_ending(form)}"'}
    return Answer(body, MEDIA_TYPES[form], saved)


async def sessions(call: Call, reader: EventReader, records: Sequence[SessionRecord], form: str) -> web.StreamResponse:
    """Several sessions, written down one after the other as the client takes them.

    Raises:
        ProblemError: 422, they are too many for a format that has to be made as a whole.
    """
    parts = written(reader, records, form)
    first = await anext(parts, b"")  # a refusal comes before the answer's head
    response = _response(MEDIA_TYPES[form], f"sessions.{_ending(form)}")
    if await begin(call.request, response):
        await response.write(first)
        async for part in parts:
            await response.write(part)
    await response.write_eof()
    return response


async def written(reader: EventReader, records: Sequence[SessionRecord], form: str) -> AsyncIterator[bytes]:
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
            async with contextlib.aclosing(talk(reader, record)) as parts:
                if form == "test":
                    yield await _test("".join([part async for part in parts]))
                else:
                    async for part in parts:
                        yield part.encode("utf-8", "backslashreplace")


async def talk(reader: EventReader, record: SessionRecord) -> AsyncGenerator[str]:
    """One session as a talk, in parts."""
    told = JournalTalk(record)
    async with contextlib.aclosing(reader.yard.journal.paged(record.id, shown=record.shown)) as pages:
        async for page in pages:
            yield told.lines(page)
    yield told.lines(())  # of a session without events its head alone


async def _test(text: str) -> bytes:
    """A talk as one that runs again; for a long one it takes seconds, in which others go on."""
    return (replayable(text) if len(text) <= _LONG else await beside(replayable, text)).encode(
        "utf-8", "backslashreplace"
    )


async def _made(reader: EventReader, records: Sequence[SessionRecord], form: str) -> bytes:
    """The sessions in a format that is made as a whole."""
    with uncollected():
        return await (_archive if form == "har" else _packets)(reader, records)


async def _archive(reader: EventReader, records: Sequence[SessionRecord]) -> bytes:
    return await beside(har.har, await _whole(reader, records, "har"))


async def _packets(reader: EventReader, records: Sequence[SessionRecord]) -> bytes:
    whole, stored = await _whole(reader, records, "pcapng"), StoredBeside(StoredMail(reader.yard))
    return await beside(lambda: asyncio.run(_captured(whole, stored)))


async def _captured(whole: _Whole, stored: Stored) -> bytes:
    rooms, found, octets = cards(), [], 0
    for record, events in whole:
        told = await dialogues(record, events, rooms, stored)
        octets += sum(len(piece.kept) for dialogue in told for piece in dialogue.pieces)
        if octets > MOST_OCTETS:
            detail = f"format: these sessions have more than {MOST_OCTETS:,} octets, and a pcapng is made as a whole"
            allowed = "talk or jsonl, or fewer sessions: room=, session=, limit="
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail, key="format", value="pcapng", allowed=allowed)
        found += told
    return capture(found)


async def _whole(reader: EventReader, records: Sequence[SessionRecord], form: str) -> _Whole:
    found, count = [], 0
    for record in records:
        await asyncio.sleep(0)
        events = await reader.yard.journal.events(record.id, shown=record.shown)
        count += len(events)
        if count > MOST_EVENTS:
            detail = f"format: these sessions have more than {MOST_EVENTS:,} events, and a {form} is made as a whole"
            allowed = "talk or jsonl, or fewer sessions: room=, session=, limit="
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail, key="format", value=form, allowed=allowed)
        found.append((record, events))
    return found


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


def _response(media_type: str, name: str) -> web.StreamResponse:
    from aiohttp import web

    return web.StreamResponse(
        headers={
            "Content-Type": media_type,
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }
    )
