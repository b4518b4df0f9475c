"""Dates what a web application answers by the clock of the request's sandbox."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from email.utils import formatdate

from aiohttp import hdrs, web

from portyard.commons.clocks import SqlClocks
from portyard.commons.hosted_requests import hosted


def dating(clocks: SqlClocks) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """What an application's `on_response_prepare` takes: the Date field (RFC 9110 §6.6.1) tells the sandbox's time."""

    async def date(request: web.Request, response: web.StreamResponse) -> None:
        at = clocks.stamp(hosted(request).sandbox)
        if at is not None:  # else the library's own is right
            response.headers[hdrs.DATE] = formatdate(at, usegmt=True)

    return date
