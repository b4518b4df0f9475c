"""Requests mirrored back."""

from __future__ import annotations

from aiohttp import web

from portyard.http.core.mirror import Body, headers_of, mirror, origin_of
from portyard.http.routes.common import ANY, Group, Route, body_of, get, json_answer, mirrored

_WITHOUT_BODY = ("url", "args", "headers", "origin")
WITH_BODY = ("url", "args", "form", "data", "origin", "headers", "files", "json")


async def show_get(request: web.Request) -> web.Response:
    """What a request without a body says."""
    return json_answer(mirror(mirrored(request), Body(), *_WITHOUT_BODY))


async def show_body(request: web.Request) -> web.Response:
    """What a request with a body says."""
    return json_answer(mirror(mirrored(request), await body_of(request), *WITH_BODY))


async def show_anything(request: web.Request) -> web.Response:
    """What any request says, its method too."""
    return json_answer(mirror(mirrored(request), await body_of(request), *WITH_BODY, "method"))


async def show_ip(request: web.Request) -> web.Response:
    """The client's address."""
    return json_answer({"origin": origin_of(mirrored(request))})


async def show_headers(request: web.Request) -> web.Response:
    """The header fields alone."""
    return json_answer({"headers": headers_of(mirrored(request))})


async def show_user_agent(request: web.Request) -> web.Response:
    """The client's name."""
    return json_answer({"user-agent": headers_of(mirrored(request)).get("User-Agent")})


METHODS = Group(
    "Methods",
    (
        get("/get", show_get, "Mirrors a GET: args, headers, origin, url."),
        Route(("POST",), "/post", show_body, "Mirrors a POST: also data, form, files, json."),
        Route(("PUT",), "/put", show_body, "Mirrors a PUT."),
        Route(("PATCH",), "/patch", show_body, "Mirrors a PATCH."),
        Route(("DELETE",), "/delete", show_body, "Mirrors a DELETE."),
    ),
)
ANYTHING = Group(
    "Anything",
    (
        Route(ANY, "/anything", show_anything, "Mirrors any request, its method too."),
        Route(ANY, "/anything/{anything:.*}", show_anything, "The same on any path below."),
    ),
)
INSPECTION = Group(
    "Inspection",
    (
        get("/ip", show_ip, "The client's address."),
        get("/headers", show_headers, "The request's header fields; show_env shows those of proxies too."),
        get("/user-agent", show_user_agent, "The client's User-Agent."),
    ),
)
GROUPS = (METHODS, ANYTHING, INSPECTION)
