"""The console on its host: the application, who may talk to it, and how an operation's value becomes a response."""

from __future__ import annotations

import asyncio
import base64
import hmac
import io
import re
from http import HTTPStatus

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

from portyard.commons.card import Service
from portyard.commons.hosted_protocol import HostedProtocol
from portyard.commons.hosting import Hosting
from portyard.commons.hosting_parser import HostingLimits
from portyard.commons.hosting_refusals import reason_of
from portyard.commons.yard import Yard
from portyard.console.answering import BODY_LIMIT, answer_of, body_of, problem_of, query_of
from portyard.console.calls import Call, Desk, Route
from portyard.console.contents import PIECE
from portyard.console.core.guard import SAFE_METHODS, is_known, is_own_site
from portyard.console.files import BINARY
from portyard.console.nearby import PREFIX
from portyard.console.pages import add_pages
from portyard.console.problems import MEDIA_TYPE, ProblemError
from portyard.console.readable import encoded
from portyard.console.routes import ROUTES
from portyard.console.shapes import Problem
from portyard.console.streams import ask_for_body, check_expectation, has_begun, held_back
from portyard.rooms import cards

LIMITS = HostingLimits(
    grace_s=0.5
)  # what takes longer are waits, streams and exports: who asked for them reads of the end
_VARIABLE = re.compile(r"\{(\w+)\}")  # aiohttp wouldn't match braces in it, which a name may have


async def open_service(yard: Yard, service: Service) -> Hosting:
    """The console's service, ready for connections. Its own requests are no sessions, so none is journalled."""
    app = await asyncio.to_thread(build, yard)
    return await Hosting(app, LIMITS, journalled=False, protocol_class=ConsoleProtocol).open()


class ConsoleProtocol(HostedProtocol):
    """One connection to the console: what isn't a request is refused as everything else is, by problem details."""

    def refusal(self, status: int, reason: str) -> web.Response:
        """See HostedProtocol."""
        return response_of(Problem(HTTPStatus(status).phrase, status, reason))


def response_of(problem: Problem) -> web.Response:
    """A problem as a response."""
    return web.Response(status=problem.status, body=encoded(problem), content_type=MEDIA_TYPE)


def build(yard: Yard) -> web.Application:
    """The application with every route."""
    known = known_hosts(yard)

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            check_peer(request, known)
            check_token(request, yard.settings.token)
            return await handler(request)
        except Exception as error:
            if has_begun(request) and not isinstance(error, ConnectionError):
                problem_of(error, request.method, request.path)
                raise ConnectionResetError("the answer was broken off") from None  # what comes now would be its body
            answer = refused(request, error)
            return await pages.refused(request, error) or answer if answer.status == HTTPStatus.NOT_FOUND else answer

    app = web.Application(middlewares=[guard], client_max_size=BODY_LIMIT)
    desk = Desk(yard)
    for route in ROUTES:
        _add(app, desk, route)
    pages = add_pages(app, desk)
    return app


def refused(request: web.Request, error: Exception) -> web.Response:
    """What an operation raised, as its answer.

    Raises:
        ConnectionError: Nobody is there any more to read one.
    """
    match error:
        case ProblemError():
            return _challenging(response_of(error.problem), request)
        case web.HTTPException():
            return _problem_response(request, error)
        case ConnectionError():
            raise error
        case web.RequestPayloadError() | HttpProcessingError():
            detail = f"the body breaks its framing or its coding: {reason_of(error, None)}"
            response = response_of(ProblemError(HTTPStatus.BAD_REQUEST, detail, key="body").problem)
            response.force_close()  # where the next request would begin isn't known
            return response
    return response_of(problem_of(error, request.method, request.path))


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


_PATHS = f"a path that {PREFIX}/openapi.json describes, or / for the pages"
PUBLIC = frozenset(f"{PREFIX}/{name}" for name in ("health", "ca.pem", "ca.crl", "ocsp"))
"""Whether everything is up, the CA, and what its certificates' addresses lead to: no TLS client carries a token there (RFC 5280 §8)."""


def check_token(request: web.Request, token: str) -> None:
    """Refuse requests without the token that was set, but for what is public.

    Browsers give it as the password of Basic, under any name.

    Raises:
        ProblemError: 401.
    """
    if not token or request.path in PUBLIC or request.path.startswith(f"{PREFIX}/ocsp/"):
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
        check_expectation(request)
        query = query_of(request.query.items(), route)
        octets = await _octets(request, route)
        body = body_of(octets, route)
        call = Call(desk, request.match_info, query, body, octets, request.content_type, request.path_qs, wire=request)
        return _response(await route.operation(call), route)

    path = PREFIX + _VARIABLE.sub(r"{\1:[^/]+}", route.path.replace("{path}", r"{path:[\s\S]*}"))
    for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
        app.router.add_route(method, path, handle, expect_handler=held_back)


async def _octets(request: web.Request, route: Route) -> bytes:
    """The body, where the operation doesn't stream it by itself.

    Raises:
        web.HTTPRequestEntityTooLarge: It has more than BODY_LIMIT octets.
    """
    if BINARY in route.reads:
        return b""  # bounded by its own limit while it is read
    if (request.content_length or 0) > BODY_LIMIT:
        raise web.HTTPRequestEntityTooLarge(max_size=BODY_LIMIT, actual_size=request.content_length or 0)
    await ask_for_body(request)
    return await request.read()


def _response(value: object, route: Route) -> web.StreamResponse:
    if isinstance(value, web.StreamResponse):
        return value
    status, answer = answer_of(value, route)
    if answer is None:
        return web.Response(status=status)
    headers = _careful(dict(answer.headers))
    # A long body goes out in pieces, and others have their turns between them.
    body = answer.body if len(answer.body) <= PIECE else io.BytesIO(answer.body)
    if "Content-Type" in headers:
        return web.Response(status=status, body=body, headers=headers)
    charset = "utf-8" if answer.media_type.startswith("text/") else None
    return web.Response(status=status, body=body, content_type=answer.media_type, charset=charset, headers=headers)


def _careful(headers: dict[str, str]) -> dict[str, str]:
    return {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **headers}


def _problem_response(request: web.Request, error: web.HTTPException) -> web.Response:
    """What the router or the reader refused, as a problem."""
    if error.status < 400:
        raise error
    problem = Problem(error.reason, error.status, f"{request.method} {request.path}: {error.reason}")
    if isinstance(error, web.HTTPNotFound):
        problem.key, problem.value, problem.allowed = "path", request.path, _PATHS
    elif isinstance(error, web.HTTPMethodNotAllowed):
        problem.key, problem.value, problem.allowed = "method", request.method, sorted(error.allowed_methods)
    elif isinstance(error, web.HTTPRequestEntityTooLarge):
        named = re.search(r"\d+", error.text or "")  # aiohttp keeps the limit in its words alone
        most, length = int(named[0]) if named else BODY_LIMIT, request.content_length or 0
        problem.key, problem.value = "body", length if length > most else "more than is allowed"  # without its coding
        problem.allowed = f"at most {most} octets"
    response = response_of(problem)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response
