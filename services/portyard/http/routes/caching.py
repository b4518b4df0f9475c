"""Caching, validators and header fields made to order."""

from __future__ import annotations

import uuid

from aiohttp import web

from portyard.commons.hosted_requests import hosted
from portyard.http.core.conditions import EntityTag, Validators, Verdict, evaluate, format_date
from portyard.http.core.mirror import title
from portyard.http.routes.common import ROOM, Group, Route, bad_request, count, get, json_answer, json_octets
from portyard.http.routes.inspection import show_get

# Fields that frame the message or the connection: a value of the client's choice would break the next response.
_OURS = frozenset({"Connection", "Content-Length", "Keep-Alive", "Trailer", "Transfer-Encoding", "Upgrade"})


async def cache(request: web.Request) -> web.Response:
    """304 to anybody who asks conditionally, else the mirror with validators."""
    if "If-Modified-Since" in request.headers or "If-None-Match" in request.headers:
        return web.Response(status=304)
    response = await show_get(request)
    yard = request.app[ROOM].yard
    response.headers["Last-Modified"] = format_date(yard.clocks.now(hosted(request).sandbox))
    response.headers["ETag"] = f'"{uuid.UUID(int=yard.rng.getrandbits(128), version=4).hex}"'
    return response


async def cache_for(request: web.Request) -> web.Response:
    """The mirror, to be cached for so many seconds."""
    response = await show_get(request)
    response.headers["Cache-Control"] = f"public, max-age={count(request.match_info['seconds'], 'max-age')}"
    return response


async def etag(request: web.Request) -> web.Response:
    """The mirror under that entity tag; If-Match and If-None-Match count."""
    text = request.match_info["etag"]
    weak = text.startswith("W/")
    tag = EntityTag(text.removeprefix("W/").strip('"'), weak)
    if any(not ("\x21" <= character <= "\x7e") or character == '"' for character in tag.value):
        raise bad_request(f"{text!r} can't be an entity tag")
    verdict = evaluate(request.method, request.headers, Validators(tag))
    if verdict is Verdict.PROCEED:
        response = await show_get(request)
    else:
        response = web.Response(status=verdict.value)
    response.headers["ETag"] = str(tag)
    return response


async def response_headers(request: web.Request) -> web.Response:
    """The parameters as header fields, and all fields of the response as its JSON."""
    response = json_answer({})
    seen: set[str] = set()
    for name, value in _parameters(request):
        if title(name) in _OURS:
            raise bad_request(f"{name} frames the message and can't be made to order")
        if title(name) == "Content-Type" and name not in seen:
            del response.headers["Content-Type"]
        seen.add(name)
        try:
            response.headers.add(name, value)
        except (TypeError, ValueError) as error:
            raise bad_request(str(error)) from None
    return _described(response)


def _parameters(request: web.Request) -> list[tuple[str, str]]:
    pairs = [(name, value) for name, value in request.query.items()]
    for name, value in pairs:
        if not name or any(not "!" <= character <= "~" or character in '()<>@,;:\\"/[]?={}' for character in name):
            raise bad_request(f"{name!r} can't be a header field's name")
        if any(character in value for character in "\r\n\0"):
            raise bad_request(f"{name} holds a line end or NUL")
    return pairs


def _described(response: web.Response) -> web.Response:
    """Its own header fields as its content, Content-Length among them, which depends on the content."""
    shown: dict[str, object] = {}
    for name in dict.fromkeys(response.headers):
        values = response.headers.getall(name)
        shown[name] = values[0] if len(values) == 1 else values
    length = 0
    while True:
        octets = json_octets({**shown, "Content-Length": str(length)})
        if len(octets) == length:
            response.body = octets
            return response
        length = len(octets)


GROUPS = (
    Group(
        "Caching and response fields",
        (
            get("/cache", cache, "304 to If-Modified-Since or If-None-Match, else the mirror with validators."),
            get("/cache/{seconds}", cache_for, "The mirror with Cache-Control: max-age."),
            get("/etag/{etag}", etag, "The mirror under that ETag: 304 and 412 by If-None-Match and If-Match."),
            Route(
                ("GET", "POST"),
                "/response-headers",
                response_headers,
                "Each parameter as a header field of the response.",
            ),
        ),
    ),
)
