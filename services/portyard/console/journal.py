"""Operations on a sandbox's journal: sessions, their talks and other exports, events as they are and as they come."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from portyard.commons.hints import did_you_mean
from portyard.commons.journal.model import KINDS, SessionRecord
from portyard.console import exports, forms, shapes
from portyard.console.calls import JSON, Answer, Call, Desk, Route
from portyard.console.core import har
from portyard.console.core.matching import Check, Criteria, PatternError, compiled, likeness
from portyard.console.event_waits import EventWait
from portyard.console.events import OWN_ROOM, EventReader, Follower, Place, Selection
from portyard.console.problems import ProblemError
from portyard.console.readable import encoded, readable
from portyard.console.standing import ending, while_it_stands
from portyard.console.streams import begin
from portyard.rooms import ROOMS

if TYPE_CHECKING:  # a caller in this process needs no library to be answered
    from aiohttp import web

TALK = "text/plain"
SSE = "text/event-stream"
_SOME = 500  # sessions of one look at the list
BEAT_S = 15.0  # without an event, until a comment shows that the stream is alive


async def list_sessions(call: Call) -> list[shapes.Session]:
    """A page of a sandbox's sessions, newest first."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    query: shapes.SessionsQuery = call.query
    if query.room is not None:
        _check_name("room", query.room, ROOMS)
    return await sessions(call.desk, sandbox.name, query)


async def sessions(desk: Desk, sandbox: str, query: shapes.SessionsQuery) -> list[shapes.Session]:
    """The sessions of a page; connections to the console itself are none."""
    await desk.yard.settle()
    found: list[shapes.Session] = []
    before = query.before
    while len(found) < query.limit:
        some = await desk.yard.journal.sessions(sandbox, room=query.room, limit=query.limit, before=before)
        found += [shapes.Session(**_record_fields(record)) for record in some if record.room != OWN_ROOM]
        if len(some) < query.limit:
            break
        before = some[-1].id
    return found[: query.limit]


async def get_session(call: Call) -> Answer | web.StreamResponse:
    """One session with its events."""
    record = await session_of(call.desk, call.path["sandbox"], call.path["id"])
    return await _answered(call, _session(call.desk, record), JSON)


async def _session(desk: Desk, record: SessionRecord) -> AsyncGenerator[bytes]:
    """A session's JSON in parts: as a whole, a long one would take long to write."""
    yield encoded(shapes.Session(**_record_fields(record)))[:-1] + b',"events":['
    between = b""
    async with contextlib.aclosing(desk.yard.journal.paged(record.id, shown=record.shown)) as pages:
        async for page in pages:
            shown = [shapes.SessionEvent(event.seq, event.at, event.kind, event.fields) for event in page]
            if shown:
                yield between + encoded(shown)[1:-1]
                between = b","
    yield b"]}"


async def get_talk(call: Call) -> Answer | web.StreamResponse:
    """One session as a talk."""
    record = await session_of(call.desk, call.path["sandbox"], call.path["id"])
    return await _answered(call, _talk(call.desk, record), TALK)


async def _talk(desk: Desk, record: SessionRecord) -> AsyncGenerator[bytes]:
    async with contextlib.aclosing(exports.talk(EventReader(desk.yard), record)) as parts:
        async for part in parts:
            yield readable(part).encode()


async def _answered(call: Call, parts: AsyncGenerator[bytes], media_type: str) -> Answer | web.StreamResponse:
    """What may be long: as it is made, or for a caller in this process as a whole."""
    if call.wire is not None:
        return await exports.sent(call.wire, parts, media_type)
    return Answer(b"".join([part async for part in parts]), media_type, {})


async def talk_of(desk: Desk, record: SessionRecord, most: int) -> tuple[str, bool]:
    """A session as a talk's text, at least so many octets of it, and whether that is the whole."""
    found = bytearray()
    async with contextlib.aclosing(_talk(desk, record)) as parts:
        async for part in parts:
            if len(found) >= most and part:
                return found.decode(), False
            found += part
    return found.decode(), True


async def session_of(desk: Desk, sandbox: str, session_id: str, key: str = "id") -> SessionRecord:
    """A sandbox's session; `key` is what the id is called in a refusal.

    Raises:
        ProblemError: 404, there is none.
    """
    owner = await desk.sandbox(sandbox)
    await desk.yard.settle()
    record = await desk.yard.journal.session(session_id, owner.name)
    if record is None or record.sandbox != owner.name:
        detail = f"no session {session_id} in sandbox {sandbox}"
        raise ProblemError(HTTPStatus.NOT_FOUND, detail, key=key, value=session_id, allowed="an id that the list shows")
    return record


def _record_fields(record: SessionRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in shapes.Session.__struct_fields__}


async def export_session(call: Call) -> Answer | web.StreamResponse:
    """One session in another format."""
    record = await session_of(call.desk, call.path["sandbox"], call.path["id"])
    query: forms.ExportQuery = call.query
    return await exports.session(call, EventReader(call.desk.yard), record, query.format)


async def export_sessions(call: Call) -> web.StreamResponse:
    """A sandbox's sessions, or some, in another format, oldest first."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    query: forms.ExportSomeQuery = call.query
    if query.room is not None:
        _check_name("room", query.room, ROOMS)
        if query.format == "har":
            exports.check_exchanges(query.room)
    reader = EventReader(call.desk.yard)
    if query.session is not None:
        named = dict.fromkeys(query.session.split(","))
        records = [await session_of(call.desk, sandbox.name, each, "session") for each in named]
    else:
        records = await _records(call.desk, sandbox.name, query.room)
    if query.session is not None and query.format == "har":
        for record in records:
            exports.check_exchanges(record.room)
    fitting = [
        record
        for record in records
        if query.room in (None, record.room) and (query.format != "har" or record.room in har.ROOMS)
    ]
    newest = fitting if query.limit is None else fitting[-query.limit :]
    return await exports.sessions(call, reader, newest, query.format)


async def _records(desk: Desk, sandbox: str, room: str | None) -> list[SessionRecord]:
    """All of a sandbox's sessions, oldest first."""
    journal, before = desk.yard.journal, None
    await desk.yard.settle()
    found: list[SessionRecord] = []
    while some := await journal.sessions(sandbox, room=room, limit=_SOME, before=before):
        found += [record for record in some if record.room != OWN_ROOM]
        before = some[-1].id
        await asyncio.sleep(0)  # the store answers without ever waiting: others want their turn
    return found[::-1]


# ── events ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def list_events(call: Call) -> Answer:
    """A page of a sandbox's events, oldest first; the Link field leads to the next one (RFC 8288)."""
    query: forms.EventsQuery = call.query
    wanted, reader = await _selection(call), EventReader(call.desk.yard)
    await call.desk.yard.settle()
    after = await _after(reader, wanted.sandbox, query.after, "after")
    found: list[forms.Event] = []
    headers: dict[str, str] = {}
    async with contextlib.aclosing(reader.stored(wanted, after)) as events:
        async for event in events:
            if len(found) == query.limit:
                headers = call.link(after=found[-1].id)
                break
            found.append(event)
    return Answer(encoded(found), JSON, headers)


async def wait_for_events(call: Call) -> forms.EventsWaited:
    """Wait until so many events fit, or (count=0) until none has come for the whole time."""
    query: forms.EventsWaitQuery = call.query
    wanted = await _selection(call)
    wait = EventWait(EventReader(call.desk.yard), wanted, query.count, query.kind, query.timeout)
    return await while_it_stands(call.desk, wanted.sandbox, wait.outcome())


async def events_jsonl(call: Call) -> web.StreamResponse:
    """A sandbox's events as JSON lines, oldest first."""
    wanted, reader = await _selection(call), EventReader(call.desk.yard)
    return await exports.lines(call, reader.stored(wanted))


_EVENT_ID = re.compile(r"[0-9a-f]{1,32}\.[0-9]{1,9}", re.ASCII)
_TURN = 100  # events that are told in one go
_BEGINNING: Place = (datetime.fromtimestamp(0, UTC), "", 0)


async def stream_events(call: Call) -> web.StreamResponse:
    """The events that come, from now on or since a moment: as server-sent events, or by WebSocket where the client upgrades."""
    from aiohttp import web

    wanted, reader = await _selection(call), EventReader(call.desk.yard)
    after = await _last_heard(reader, wanted.sandbox, call.request.headers.get("Last-Event-ID"))
    if call.request.method == "HEAD":
        return web.Response(content_type=SSE)
    upgrades = call.request.headers.get("Upgrade", "").lower() == "websocket"
    async with Follower.follow(reader, wanted.sandbox) as follower, ending(call.desk, wanted.sandbox, follower.end):
        with contextlib.suppress(ConnectionError):
            return await (_by_websocket if upgrades else _by_sse)(call, _events(follower, reader, wanted, after))
        return web.Response()


async def _last_heard(reader: EventReader, sandbox: str, event_id: str | None) -> Place | None:
    """Where a follower that comes back was. What went with a reset, or made room, was before whatever is there now."""
    if event_id is not None and _EVENT_ID.fullmatch(event_id) and await reader.place(sandbox, event_id) is None:
        return _BEGINNING
    return await _after(reader, sandbox, event_id, "Last-Event-ID")


async def _events(
    follower: Follower, reader: EventReader, wanted: Selection, after: Place | None
) -> AsyncIterator[forms.Event | None]:
    """What is there, where it was asked for, and what comes; None where nothing came for a while."""
    if after is not None or wanted.since is not None:
        async with contextlib.aclosing(reader.stored(wanted, after)) as stored:
            async for event in stored:
                follower.seen(event.session, event.seq)
                yield event
    loop = asyncio.get_running_loop()
    beat_at = loop.time() + BEAT_S
    while True:
        try:
            moved = await follower.moved(beat_at)
        except StopAsyncIteration:  # of a generator's own it would be an error
            return
        async with contextlib.aclosing(follower.told()) as told:
            number = 0
            async for event in told:
                if (number := number + 1) % _TURN == 0:
                    await asyncio.sleep(0)  # a client that takes all at once lets nobody else have a turn
                if not wanted.differences(event):
                    yield event
                    beat_at = loop.time() + BEAT_S
        if follower.ended:
            return
        if not moved or loop.time() >= beat_at:
            yield None
            beat_at = loop.time() + BEAT_S


async def _by_sse(call: Call, events: AsyncIterator[forms.Event | None]) -> web.StreamResponse:
    from aiohttp import web

    response = web.StreamResponse(headers={"Content-Type": SSE, "Cache-Control": "no-store"})
    await begin(call.request, response)
    await response.write(b": events follow\n\n")
    async for event in events:
        if event is None:
            await response.write(b": nothing came\n\n")
        else:
            await response.write(b"id: %s\ndata: %s\n\n" % (event.id.encode(), encoded(event)))
    return response


async def _by_websocket(call: Call, events: AsyncIterator[forms.Event | None]) -> web.StreamResponse:
    from aiohttp import WSCloseCode, web

    socket = web.WebSocketResponse(heartbeat=BEAT_S, max_msg_size=1024)
    await socket.prepare(call.request)

    async def send() -> None:
        async for event in events:
            if event is not None:
                await socket.send_str(encoded(event).decode())

    sending = asyncio.get_running_loop().create_task(send())
    receiving = asyncio.get_running_loop().create_task(_until_closed(socket))
    try:
        await asyncio.wait((sending, receiving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        sending.cancel()
        receiving.cancel()
        await asyncio.gather(sending, receiving, return_exceptions=True)
        await socket.close(code=WSCloseCode.GOING_AWAY)
    return socket


async def _until_closed(socket: web.WebSocketResponse) -> None:
    """Nothing is expected of the client but its end."""
    async for _ in socket:
        pass


async def _selection(call: Call) -> Selection:
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    query: forms.EventFilter = call.query
    checks = {}
    for name, value, allowed in (("room", query.room, ROOMS), ("kind", query.kind, KINDS)):
        if value is not None:
            _check_name(name, value, allowed)
            checks[name] = _exactly(value)
    if query.session is not None:
        checks["session"] = _exactly(query.session)
    try:
        if query.text is not None:
            checks["text"] = compiled(query.text)
    except PatternError as error:
        raise _refused("text", query.text, f"text: {error}", "text, a glob, or /a regular expression/") from None
    like = likeness(query.text) if query.text is not None else None
    return Selection(sandbox.name, Criteria(checks), query.room, query.session, query.since, like)


def _check_name(key: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        detail = f"{key}: there is no {key} {value}{did_you_mean(value, allowed)}"
        raise _refused(key, value, detail, list(allowed))


def _exactly(wanted: str) -> Check:
    return lambda value: value == wanted


async def _after(reader: EventReader, sandbox: str, event_id: str | None, key: str) -> Place | None:
    if event_id is None:
        return None
    place = await reader.place(sandbox, event_id)
    if place is None:
        raise _refused(key, event_id, f"{key}: no event of this id", "an event's id")
    return place


def _refused(key: str, value: object, detail: str, allowed: object) -> ProblemError:
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail, key=key, value=value, allowed=allowed)


_ONE = "/sandboxes/{sandbox}"

ROUTES = (
    Route(
        "GET", f"{_ONE}/sessions", list_sessions, "Sessions, newest first", list[shapes.Session], shapes.SessionsQuery
    ),
    Route("GET", f"{_ONE}/sessions/{{id}}", get_session, "One session with its events", shapes.WholeSession),
    Route("GET", f"{_ONE}/sessions/{{id}}/talk", get_talk, "One session as a talk", TALK),
    Route(
        "GET",
        f"{_ONE}/sessions/{{id}}/export",
        export_session,
        "One session as a talk, JSON lines, a HAR or packets",
        (TALK, exports.JSONL, JSON, exports.PACKETS),
        forms.ExportQuery,
    ),
    Route(
        "GET",
        f"{_ONE}/export",
        export_sessions,
        "Sessions, all or some, as talks, JSON lines, a HAR or packets",
        (TALK, exports.JSONL, JSON, exports.PACKETS),
        forms.ExportSomeQuery,
        streams=True,
    ),
    Route("GET", f"{_ONE}/events", list_events, "Events, oldest first", list[forms.Event], forms.EventsQuery),
    Route(
        "GET",
        f"{_ONE}/events.jsonl",
        events_jsonl,
        "Events as JSON lines",
        exports.JSONL,
        forms.EventFilter,
        streams=True,
    ),
    Route("GET", f"{_ONE}/events/wait", wait_for_events, "Wait for events", forms.EventsWaited, forms.EventsWaitQuery),
    Route(
        "GET",
        f"{_ONE}/events/stream",
        stream_events,
        "Events as they come: server-sent events, or WebSocket by Upgrade",
        SSE,
        forms.EventFilter,
        streams=True,
    ),
)
