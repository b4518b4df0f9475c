"""The console on its host: the application, who may talk to it, and how an operation's value becomes a response."""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
import re
from http import HTTPStatus

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from portyard.commons.card import Service
from portyard.commons.clock import ClockError
from portyard.commons.hosting import HostedProtocol, Hosting
from portyard.commons.mailstore.model import MessageGoneError
from portyard.commons.sandbox.model import SandboxError
from portyard.commons.scenario.model import RuleError
from portyard.commons.yard import Yard
from portyard.console.calls import Answer, Call, Desk, Route
from portyard.console.core.guard import SAFE_METHODS, is_known, is_own_site
from portyard.console.files import BINARY
from portyard.console.pages import add_pages
from portyard.console.problems import ProblemError, converted, decoded, explained, response_of
from portyard.console.queries import MailQueries
from portyard.console.routes import ROUTES
from portyard.console.shapes import Problem
from portyard.rooms import cards

PREFIX = "/api/v1"
BODY_LIMIT = 1 << 20  # octets of a request's body

_logger = logging.getLogger(__name__)


async def open_service(yard: Yard, service: Service) -> Hosting:
    """The console's service, ready for connections. Its own requests are no sessions, so none is journalled."""
    app = await asyncio.to_thread(build, yard)
    return await Hosting(app, journalled=False, protocol_class=ConsoleProtocol).open()


class ConsoleProtocol(HostedProtocol):
    """One connection to the console: what isn't a request is refused as everything else is, by problem details."""

    def refusal(self, status: int, reason: str) -> web.Response:
        """See HostedProtocol."""
        return response_of(Problem(HTTPStatus(status).phrase, status, reason))


def build(yard: Yard) -> web.Application:
    """The application with every route."""
    known = known_hosts(yard)

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            check_peer(request, known)
            check_token(request, yard.settings.token)
            return await handler(request)
        except ProblemError as error:
            return _challenging(response_of(error.problem), request)
        except (SandboxError, RuleError, ClockError) as error:
            return response_of(explained(error).problem)
        except web.HTTPException as error:
            return _problem_response(request, error)
        except MessageGoneError as error:
            return response_of(ProblemError(HTTPStatus.NOT_FOUND, str(error), key="id").problem)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:
            _logger.exception("%s %s failed", request.method, request.path)
            return response_of(Problem("Internal Server Error", 500, f"{type(error).__name__}; see the console's log"))

    app = web.Application(middlewares=[guard], client_max_size=BODY_LIMIT)
    desk = Desk(yard, MailQueries(yard))
    for route in ROUTES:
        _add(app, desk, route)
    add_pages(app, desk)
    return app


def known_hosts(yard: Yard) -> frozenset[str]:
    """The names by which the console may be called, beside loopback."""
    services = [service.name for card in cards() for service in card.services]
    settings = yard.settings
    domains = (settings.domain, *settings.domains)
    named = [f"{service}.{domain}" for service in services for domain in domains]
    told = [settings.advertise, *settings.console_hosts]
    return frozenset(name.lower() for name in (*services, *domains, *named, *told))


def check_peer(request: web.Request, known: frozenset[str]) -> None:
    """Refuse requests by a name that isn't ours, and writes that another site's page makes.

    Raises:
        ProblemError: 421 or 403.
    """
    host = request.headers.get("Host", "")
    if not is_known(host, known) and not is_known(host, _came_to(request)):
        allowed = sorted({"localhost", "127.0.0.1", "[::1]", *known})
        detail = "the console isn't called that; add the name to the setting console_hosts"
        raise ProblemError(HTTPStatus.MISDIRECTED_REQUEST, detail, key="Host", value=host, allowed=allowed)
    origin = request.headers.get("Origin")
    changes = request.method not in SAFE_METHODS or "Upgrade" in request.headers  # a page may open a WebSocket anywhere
    if changes and not is_own_site(origin, host, request.headers.get("Sec-Fetch-Site")):
        detail = "a page of another site may not change anything here"
        raise ProblemError(HTTPStatus.FORBIDDEN, detail, key="Origin", value=origin, allowed=f"http://{host}")


def _came_to(request: web.Request) -> frozenset[str]:
    """Our address that the connection came to. A page of another site can't get here by it: a name would stand in Host."""
    local = request.transport.get_extra_info("sockname") if request.transport is not None else None
    return frozenset({str(local[0])}) if local else frozenset()


def check_token(request: web.Request, token: str) -> None:
    """Refuse requests without the token that was set, but for whether everything is up.

    Browsers give it as the password of Basic, under any name.

    Raises:
        ProblemError: 401.
    """
    if not token or request.path == f"{PREFIX}/health":
        return
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        given = _basic_password(given)
    elif scheme.lower() != "bearer":
        given = ""
    if not hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), token.encode()):
        detail = "the token is missing" if not given else "this isn't the token"
        allowed = "Bearer and the setting `token`"
        raise ProblemError(HTTPStatus.UNAUTHORIZED, detail, key="Authorization", allowed=allowed)


def _basic_password(given: str) -> str:
    try:
        return base64.b64decode(given, validate=True).decode().partition(":")[2]  # RFC 7617 §2
    except ValueError:
        return ""


def _challenging(response: web.Response, request: web.Request) -> web.Response:
    if response.status == HTTPStatus.UNAUTHORIZED:  # RFC 9110 §11.6.1
        way = "Bearer" if request.path.startswith(f"{PREFIX}/") else "Basic"
        response.headers["WWW-Authenticate"] = f'{way} realm="Portyard"'
    return response


def _add(app: web.Application, desk: Desk, route: Route) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        query = converted(_single(request), route.query, strict=False)
        body = await _body(request, route)
        value = await route.operation(Call(desk, request.match_info, query, body, request))
        return _response(value, route)

    path = PREFIX + route.path.replace("{path}", r"{path:[\s\S]*}")
    for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
        app.router.add_route(method, path, handle)


async def _body(request: web.Request, route: Route) -> msgspec.Struct | None:
    """The body as its type; nothing where the operation takes none, or reads it by itself.

    Raises:
        ProblemError: 400 or 422, it isn't what the operation takes.
        web.HTTPRequestEntityTooLarge: It has more than BODY_LIMIT octets.
    """
    if BINARY in route.reads:
        return None  # bounded by its own limit while it is read
    if (request.content_length or 0) > BODY_LIMIT:
        raise web.HTTPRequestEntityTooLarge(max_size=BODY_LIMIT, actual_size=request.content_length or 0)
    octets = await request.read()
    if route.body is not None:
        return decoded(octets, route.body)
    if not route.reads and octets.strip() not in (b"", b"{}", b"null"):
        shown = octets[:80].decode("utf-8", "replace")
        raise ProblemError(HTTPStatus.BAD_REQUEST, "no body is wanted here", key="body", value=shown, allowed="none")
    return None


def _single(request: web.Request) -> dict[str, str]:
    """The query's parameters.

    Raises:
        ProblemError: 400, one is given twice.
    """
    for key in request.query:
        if len(request.query.getall(key)) > 1:
            raise ProblemError(
                HTTPStatus.BAD_REQUEST, f"{key} is given twice", key=key, value=request.query.getall(key)
            )
    return dict(request.query)


def _response(value: object, route: Route) -> web.StreamResponse:
    match value:
        case web.StreamResponse():
            return value
        case Answer(body, media_type, headers):
            if "Content-Type" in headers:
                return web.Response(body=body, headers=_careful(dict(headers)))
            charset = "utf-8" if media_type.startswith("text/") else None
            return web.Response(body=body, content_type=media_type, charset=charset, headers=_careful(dict(headers)))
        case None:
            return web.Response(status=route.status)
    status = HTTPStatus.SERVICE_UNAVAILABLE if getattr(value, "ready", True) is False else route.status
    body = msgspec.json.encode(value)
    return web.Response(status=status, body=body, content_type="application/json", headers=_careful({}))


def _careful(headers: dict[str, str]) -> dict[str, str]:
    return {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **headers}


def _problem_response(request: web.Request, error: web.HTTPException) -> web.StreamResponse:
    """What the router or the reader refused, as a problem."""
    if error.status < 400:
        raise error
    problem = Problem(error.reason, error.status, f"{request.method} {request.path}: {error.reason}")
    if isinstance(error, web.HTTPNotFound):
        problem.key, problem.value, problem.allowed = "path", request.path, f"paths below {PREFIX}"
    elif isinstance(error, web.HTTPMethodNotAllowed):
        problem.key, problem.value, problem.allowed = "method", request.method, sorted(error.allowed_methods)
    elif isinstance(error, web.HTTPRequestEntityTooLarge):
        problem.key, problem.value = "body", request.content_length or "more than is allowed"
        named = re.search(r"\d+", error.text or "")  # aiohttp keeps the limit in its words alone
        problem.allowed = f"at most {named[0] if named else BODY_LIMIT} octets"
    response = response_of(problem)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response
