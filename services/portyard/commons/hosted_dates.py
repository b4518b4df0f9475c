"""Dates what a web application answers by the clock of the request's sandbox."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate

from aiohttp import hdrs, web

from portyard.commons.clocks import SqlClocks
from portyard.commons.hosted_requests import hosted


def date(response: web.StreamResponse, clocks: SqlClocks, sandbox: str) -> None:
    """Have a response's Date field (RFC 9110 §6.6.1) tell a sandbox's time, unless somebody asked for one of their own."""
    at = clocks.stamp(sandbox)
    if at is None:  # the library's own is right
        return
    told, now_s = response.headers.get(hdrs.DATE), time.time()
    if told is None or told in (formatdate(now_s, usegmt=True), formatdate(now_s - 1, usegmt=True)):  # the library's
        response.headers[hdrs.DATE] = formatdate(at, usegmt=True)


def dating(clocks: SqlClocks) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """What an application's `on_response_prepare` takes: the Date field tells the time of the request's sandbox."""

    async def dated(request: web.Request, response: web.StreamResponse) -> None:
        date(response, clocks, hosted(request).sandbox)

    return dated
