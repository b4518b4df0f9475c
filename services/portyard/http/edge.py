"""The room on its host: the application, its route table, cross-origin fields, OPTIONS, and what rules are told of a request."""

from __future__ import annotations

import re

from aiohttp import hdrs, web

from portyard.commons.card import Service
from portyard.commons.exchange import House, basic_user, head_of
from portyard.commons.hosted_dates import dating
from portyard.commons.hosting import Hosting
from portyard.commons.hosting_parser import limits_of
from portyard.commons.naming import Naming
from portyard.commons.scenario.model import Scalar
from portyard.commons.yard import Yard
from portyard.http.core.digest import NonceBook
from portyard.http.core.filepath import PREFIX
from portyard.http.routes import auth, caching, cookies, dynamic, files, formats, inspection, statuses
from portyard.http.routes.common import BODY_LIMIT, ROOM, Group, Handle, Room, Route
from portyard.http.routes.index import with_index

GROUPS: tuple[Group, ...] = (
    *inspection.GROUPS,
    *statuses.GROUPS,
    *auth.GROUPS,
    *cookies.GROUPS,
    *formats.GROUPS,
    *dynamic.GROUPS,
    *caching.GROUPS,
    *files.GROUPS,
)
_PLAIN_VARIABLE = re.compile(r"\{(\w+)\}")  # aiohttp wouldn't match braces in it, which a password may have
_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


async def open_service(yard: Yard, service: Service) -> Hosting:
    """The room's service, ready for connections."""
    house = House(Naming(yard.sandboxes, yard.accounts), describe, login_of, clocks=yard.clocks)
    return await Hosting(build(yard), limits_of(yard.settings), house=house).open()


def build(yard: Yard) -> web.Application:
    """The application with every route."""
    app = web.Application(client_max_size=BODY_LIMIT, middlewares=[_answer_options])
    app[ROOM] = Room(yard, NonceBook(yard.secret))
    app.on_response_prepare.extend((_allow_origins, dating(yard.clocks)))
    for group in with_index(GROUPS):
        for route in group.routes:
            _add(app, route)
    return app


def describe(request: web.Request) -> tuple[str, dict[str, Scalar]]:
    """A request as rules see it."""
    return "request", head_of(request)


def login_of(request: web.Request) -> str | None:
    """The login name that a request for files claims; elsewhere credentials are httpbin's own."""
    if "Authorization" not in request.headers or not request.path.startswith(PREFIX):
        return None
    return basic_user(request.headers) or None


def _add(app: web.Application, route: Route) -> None:
    resource = app.router.add_resource(_PLAIN_VARIABLE.sub(r"{\1:[^/]+}", route.path))
    methods = (*route.methods, "HEAD") if "GET" in route.methods else route.methods
    for method in methods:
        resource.add_route(method, route.handler, expect_handler=route.expect)


@web.middleware
async def _answer_options(request: web.Request, handler: Handle) -> web.StreamResponse:
    """OPTIONS on any path says which methods it has (RFC 9110 §9.3.7), and answers a browser's preflight; 405 says it too."""
    if request.raw_path == "*" and request.method == hdrs.METH_OPTIONS:
        return web.Response(headers={"Allow": _METHODS})
    failure = request.match_info.http_exception
    if not isinstance(failure, web.HTTPMethodNotAllowed):
        return await handler(request)
    allow = {"Allow": ", ".join(sorted({*failure.allowed_methods, "OPTIONS"}))}
    if request.method == hdrs.METH_OPTIONS:
        return web.Response(headers=allow)
    return web.Response(status=405, text=f"405: this path has {allow['Allow']}\n", headers=allow)  # RFC 9110 §15.5.6


async def _allow_origins(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Any page may use the room, as with httpbin."""
    headers = response.headers
    headers["Access-Control-Allow-Origin"] = request.headers.get("Origin", "*")
    headers["Access-Control-Allow-Credentials"] = "true"
    if request.method == hdrs.METH_OPTIONS:
        headers["Access-Control-Allow-Methods"] = _METHODS
        headers["Access-Control-Max-Age"] = "3600"
        if asked := request.headers.get("Access-Control-Request-Headers"):
            headers["Access-Control-Allow-Headers"] = asked
