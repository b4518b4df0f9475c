"""Operations on a sandbox's mail: lists, messages taken apart, waiting, and what the hops still have."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

from portyard.console import contents, exports, shapes
from portyard.console.calls import JSON, Answer, Call, Desk, Route
from portyard.console.core.matching import Criteria, PatternError, compiled
from portyard.console.problems import ProblemError
from portyard.console.queries import Place
from portyard.console.readable import encoded
from portyard.console.standing import while_it_stands
from portyard.console.streams import begin
from portyard.console.waiting import Wait, fields_of

if TYPE_CHECKING:  # a caller in this process needs no library to be answered
    from aiohttp import web

RAW = "message/rfc822"
BINARY = "application/octet-stream"
LIST_SLICE = 200  # messages that a filtered list looks at in one go


async def list_messages(call: Call) -> Answer:
    """A page of a sandbox's messages, newest first; the Link field leads to the next one (RFC 8288)."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    query: shapes.MessagesQuery = call.query
    found, last = await page(call.desk, sandbox.name, query)
    headers = {} if last is None else call.link(cursor=f"{last[0]}.{last[1]}")
    return Answer(encoded(found), JSON, headers)


async def page(desk: Desk, sandbox: str, query: shapes.MessagesQuery) -> tuple[list[shapes.Message], Place | None]:
    """The messages that fit, as many as wanted, and where to go on; None when there are no more."""
    criteria, mailboxes = criteria_of(query), await desk.queries.mailboxes(sandbox)
    place = _place(query.cursor)
    found: list[shapes.Message] = []
    while True:
        size = LIST_SLICE if criteria.checks else query.limit - len(found)
        places = await desk.queries.newest(mailboxes, size, place)
        dates = {key: date for date, key in places}
        async for message in desk.queries.listed(mailboxes, dates):
            if not criteria.differences(fields_of(message)):
                found.append(message)
            if len(found) == query.limit:
                key = int(message.id)
                return found, (dates[key], key)
        if len(places) < size:
            return found, None
        place = places[-1]


async def get_message(call: Call) -> shapes.WholeMessage:
    """One message with its text and the list of its parts."""
    found = await call.desk.message(call.path["sandbox"], call.path["id"])
    return await contents.whole(call.desk.yard.mail, found.message, await call.desk.queries.shown(found))


async def get_raw(call: Call) -> web.StreamResponse:
    """A message's octets."""
    from aiohttp import web

    found = await call.desk.message(call.path["sandbox"], call.path["id"])
    response = web.StreamResponse(headers={"Content-Type": RAW, "X-Content-Type-Options": "nosniff"})
    response.headers["Content-Disposition"] = f'attachment; filename="{found.message.id}.eml"'
    response.content_length = found.message.size
    pieces = contents.pieces(call.desk.yard.mail, found.message)
    first = await anext(pieces, b"")  # before the status goes out: it may be gone by now
    if await begin(call.request, response):
        await response.write(first)
        async for piece in pieces:
            await response.write(piece)
    await response.write_eof()
    return response


async def get_part(call: Call) -> Answer:
    """A part's content, to be saved, never shown: whoever wrote it is not to be trusted with this site's origin."""
    found = await call.desk.message(call.path["sandbox"], call.path["id"])
    number = call.path["part"]
    part = contents.part_of(found.message, number)
    if part is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"no part {number}", key="part", value=number)
    headers = {"Content-Disposition": saved_as(contents.filename_of(part) or f"part-{number}")}
    return Answer(await contents.content(call.desk.yard.mail, found.message, part), BINARY, headers)


def saved_as(name: str) -> str:
    """A Content-Disposition that saves under this name (RFC 6266 §4.3), as far as one may: no folders, no control characters."""
    safe = "".join(c for c in name.replace("\\", "/").rpartition("/")[2] if c.isprintable()).lstrip(".") or "part"
    plain = "".join(c if c.isascii() and c not in '"%' else "_" for c in safe)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(safe, safe='')}"


async def delete_message(call: Call) -> None:
    """Remove one message."""
    found = await call.desk.message(call.path["sandbox"], call.path["id"])
    await call.desk.yard.mail.expunge(found.message.mailbox_id, [found.message.uid])


async def delete_messages(call: Call) -> None:
    """Remove every message of a sandbox."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    mail = call.desk.yard.mail
    for mailbox_id in await call.desk.queries.mailboxes(sandbox.name):
        await mail.expunge(mailbox_id, [entry.uid for entry in await mail.entries(mailbox_id)])


async def wait_for_messages(call: Call) -> shapes.Waited:
    """Wait until so many messages fit, or (count=0) until none has come for the whole time."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    query: shapes.WaitQuery = call.query
    wait = Wait(call.desk.queries, sandbox.name, criteria_of(query), query.count, query.timeout)
    return await while_it_stands(call.desk, sandbox.name, wait.outcome())


async def list_queue(call: Call) -> list[shapes.QueueEntry]:
    """What waits and what failed, oldest first."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    return await call.desk.queries.queue(sandbox.name)


def criteria_of(query: shapes.Filter) -> Criteria:
    """The checks of a filter.

    Raises:
        ProblemError: 422, a pattern isn't one.
    """
    patterns = {"to": query.to, "from": query.from_, "subject": query.subject}
    checks = {}
    for name, pattern in patterns.items():
        try:
            if pattern is not None:
                checks[name] = compiled(pattern)
        except PatternError as error:
            allowed = "text, a glob, or /a regular expression/"
            raise ProblemError(
                HTTPStatus.UNPROCESSABLE_ENTITY, f"{name}: {error}", key=name, value=pattern, allowed=allowed
            ) from None
    return Criteria(checks)


def _place(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    date, _, key = cursor.partition(".")
    return int(date), int(key)


async def export_messages(call: Call) -> web.StreamResponse:
    """The messages that fit, newest first, as one mbox."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    criteria, mailboxes = criteria_of(call.query), await call.desk.queries.mailboxes(sandbox.name)
    return await exports.mbox(call, mailboxes, lambda message: not criteria.differences(fields_of(message)))


_MESSAGES = "/sandboxes/{sandbox}/messages"
_GONE = HTTPStatus.NO_CONTENT

ROUTES = (
    Route("GET", _MESSAGES, list_messages, "Messages, newest first", list[shapes.Message], shapes.MessagesQuery),
    Route("DELETE", _MESSAGES, delete_messages, "Remove every message", None, status=_GONE),
    Route("GET", f"{_MESSAGES}/wait", wait_for_messages, "Wait for messages", shapes.Waited, shapes.WaitQuery),
    Route(
        "GET", f"{_MESSAGES}/export", export_messages, "Messages as an mbox", exports.MBOX, shapes.Filter, streams=True
    ),
    Route("GET", f"{_MESSAGES}/{{id}}", get_message, "One message, taken apart", shapes.WholeMessage),
    Route("DELETE", f"{_MESSAGES}/{{id}}", delete_message, "Remove a message", None, status=_GONE),
    Route("GET", f"{_MESSAGES}/{{id}}/raw", get_raw, "A message's octets", RAW, streams=True),
    Route("GET", f"{_MESSAGES}/{{id}}/parts/{{part}}", get_part, "A part's content", BINARY),
    Route("GET", "/sandboxes/{sandbox}/queue", list_queue, "Mail that waits or failed", list[shapes.QueueEntry]),
)
