"""What every handler uses: the route table's rows, the request as values, JSON answers, and the limits."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from portyard.commons.hosted_requests import connection_of, prefix_of, scheme_of
from portyard.commons.yard import Yard
from portyard.http.core.digest import NonceBook
from portyard.http.core.mirror import Body, Mirrored, form_of, grouped, json_safe

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]

BODY_LIMIT = 32 * 1024 * 1024  # octets of a body that an answer mirrors: it is held in memory, and again as JSON
BYTES_LIMIT = 100 * 1024  # octets that /bytes, /stream-bytes and /range make up; httpbin's
DRIP_LIMIT = 10 * 1024 * 1024  # octets of /drip; httpbin's
DELAY_LIMIT_S = 10.0  # of /delay, and before a drip; httpbin's
DURATION_LIMIT_S = 600.0  # over which a body is spread
LINES_LIMIT = 100  # of /stream; httpbin's
LINKS_LIMIT = 200  # of /links; httpbin's

_OCTET = re.compile("[\udc80-\udcff]")  # as aiohttp reads one that is no UTF-8
ANY = ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE")


@dataclass(frozen=True, slots=True)
class Room:
    """What handlers share.

    Attributes:
        yard: The testbed.
        nonces: Digest's book.
    """

    yard: Yard
    nonces: NonceBook


ROOM = web.AppKey("room", Room)


@dataclass(frozen=True, slots=True)
class Route:
    """A row of the route table, which the index page and spec.json are made of.

    Attributes:
        methods: What it answers; GET brings HEAD with it.
        path: In aiohttp's notation.
        handler: The answer.
        summary: One line for people.
        expect: What answers `Expect: 100-continue`, if not at once yes.
    """

    methods: tuple[str, ...]
    path: str
    handler: Handle
    summary: str
    expect: Callable[[web.Request], Awaitable[web.StreamResponse | None]] | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Routes under one heading."""

    title: str
    routes: tuple[Route, ...] = field(default_factory=tuple)


def get(path: str, handler: Handle, summary: str) -> Route:
    """A route that answers GET and HEAD."""
    return Route(("GET",), path, handler, summary)


def json_answer(value: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A value as JSON, indented and with sorted keys, for people to read."""
    return web.Response(
        body=json_octets(value), status=status, headers=headers, content_type="application/json", charset=None
    )


def json_octets(value: object) -> bytes:
    """A value as indented JSON with sorted keys and a line end."""
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=2) + b"\n"


def text_answer(text: str, content_type: str = "text/plain", status: int = 200) -> web.Response:
    """Text in UTF-8."""
    return web.Response(text=text, content_type=content_type, charset="utf-8", status=status)


def bad_request(reason: str) -> web.HTTPBadRequest:
    """A 400 that says why."""
    return web.HTTPBadRequest(text=f"400: {reason}\n")


def mirrored(request: web.Request) -> Mirrored:
    """The request as values."""
    target = _target_of(request)
    if target.startswith("/"):
        target = f"{base_of(request)}{target}"
    return Mirrored(
        method=request.method,
        url=target.partition("#")[0],
        query=query_of(request),
        headers=tuple(request.headers.items()),
        peer=connection_of(request).peer[0],
    )


def base_of(request: web.Request) -> str:
    """Scheme and authority by which the client reached us, and the prefix of the sandbox where it named one so."""
    return f"{scheme_of(request, 'http', 'https')}://{request.host}{prefix_of(request)}"


def cookies_below(request: web.Request) -> str:
    """The Path of our cookies: the sandbox's own where a path names it, so that another's requests don't show them (RFC 6265 §5.1.4)."""
    return f"{prefix_of(request)}/"


def query_of(request: web.Request) -> str:
    """The query as sent, percent-encoding kept."""
    return _target_of(request).partition("#")[0].partition("?")[2]


def _target_of(request: web.Request) -> str:
    """The target as sent; octets that belong into no target and are no UTF-8 are encoded as they should have been (RFC 3986 §2.1)."""
    return _OCTET.sub(lambda found: f"%{ord(found[0]) - 0xDC00:02X}", request.raw_path)


async def body_of(request: web.Request) -> Body:
    """The request's body, forms taken apart.

    Raises:
        web.HTTPBadRequest: A multipart body is malformed.
        web.HTTPRequestEntityTooLarge: It is beyond BODY_LIMIT.
    """
    if not request.body_exists:
        return Body()
    length = request.content_length or 0
    if length > BODY_LIMIT:  # said before it is sent
        raise web.HTTPRequestEntityTooLarge(max_size=BODY_LIMIT, actual_size=length)
    if request.content_type == "application/x-www-form-urlencoded":
        return Body(form=form_of(await request.read()))
    if request.content_type == "multipart/form-data" and request.method in request.POST_METHODS:
        return await _multipart(request)
    return Body(raw=await request.read())


async def _multipart(request: web.Request) -> Body:
    try:
        parts = await request.post()
    except (ValueError, LookupError, AssertionError, HttpProcessingError) as error:
        reason = error.message if isinstance(error, HttpProcessingError) else str(error)
        raise bad_request(f"not a multipart form: {reason}") from None
    fields: list[tuple[str, str]] = []
    files: list[tuple[str, str]] = []
    for name, value in parts.items():
        if isinstance(value, web.FileField):
            files.append((name, json_safe(value.file.read(), value.content_type or "application/octet-stream")))
        else:
            fields.append((name, value if isinstance(value, str) else json_safe(bytes(value))))
    return Body(form=grouped(fields), files=grouped(files))


def number(
    text: str, what: str, kind: type[int] | type[float] = int, *, least: float = 0, most: float = 2**62
) -> float:
    """A number out of a path or an option, capped at `most`.

    Raises:
        web.HTTPBadRequest: It isn't one, or is less than `least`.
    """
    try:
        value = kind(text)
    except ValueError:
        raise bad_request(f"{what} is not a number: {text!r}") from None
    if not value >= least:  # also what isn't a number at all, NaN
        raise bad_request(f"{what} must be at least {least}, not {text}")
    return min(value, most)


def count(text: str, what: str, *, least: int = 0, most: int = 2**62) -> int:
    """A whole number out of a path or an option; as `number`."""
    return int(number(text, what, int, least=least, most=most))


async def stream(
    request: web.Request, response: web.StreamResponse, pieces: Iterable[tuple[bytes, float]]
) -> web.StreamResponse:
    """Send a response's head, then its pieces, each with the pause in seconds that follows it."""
    return await stream_from(request, response, _with_pauses(pieces))


async def stream_from(
    request: web.Request, response: web.StreamResponse, pieces: AsyncIterator[bytes]
) -> web.StreamResponse:
    """Send a response's head, then its pieces as they come; none for HEAD."""
    await response.prepare(request)
    if request.method != "HEAD":
        async for piece in pieces:
            await response.write(piece)
    await response.write_eof()
    return response


async def _with_pauses(pieces: Iterable[tuple[bytes, float]]) -> AsyncIterator[bytes]:
    for piece, pause_s in pieces:
        yield piece
        if pause_s:
            await asyncio.sleep(pause_s)


def moved_folder(location: str) -> web.Response:
    """To the same place with the slash that makes relative links in it right."""
    return web.Response(status=301, headers={"Location": location})
