"""The operations of the control API, and the table that gives each its path."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import msgspec
from aiohttp import web

from portyard.commons.accounts import model as accounts
from portyard.commons.directory import entry_fields
from portyard.commons.journal.model import SessionRecord
from portyard.commons.talk.print import journal_talk
from portyard.console import contents, shapes
from portyard.console.calls import Answer, Call, Desk, Route
from portyard.console.core.matching import Criteria, PatternError, compiled
from portyard.console.problems import ProblemError
from portyard.console.queries import Place
from portyard.console.waiting import Wait, fields_of
from portyard.rooms import cards

PEM = "application/x-pem-file"
RAW = "message/rfc822"
TALK = "text/plain"
BINARY = "application/octet-stream"
LIST_SLICE = 200  # messages that a filtered list looks at in one go
OWN_ROOM = "console"  # whose connections are no sessions of the testbed


# ── the testbed ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def health(call: Call) -> shapes.Health:
    """Whether every service is up."""
    alive = call.desk.yard.directory.alive
    services = [shapes.ServiceHealth(s.name, alive(s.name)) for card in cards() for s in card.services]
    return shapes.Health(all(service.ready for service in services), services)


async def endpoints(call: Call) -> list[shapes.Endpoint]:
    """Every port."""
    return [msgspec.convert(entry_fields(endpoint), shapes.Endpoint) for endpoint in call.desk.yard.directory.all()]


async def ca_pem(call: Call) -> Answer:
    """The CA's certificate."""
    name = 'attachment; filename="portyard-ca.pem"'
    return Answer(call.desk.yard.tls.ca_pem, PEM, {"Content-Disposition": name})


async def list_sandboxes(call: Call) -> list[shapes.Sandbox]:
    """Every sandbox."""
    found = await call.desk.yard.sandboxes.list()
    return [shapes.Sandbox(each.name, each.generation, each.capture, each.domains) for each in found]


async def get_sandbox(call: Call) -> shapes.Sandbox:
    """One sandbox."""
    found = await call.desk.sandbox(call.path["sandbox"])
    return shapes.Sandbox(found.name, found.generation, found.capture, found.domains)


# ── accounts ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def list_accounts(call: Call) -> list[shapes.Account]:
    """A sandbox's accounts by address."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    return [_account(account) for account in await call.desk.yard.accounts.list(sandbox.name)]


async def create_account(call: Call) -> shapes.Account:
    """Make an account."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    wanted: shapes.NewAccount = call.body
    address = wanted.name if "@" in wanted.name or not sandbox.domains else f"{wanted.name}@{sandbox.domains[0]}"
    password = sandbox.default_password if wanted.password is None else wanted.password
    try:
        account = await call.desk.yard.accounts.create(sandbox.name, address, password, wanted.public_keys)
    except accounts.AccountTakenError as error:
        raise ProblemError(HTTPStatus.CONFLICT, str(error), key="name", value=wanted.name) from None
    except ValueError as error:
        allowed = "a local part, or local-part@domain"
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY, str(error), key="name", value=wanted.name, allowed=allowed
        ) from None
    return _account(account)


async def delete_account(call: Call) -> None:
    """Remove an account with its mail: nobody may log in before the mail goes."""
    sandbox, address = await call.desk.sandbox(call.path["sandbox"]), call.path["address"]
    yard = call.desk.yard
    account = await yard.accounts.by_address(sandbox.name, address)
    if account is None or not await yard.accounts.delete(sandbox.name, address):
        raise ProblemError(HTTPStatus.NOT_FOUND, f"no account {address}", key="address", value=address)
    await yard.mail.forget(account.id)


def _account(account: accounts.Account) -> shapes.Account:
    return shapes.Account(account.local_part, account.address, account.sandbox, account.public_keys)


# ── messages ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def list_messages(call: Call) -> Answer:
    """A page of a sandbox's messages, newest first; the Link field leads to the next one (RFC 8288)."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    query: shapes.MessagesQuery = call.query
    found, last = await page(call.desk, sandbox.name, query)
    headers = {}
    if last is not None:
        url = call.request.rel_url.update_query(cursor=f"{last[0]}.{last[1]}")
        headers["Link"] = f'<{url}>; rel="next"'
    return Answer(msgspec.json.encode(found), "application/json", headers)


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
    found = await call.desk.message(call.path["sandbox"], call.path["id"])
    response = web.StreamResponse(headers={"Content-Type": RAW, "X-Content-Type-Options": "nosniff"})
    response.headers["Content-Disposition"] = f'attachment; filename="{found.message.id}.eml"'
    response.content_length = found.message.size
    pieces = contents.pieces(call.desk.yard.mail, found.message)
    first = await anext(pieces, b"")  # before the status goes out: it may be gone by now
    await response.prepare(call.request)
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
    return await Wait(call.desk.queries, sandbox.name, criteria_of(query), query.count, query.timeout).outcome()


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


# ── sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def list_sessions(call: Call) -> list[shapes.Session]:
    """A page of a sandbox's sessions, newest first."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    query: shapes.SessionsQuery = call.query
    return await sessions(call.desk, sandbox.name, query)


async def sessions(desk: Desk, sandbox: str, query: shapes.SessionsQuery) -> list[shapes.Session]:
    """The sessions of a page; connections to the console itself are none."""
    await desk.yard.journal.flush()
    found: list[shapes.Session] = []
    before = query.before
    while len(found) < query.limit:
        some = await desk.yard.journal.sessions(sandbox, room=query.room, limit=query.limit, before=before)
        found += [shapes.Session(**_record_fields(record)) for record in some if record.room != OWN_ROOM]
        if len(some) < query.limit:
            break
        before = some[-1].id
    return found[: query.limit]


async def get_session(call: Call) -> shapes.WholeSession:
    """One session with its events."""
    record = await session_of(call.desk, call.path["sandbox"], call.path["id"])
    events = await call.desk.yard.journal.events(record.id)
    shown = [shapes.SessionEvent(event.seq, event.at, event.kind, event.fields) for event in events]
    return shapes.WholeSession(**_record_fields(record), events=shown)


async def get_talk(call: Call) -> Answer:
    """One session as a talk."""
    record = await session_of(call.desk, call.path["sandbox"], call.path["id"])
    return Answer((await talk_of(call.desk, record)).encode(), TALK, {})


async def talk_of(desk: Desk, record: SessionRecord) -> str:
    """A session as a talk's text."""
    return journal_talk(record, await desk.yard.journal.events(record.id))


async def session_of(desk: Desk, sandbox: str, session_id: str) -> SessionRecord:
    """A sandbox's session.

    Raises:
        ProblemError: 404, there is none.
    """
    owner = await desk.sandbox(sandbox)
    await desk.yard.journal.flush()
    record = await desk.yard.journal.session(session_id)
    if record is None or record.sandbox != owner.name:
        detail = f"no session {session_id} in sandbox {sandbox}"
        raise ProblemError(
            HTTPStatus.NOT_FOUND, detail, key="id", value=session_id, allowed="an id that the list shows"
        )
    return record


def _record_fields(record: SessionRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in shapes.Session.__struct_fields__}


# ── the table ────────────────────────────────────────────────────────────────────────────────────────────────────────────

_SANDBOX = "/sandboxes/{sandbox}"

ROUTES = (
    Route("GET", "/health", health, "Whether every service is up", shapes.Health),
    Route(
        "GET", "/endpoints", endpoints, "Every port, as the host and as other services reach it", list[shapes.Endpoint]
    ),
    Route("GET", "/ca.pem", ca_pem, "The CA's certificate", PEM),
    Route("GET", "/ca", ca_pem, "The CA's certificate", PEM),
    Route("GET", "/sandboxes", list_sandboxes, "Every sandbox", list[shapes.Sandbox]),
    Route("GET", _SANDBOX, get_sandbox, "One sandbox", shapes.Sandbox),
    Route("GET", f"{_SANDBOX}/accounts", list_accounts, "Accounts by address", list[shapes.Account]),
    Route(
        "POST",
        f"{_SANDBOX}/accounts",
        create_account,
        "Make an account",
        shapes.Account,
        body=shapes.NewAccount,
        status=HTTPStatus.CREATED,
    ),
    Route(
        "DELETE",
        f"{_SANDBOX}/accounts/{{address}}",
        delete_account,
        "Remove an account with its mail",
        None,
        status=HTTPStatus.NO_CONTENT,
    ),
    Route(
        "GET",
        f"{_SANDBOX}/messages",
        list_messages,
        "Messages, newest first",
        list[shapes.Message],
        shapes.MessagesQuery,
    ),
    Route(
        "DELETE", f"{_SANDBOX}/messages", delete_messages, "Remove every message", None, status=HTTPStatus.NO_CONTENT
    ),
    Route("GET", f"{_SANDBOX}/messages/wait", wait_for_messages, "Wait for messages", shapes.Waited, shapes.WaitQuery),
    Route("GET", f"{_SANDBOX}/messages/{{id}}", get_message, "One message, taken apart", shapes.WholeMessage),
    Route("GET", f"{_SANDBOX}/messages/{{id}}/raw", get_raw, "A message's octets", RAW),
    Route("GET", f"{_SANDBOX}/messages/{{id}}/parts/{{part}}", get_part, "A part's content", BINARY),
    Route(
        "DELETE", f"{_SANDBOX}/messages/{{id}}", delete_message, "Remove a message", None, status=HTTPStatus.NO_CONTENT
    ),
    Route(
        "GET",
        f"{_SANDBOX}/sessions",
        list_sessions,
        "Sessions, newest first",
        list[shapes.Session],
        shapes.SessionsQuery,
    ),
    Route("GET", f"{_SANDBOX}/sessions/{{id}}", get_session, "One session with its events", shapes.WholeSession),
    Route("GET", f"{_SANDBOX}/queue", list_queue, "Mail that waits or failed", list[shapes.QueueEntry]),
    Route("GET", f"{_SANDBOX}/sessions/{{id}}/talk", get_talk, "One session as a talk", TALK),
)
