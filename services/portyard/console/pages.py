"""Pages for people: messages, rules, sessions and endpoints, rendered here, without a script.

A message's HTML is never part of such a page. It is shown in a frame without an origin and without scripts, from a route of its own whose
policy says the same and lets nothing be fetched, so that neither the frame's address nor its content can reach this site or the network.
"""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec
from aiohttp import web

from portyard.commons.sandbox.model import DEFAULT
from portyard.console import contents, shapes
from portyard.console.beside import beside
from portyard.console.calls import Desk
from portyard.console.core.preferring import wants_page
from portyard.console.journal import session_of, sessions, talk_of
from portyard.console.mail import page
from portyard.console.nearby import PREFIX
from portyard.console.problems import ProblemError
from portyard.console.rules import leased_by, shown
from portyard.console.sandboxes import clock_state

if TYPE_CHECKING:
    import jinja2

HERE = Path(__file__).parent
ROWS = 100  # messages and sessions that the first page shows
TALK_LIMIT = (
    4 << 20
)  # octets of a talk behind which its page ends: no browser shows many more, and they take memory here

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FRAME_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; frame-ancestors 'self'"
)
_HEADERS = {"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_pages(app: web.Application, desk: Desk) -> Pages:
    """Add the pages' routes."""
    pages = Pages(desk)
    sandbox = "/sandboxes/{sandbox}"
    routes: dict[str, Handle] = {
        "/": pages.index,
        "/style.css": pages.style,
        sandbox: pages.index,
        f"{sandbox}/messages/{{id}}": pages.message,
        f"{sandbox}/messages/{{id}}/html": pages.html,
        f"{sandbox}/sessions/{{id}}": pages.session,
    }
    for path, handle in routes.items():
        app.router.add_get(path, handle)
    return pages


class Pages:
    """The pages.

    Args:
        desk: What the API's operations have at hand, too.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @cached_property
    def _templates(self) -> jinja2.Environment:
        import jinja2  # two megabytes, which a console that nobody looks at does without

        templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        templates.filters |= {"octets": octets_text, "moment": moment_text, "words": words_text}
        return templates

    async def index(self, request: web.Request) -> web.Response:
        """Messages, rules, sessions, endpoints."""
        sandbox = await self._desk.sandbox(request.match_info.get("sandbox", DEFAULT))
        rules = await self._desk.yard.rules.list(sandbox.name)
        leased = await leased_by(self._desk.yard, sandbox.name)
        await self._desk.yard.clocks.refresh()
        messages, more = await page(self._desk, sandbox.name, shapes.MessagesQuery(limit=ROWS))
        return self._page(
            "index.html",
            sandbox=sandbox,
            sandboxes=await self._desk.yard.sandboxes.list(),
            endpoints=self._desk.yard.directory.all(),
            messages=messages,
            more=more is not None,
            sessions=await sessions(self._desk, sandbox.name, shapes.SessionsQuery(limit=ROWS)),
            rules=[shown(stored, self._desk.yard, leased) for stored in rules[:ROWS]],
            all_rules=len(rules),
            clock=clock_state(self._desk.yard, sandbox.name),
            rows=ROWS,
        )

    async def message(self, request: web.Request) -> web.Response:
        """One message."""
        sandbox = request.match_info["sandbox"]
        found = await self._desk.message(sandbox, request.match_info["id"])
        whole = await contents.whole(self._desk.yard.mail, found.message, await self._desk.queries.shown(found))
        return self._page("message.html", sandbox_name=sandbox, message=whole)

    async def html(self, request: web.Request) -> web.Response:
        """A message's HTML, for the frame alone."""
        found = await self._desk.message(request.match_info["sandbox"], request.match_info["id"])
        whole = await contents.whole(self._desk.yard.mail, found.message, await self._desk.queries.shown(found))
        headers = {**_HEADERS, "Content-Security-Policy": FRAME_POLICY}
        return web.Response(text=whole.html or "", content_type="text/html", headers=headers)

    async def session(self, request: web.Request) -> web.Response:
        """One session as a talk."""
        sandbox = request.match_info["sandbox"]
        record = await session_of(self._desk, sandbox, request.match_info["id"])
        talk, whole = await talk_of(self._desk, record, TALK_LIMIT)
        lines = talk.splitlines()
        return await beside(self._page, "session.html", sandbox_name=sandbox, session=record, lines=lines, whole=whole)

    async def refused(self, request: web.Request, error: Exception) -> web.Response | None:
        """What isn't there, told to a person; nothing for who would rather have the problem, and below the API."""
        if request.path.startswith(f"{PREFIX}/") or not wants_page(request.headers.get("Accept", "")):
            return None
        name = request.match_info.get("sandbox", "")
        stands = name and await self._desk.yard.sandboxes.get(name) is not None
        detail = str(error) if isinstance(error, ProblemError) else f"{request.path}: there is no such page"
        back = f"/sandboxes/{quote(name, safe='')}" if stands else "/"
        page = self._page("refusal.html", detail=detail, sandbox_name=name if stands else "", back=back)
        page.set_status(HTTPStatus.NOT_FOUND)
        return page

    async def style(self, _request: web.Request) -> web.Response:
        """The style sheet."""
        text = (HERE / "templates" / "style.css").read_text()
        return web.Response(text=text, content_type="text/css", headers=_HEADERS)

    def _page(self, template: str, **values: object) -> web.Response:
        octets = self._templates.get_template(template).render(values).encode("utf-8", "backslashreplace")
        headers = {**_HEADERS, "Content-Security-Policy": POLICY, "X-Frame-Options": "DENY"}
        body = octets if len(octets) <= contents.PIECE else io.BytesIO(octets)  # a long one goes out in pieces
        return web.Response(body=body, content_type="text/html", charset="utf-8", headers=headers)


def octets_text(count: int) -> str:
    """A size as people read it."""
    if count < 1024:
        return f"{count} B"
    return f"{count / 1024:.1f} KB" if count < 1 << 20 else f"{count / (1 << 20):.1f} MB"


def words_text(value: object) -> str:
    """A pattern or an action as people write it."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def moment_text(moment: datetime) -> str:
    """A time as people read it, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
