"""What the journal and the mail look like in other people's formats: talk, JSON lines, HAR, mbox."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC
from http import HTTPStatus

import msgspec
from aiohttp import web

from portyard.commons.journal.model import JournalEvent, SessionRecord
from portyard.commons.mailstore.model import MessageGoneError
from portyard.commons.talk.print import journal_talk
from portyard.console import contents, forms, shapes
from portyard.console.calls import JSON, Answer, Call
from portyard.console.core import har
from portyard.console.problems import ProblemError
from portyard.console.queries import Boxes, Place

JSONL = "application/jsonl"
MBOX = "application/mbox"  # RFC 4155 §4
TALK = "text/plain"
_SLICE = 200  # messages that are looked up in one go
_QUOTED = re.compile(rb"^(?=>*From )", re.MULTILINE)
_ENDINGS = re.compile(rb"\r\n|\r|\n")


def session(record: SessionRecord, events: Sequence[JournalEvent], form: str) -> Answer:
    """One session, written down.

    Raises:
        ProblemError: 422, this room's sessions can't be written so.
    """
    match form:
        case "jsonl":
            body = b"".join(msgspec.json.encode(event) + b"\n" for event in shown(record, events))
            return Answer(body, JSONL, _saved(record, "jsonl"))
        case "har":
            if record.room not in har.ROOMS:
                detail = f"format: a session of {record.room} holds no HTTP exchanges"
                raise ProblemError(
                    HTTPStatus.UNPROCESSABLE_ENTITY, detail, key="format", value=form, allowed=["talk", "jsonl"]
                )
            return Answer(har.har(record, events), JSON, _saved(record, "har"))
    return Answer(journal_talk(record, events).encode(), TALK, _saved(record, "talk"))


def shown(record: SessionRecord, events: Sequence[JournalEvent]) -> list[forms.Event]:
    """A session's events as the API shows them."""
    return [
        forms.Event(
            f"{record.id}.{event.seq}",
            record.id,
            record.room,
            record.service,
            event.seq,
            event.at,
            event.kind,
            event.fields,
        )
        for event in events
    ]


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
    sender = (listed.from_ or "MAILER-DAEMON").encode("ascii", "replace").replace(b" ", b"_")
    date = listed.received_at.astimezone(UTC).strftime("%a %b %e %H:%M:%S %Y").encode()
    body = _QUOTED.sub(b">", _ENDINGS.sub(b"\n", octets))
    return b"From %s %s\n%s%s\n" % (sender, date, body, b"" if body.endswith(b"\n") else b"\n")


def _response(media_type: str, name: str) -> web.StreamResponse:
    return web.StreamResponse(
        headers={
            "Content-Type": media_type,
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }
    )


def _saved(record: SessionRecord, ending: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{record.id}.{ending}"'}
