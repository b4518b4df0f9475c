"""Status codes and redirects. Nothing here ever fetches a URL: a Location is for the client."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from portyard.commons.hosted_requests import EXACT, prefix_of
from portyard.http.core.mirror import flat_args
from portyard.http.core.status import BadStatusError, StatusAnswer, answer_of, choose, parse_codes
from portyard.http.routes.common import ANY, ROOM, Group, Route, bad_request, base_of, count, get, query_of


async def show_status(request: web.Request) -> web.Response:
    """The code that the path names, or one of its list by weight."""
    try:
        choices = parse_codes(request.match_info["codes"])
    except BadStatusError as error:
        raise bad_request(str(error)) from None
    code = choices[0][0] if len(choices) == 1 else choose(choices, request.app[ROOM].yard.rng.random())
    return response_of(answer_of(code))


def response_of(answer: StatusAnswer) -> web.Response:
    """A core's answer as a response; a code without a registered phrase gets a made-up one (RFC 9112 §4 lets it be anything)."""
    try:
        reason = HTTPStatus(answer.code).phrase
    except ValueError:
        reason = "Unassigned"
    return web.Response(status=answer.code, reason=reason, headers=answer.headers, body=answer.body or None)


async def redirect(request: web.Request) -> web.Response:
    """302, n times, by relative or (absolute=true) absolute Locations, then /get."""
    absolute = flat_args(query_of(request)).get("absolute", "").lower() == "true"
    return _hop(request, "/absolute-redirect" if absolute else "/relative-redirect", absolute=absolute)


async def redirect_relative(request: web.Request) -> web.Response:
    """302, n times, by relative Locations."""
    return _hop(request, "/relative-redirect", absolute=False)


async def redirect_absolute(request: web.Request) -> web.Response:
    """302, n times, by absolute Locations."""
    return _hop(request, "/absolute-redirect", absolute=True)


def _hop(request: web.Request, way: str, *, absolute: bool) -> web.Response:
    left = count(request.match_info["n"], "the number of redirects", least=1) - 1
    location = f"{way}/{left}" if left else "/get"
    return moved(request, base_of(request) + location if absolute else location)


async def redirect_to(request: web.Request) -> web.Response:
    """Exactly the Location and the 3xx that the client asks for."""
    options = flat_args(query_of(request))
    if "url" not in options and request.method != "GET" and request.body_exists:
        form = await request.post()  # a form may name them too
        options |= {name.lower(): str(value) for name, value in form.items()}
    if not options.get("url"):
        raise bad_request("url is missing: the Location to answer with")
    if any(character in options["url"] for character in "\r\n\0"):
        raise bad_request("url holds a line end or NUL, which no header field can")
    status = count(options.get("status_code") or "302", "status_code")
    request[EXACT] = True
    return moved(request, options["url"], status if 300 <= status < 400 else 302)


def moved(request: web.Request, location: str, status: int = 302) -> web.Response:
    """A redirect; its words lead into the same sandbox, as its Location does once the response is prepared."""
    within = location.startswith("/") and not location.startswith("//") and request.get(EXACT) is None
    way = prefix_of(request) + location if within else location
    body = None if status == 304 else f"The way goes on at {way}\n".encode("utf-8", "replace")
    return web.Response(
        status=status, headers={"Location": location, "Content-Type": "text/plain; charset=utf-8"}, body=body
    )


STATUSES = Group(
    "Status codes",
    (
        Route(
            ANY,
            "/status/{codes}",
            show_status,
            "That status code; of a list one by chance, `200:9,503:1` with weights.",
        ),
    ),
)
REDIRECTS = Group(
    "Redirects",
    (
        get("/redirect/{n}", redirect, "302 n times, then /get; absolute=true for absolute Locations."),
        get("/relative-redirect/{n}", redirect_relative, "302 n times by relative Locations."),
        get("/absolute-redirect/{n}", redirect_absolute, "302 n times by absolute Locations."),
        Route(ANY, "/redirect-to", redirect_to, "Redirects to `url` with `status_code`, exactly as given."),
    ),
)
GROUPS = (STATUSES, REDIRECTS)
