"""Content made on the spot: bytes, streams, drips, delays, ranges, links."""

from __future__ import annotations

import asyncio
import base64
import binascii
import random
import uuid
from collections.abc import Iterator

import msgspec
from aiohttp import web

from portyard.commons.hosted_requests import prefix_of
from portyard.http.core.conditions import EntityTag, Validators, range_applies
from portyard.http.core.mirror import Body, flat_args, mirror
from portyard.http.core.pacing import alphabet, drip, in_chunks, seeded_bytes
from portyard.http.core.ranges import Span, UnsatisfiableError, parse_range, unsatisfied
from portyard.http.routes.common import (
    ANY,
    BYTES_LIMIT,
    DELAY_LIMIT_S,
    DRIP_LIMIT,
    DURATION_LIMIT_S,
    LINES_LIMIT,
    LINKS_LIMIT,
    ROOM,
    Group,
    Route,
    bad_request,
    body_of,
    count,
    get,
    json_answer,
    mirrored,
    number,
    query_of,
    stream,
    text_answer,
)
from portyard.http.routes.inspection import WITH_BODY
from portyard.http.routes.statuses import moved

_OCTETS = {"Content-Type": "application/octet-stream"}
_CHUNK = 10 * 1024


async def delay(request: web.Request) -> web.Response:
    """The mirror, after so many seconds."""
    seconds = number(request.match_info["seconds"], "delay", float, most=DELAY_LIMIT_S)
    body = await body_of(request)
    await asyncio.sleep(seconds)
    return json_answer(mirror(mirrored(request), body, *WITH_BODY))


async def drip_bytes(request: web.Request) -> web.StreamResponse:
    """Octets spread over a duration, after a delay."""
    options = flat_args(query_of(request))
    duration_s = number(options.get("duration", "2"), "duration", float, most=DURATION_LIMIT_S)
    octets = count(options.get("numbytes", "10"), "numbytes", least=1, most=DRIP_LIMIT)
    code = count(options.get("code", "200"), "code", least=200, most=1000)
    delay_s = number(options.get("delay", "0"), "delay", float, most=DELAY_LIMIT_S)
    if code > 599:
        raise bad_request("code must be 200 to 599")
    await asyncio.sleep(delay_s)
    if code in (204, 304):  # RFC 9110 §6.4.1: no content
        return web.Response(status=code)
    response = web.StreamResponse(status=code, headers=_OCTETS | {"Content-Length": str(octets)})
    return await stream(request, response, ((b"*" * size, pause) for size, pause in drip(octets, duration_s)))


async def stream_lines(request: web.Request) -> web.StreamResponse:
    """The mirror so many times, a line each."""
    lines = count(request.match_info["n"], "the number of lines", most=LINES_LIMIT)
    shown = mirror(mirrored(request), Body(), "url", "args", "headers", "origin")
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    return await stream(request, response, ((_line({**shown, "id": number}), 0.0) for number in range(lines)))


def _line(value: object) -> bytes:
    return msgspec.json.encode(value, order="sorted") + b"\n"


async def some_bytes(request: web.Request) -> web.Response:
    """So many octets of chance."""
    octets = count(request.match_info["n"], "the number of bytes", most=BYTES_LIMIT)
    return web.Response(body=_chance_bytes(request, octets), headers=_OCTETS)


async def stream_bytes(request: web.Request) -> web.StreamResponse:
    """The same in chunks, without a Content-Length."""
    octets = count(request.match_info["n"], "the number of bytes", most=BYTES_LIMIT)
    made = _chance_bytes(request, octets)
    return await stream(request, web.StreamResponse(headers=_OCTETS), _cut(made, _chunk_size(request)))


def _chance_bytes(request: web.Request, octets: int) -> bytes:
    seed = flat_args(query_of(request)).get("seed")
    if seed is None:
        return request.app[ROOM].yard.rng.randbytes(octets)
    try:
        return seeded_bytes(octets, random.Random(int(seed)))
    except ValueError:
        raise bad_request(f"seed is not a number: {seed!r}") from None


def _chunk_size(request: web.Request) -> int:
    text = flat_args(query_of(request)).get("chunk_size")
    return _CHUNK if text is None else max(1, count(text, "chunk_size", most=BYTES_LIMIT))


def _cut(octets: bytes, chunk_size: int, duration_s: float = 0.0) -> Iterator[tuple[bytes, float]]:
    at = 0
    for size, pause_s in in_chunks(len(octets), chunk_size, duration_s):
        yield octets[at : at + size], pause_s
        at += size


async def byte_range(request: web.Request) -> web.StreamResponse:
    """The endless alphabet's first n octets, or the range of them that is asked for."""
    size = count(request.match_info["n"], "the number of bytes")
    tag = EntityTag(f"range{size}")
    fields = _OCTETS | {"ETag": str(tag), "Accept-Ranges": "bytes"}
    if not 0 < size <= BYTES_LIMIT:
        del fields["Content-Type"]
        return web.Response(status=404, text=f"404: n must be 1 to {BYTES_LIMIT}\n", headers=fields)
    options = flat_args(query_of(request))
    duration_s = number(options.get("duration", "0"), "duration", float, most=DURATION_LIMIT_S)
    asked = request.headers.get("Range")
    try:
        spans = parse_range(asked, size) if range_applies(request.headers.get("If-Range"), Validators(tag)) else None
    except UnsatisfiableError:
        return web.Response(status=416, headers=fields | {"Content-Range": unsatisfied(size)})
    span = (
        spans[0] if spans and len(spans) == 1 else Span(0, size - 1)
    )  # several: the whole is a right answer too (RFC 9110 §14.2)
    partial = span.length < size
    # The whole has a Content-Range too, which httpbin's clients look at.
    fields |= {"Content-Range": span.content_range(size), "Content-Length": str(span.length)}
    response = web.StreamResponse(status=206 if partial else 200, headers=fields)
    octets = alphabet(span.first, span.length)
    return await stream(request, response, _cut(octets, _chunk_size(request), duration_s * span.length / size))


async def links(request: web.Request) -> web.Response:
    """To the first page of links."""
    return moved(request, f"/links/{request.match_info['n']}/0")


async def links_page(request: web.Request) -> web.Response:
    """A page of n links to pages like it."""
    most = max(1, count(request.match_info["n"], "the number of links", most=LINKS_LIMIT))
    here = count(request.match_info["offset"], "offset")
    items = [str(n) if n == here else f'<a href="{prefix_of(request)}/links/{most}/{n}">{n}</a>' for n in range(most)]
    page = f"<!doctype html>\n<html lang='en'><head><title>Links</title></head><body>{' '.join(items)}</body></html>\n"
    return text_answer(page, "text/html")


async def from_base64(request: web.Request) -> web.Response:
    """What a base64url value says."""
    value = request.match_info["value"].replace("+", "-").replace("/", "_").rstrip("=")
    try:
        octets = base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise bad_request(f"not base64url: {error}; try UG9ydHlhcmQ=") from None
    try:
        return text_answer(octets.decode("utf-8"))
    except UnicodeDecodeError:
        return web.Response(body=octets, headers=_OCTETS)


async def some_uuid(request: web.Request) -> web.Response:
    """A UUID of version 4."""
    return json_answer({"uuid": str(uuid.UUID(int=request.app[ROOM].yard.rng.getrandbits(128), version=4))})


GROUPS = (
    Group(
        "Dynamic content",
        (
            get("/bytes/{n}", some_bytes, "n random octets; `seed` makes them the same every time."),
            get("/stream-bytes/{n}", stream_bytes, "n random octets in chunks of `chunk_size`."),
            get("/stream/{n}", stream_lines, "The mirror n times, a line of JSON each."),
            get("/range/{n}", byte_range, "n known octets; Range, `duration`, `chunk_size`."),
            get("/drip", drip_bytes, "`numbytes` spread over `duration` seconds, after `delay`, with status `code`."),
            Route(ANY, "/delay/{seconds}", delay, "The mirror after that many seconds, 10 at most."),
            get("/links/{n}", links, "Redirects to the first page of n links."),
            get("/links/{n}/{offset}", links_page, "A page of n links to its sisters."),
            get("/base64/{value:.*}", from_base64, "What the base64url value says."),
            get("/uuid", some_uuid, "A UUID of version 4."),
        ),
    ),
)
