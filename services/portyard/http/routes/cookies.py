"""Cookies set, shown and deleted."""

from __future__ import annotations

from collections.abc import Iterable
from http.cookies import CookieError

from aiohttp import web

from portyard.commons.hosted_requests import is_secure
from portyard.http.core.mirror import args_of, cookies_of
from portyard.http.routes.common import Group, bad_request, cookies_below, get, json_answer, query_of
from portyard.http.routes.statuses import moved


async def show_cookies(request: web.Request) -> web.Response:
    """The client's cookies."""
    return json_answer({"cookies": cookies_of(request.cookies, query_of(request))})


async def set_cookie(request: web.Request) -> web.Response:
    """One cookie by path."""
    return _set(request, [(request.match_info["name"], request.match_info["value"])])


async def set_cookies(request: web.Request) -> web.Response:
    """Cookies by query."""
    return _set(request, _first_values(request))


async def delete_cookies(request: web.Request) -> web.Response:
    """Cookies named by the query go."""
    response = moved(request, "/cookies")
    for name, _ in _first_values(request):
        _checked(name)
        response.del_cookie(name, path=cookies_below(request))
    return response


def _first_values(request: web.Request) -> list[tuple[str, str]]:
    values = args_of(query_of(request))
    return [(name, value if isinstance(value, str) else value[0]) for name, value in values.items()]


def _set(request: web.Request, cookies: Iterable[tuple[str, str]]) -> web.Response:
    response = moved(request, "/cookies")
    for name, value in cookies:
        _checked(name)
        try:
            response.set_cookie(name, value, path=cookies_below(request), secure=is_secure(request))
        except CookieError as error:
            raise bad_request(str(error)) from None
    return response


def _checked(name: str) -> None:
    """Refuse what isn't a token (RFC 6265 §4.1.1)."""
    if not name or any(character in '()<>@,;:\\"/[]?={}' or not "!" <= character <= "~" for character in name):
        raise bad_request(f"{name!r} can't be a cookie's name")


GROUPS = (
    Group(
        "Cookies",
        (
            get("/cookies", show_cookies, "The request's cookies."),
            get("/cookies/set", set_cookies, "Sets each parameter as a cookie, then redirects to /cookies."),
            get("/cookies/set/{name}/{value}", set_cookie, "Sets one cookie, then redirects to /cookies."),
            get("/cookies/delete", delete_cookies, "Deletes each named cookie, then redirects to /cookies."),
        ),
    ),
)
