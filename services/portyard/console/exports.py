"""What the journal and the mail look like in other people's formats: talk, JSON lines, HAR, packets, mbox."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

from portyard.commons.journal import export_pcapng
from portyard.commons.journal.export_sessions import capture, dialogues
from portyard.commons.journal.model import JournalEvent, SessionRecord
from portyard.commons.mailstore.model import MessageGoneError
from portyard.commons.talk.print import journal_talk
from portyard.commons.talk.replay import replayable
from portyard.console import contents, forms, shapes
from portyard.console.calls import JSON, Answer, Call
from portyard.console.core import har
from portyard.console.events import EventReader
from portyard.console.problems import ProblemError
from portyard.console.queries import Boxes, Place
from portyard.console.stored import StoredMail
from portyard.rooms import cards

if TYPE_CHECKING:  # a caller in this process needs no library to be answered
    from aiohttp import web

JSONL = "application/jsonl"
MBOX = "application/mbox"  # RFC 4155 §4
TALK = "text/plain"
PACKETS = export_pcapng.MEDIA_TYPE
MEDIA_TYPES = {"talk": TALK, "test": TALK, "jsonl": JSONL, "har": JSON, "pcapng": PACKETS}
MOST_EVENTS = 300_000  # of a format that is made as a whole
_LONG = 1_000  # events of a session, some ten milliseconds' writing; of a longer one it is done beside the loop
_SLICE = 200  # messages that are looked up in one go
_QUOTED = re.compile(rb"^(?=>*From )", re.MULTILINE)
_RETURNED = re.compile(rb"return-path:[ \t]*<([^>\r\n]*)>", re.IGNORECASE)
_BLANK = re.compile(r"\s")  # the sender on the line between messages is one word (RFC 4155, appendix A)
_ENDINGS = re.compile(rb"\r\n|\r|\n")


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
    await response.prepare(call.request)
    await response.write(first)
    async for part in parts:
        await response.write(part)
    await response.write_eof()
    return response


async def written(reader: EventReader, records: Sequence[SessionRecord], form: str) -> AsyncIterator[bytes]:
    """Sessions in a format, in parts."""
    journal = reader.yard.journal
    if form in ("har", "pcapng"):
        whole = await _whole(reader, records, form)
        yield await asyncio.to_thread(har.har, whole) if form == "har" else await _packets(reader, whole)
        return
    for number, record in enumerate(records):
        await asyncio.sleep(0)  # the store answers without ever waiting: others want their turn
        if form == "jsonl":
            yield b"".join([msgspec.json.encode(event) + b"\n" for event in await reader.of(record)])
        else:
            events = await journal.events(record.id, shown=record.shown)
            yield (b"\n" if number else b"") + await _talk(record, events, form)


async def _talk(record: SessionRecord, events: list[JournalEvent], form: str) -> bytes:
    """One session as a talk; a long one takes seconds, in which others go on."""
    if len(events) <= _LONG:
        return _told(record, events, form)
    return await asyncio.to_thread(_told, record, events, form)


def _told(record: SessionRecord, events: list[JournalEvent], form: str) -> bytes:
    talk = journal_talk(record, events)
    return (replayable(talk) if form == "test" else talk).encode()


async def _packets(reader: EventReader, whole: list[tuple[SessionRecord, list[JournalEvent]]]) -> bytes:
    stored, rooms = StoredMail(reader.yard), cards()
    found = [each for record, events in whole for each in await dialogues(record, events, rooms, stored)]
    return await asyncio.to_thread(capture, found)


async def _whole(
    reader: EventReader, records: Sequence[SessionRecord], form: str
) -> list[tuple[SessionRecord, list[JournalEvent]]]:
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


async def lines(call: Call, events: AsyncIterator[forms.Event]) -> web.StreamResponse:
    """Events as JSON lines."""
    response = _response(JSONL, "events.jsonl")
    await response.prepare(call.request)
    async for event in events:
        await response.write(msgspec.json.encode(event) + b"\n")
    await response.write_eof()
    return response


async def mbox(call: Call, mailboxes: Boxes, fits: Callable[[shapes.Message], bool]) -> web.StreamResponse:
    """The messages of these mailboxes that fit, newest first, as an mbox of the kind that can be read back whole (mboxrd)."""
    response = _response(MBOX, "messages.mbox")
    await response.prepare(call.request)
    place: Place | None = None
    while True:
        places = await call.desk.queries.newest(mailboxes, _SLICE, place)
        async for message in call.desk.queries.listed(mailboxes, [key for _, key in places]):
            if fits(message):
                await response.write(await _entry(call, message))
        if len(places) < _SLICE:
            break
        place = places[-1]
    await response.write_eof()
    return response


async def _entry(call: Call, listed: shapes.Message) -> bytes:
    """One message of an mbox, or nothing when it is gone by now."""
    mail = call.desk.yard.mail
    message = await mail.message(int(listed.id))
    if message is None:
        return b""
    try:
        octets = b"".join([piece async for piece in contents.pieces(mail, message)])
    except MessageGoneError:
        return b""
    returned = _RETURNED.match(octets)  # where it was delivered; what a client appended has but its From
    sender = returned[1].decode(errors="replace") if returned else listed.from_
    sender_word = _BLANK.sub("_", sender or "MAILER-DAEMON").encode("ascii", "replace")
    date = listed.received_at.astimezone(UTC).strftime("%a %b %e %H:%M:%S %Y").encode()
    body = _QUOTED.sub(b">", _ENDINGS.sub(b"\n", octets))
    return b"From %s %s\n%s%s\n" % (sender_word, date, body, b"" if body.endswith(b"\n") else b"\n")


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
