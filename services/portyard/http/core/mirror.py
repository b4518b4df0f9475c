"""A request as the JSON that mirrors it back: the shapes that httpbin made a habit of."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

# Fields that proxies on the way add; hidden from mirrored headers unless the client asks with `show_env`.
PROXY_FIELDS = frozenset(
    {
        "Connect-Time",
        "Total-Route-Time",
        "Via",
        "X-Forwarded-For",
        "X-Forwarded-Port",
        "X-Forwarded-Proto",
        "X-Forwarded-Protocol",
        "X-Forwarded-Ssl",
        "X-Heroku-Dynos-In-Use",
        "X-Heroku-Queue-Depth",
        "X-Heroku-Queue-Wait-Time",
        "X-Real-Ip",
        "X-Request-Id",
        "X-Request-Start",
        "X-Varnish",
    }
)
# Cookies that a front end's analytics set, hidden likewise.
PROXY_COOKIES = frozenset(
    {
        "_gauges_unique",
        "_gauges_unique_day",
        "_gauges_unique_hour",
        "_gauges_unique_month",
        "_gauges_unique_year",
        "__utma",
        "__utmb",
        "__utmz",
    }
)

Values = dict[str, str | list[str]]


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body, taken apart by its media type.

    Attributes:
        raw: The octets, content codings undone; empty when a form took them.
        form: Fields of a form.
        files: Files of a multipart form, as text or data URLs.
    """

    raw: bytes = b""
    form: Values = field(default_factory=dict)
    files: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mirrored:
    """Everything of a request that an answer may show.

    Attributes:
        method: As sent.
        url: The effective request URI (RFC 9110 §7.1).
        query: What follows the target's question mark.
        headers: Name and value as received, in order.
        peer: The client's address.
    """

    method: str
    url: str
    query: str
    headers: tuple[tuple[str, str], ...]
    peer: str


def mirror(request: Mirrored, body: Body, *keys: str) -> dict[str, object]:
    """The chosen keys of: args, data, files, form, headers, json, method, origin, url."""
    return {key: _SHOWN[key](request, body) for key in keys}


def args_of(query: str) -> Values:
    """A query string's parameters; a repeated one is a list."""
    return grouped(parse_qsl(query, keep_blank_values=True, errors="replace"))


def form_of(octets: bytes) -> Values:
    """An application/x-www-form-urlencoded body's fields."""
    return args_of(octets.decode("utf-8", "replace"))


def grouped(pairs: Iterable[tuple[str, str]]) -> Values:
    """Pairs by name: one value as it is, several as a list."""
    values: Values = {}
    for name, value in pairs:
        before = values.get(name)
        if before is None:
            values[name] = value
        elif isinstance(before, list):
            before.append(value)
        else:
            values[name] = [before, value]
    return values


def flat_args(query: str) -> dict[str, str]:
    """The first value of each parameter by its name in lower case, for endpoints that take options."""
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, errors="replace"):
        options.setdefault(name.lower(), value)
    return options


def headers_of(request: Mirrored) -> dict[str, str]:
    """The header fields by title-cased name; repeated ones joined by commas (RFC 9110 §5.3)."""
    shown: dict[str, str] = {}
    show_all = "show_env" in args_of(request.query)
    for name, value in request.headers:
        titled = title(name)
        if titled in PROXY_FIELDS and not show_all:
            continue
        value = readable(value)
        shown[titled] = f"{shown[titled]},{value}" if titled in shown else value
    return shown


def title(name: str) -> str:
    """`x-request-id` as `X-Request-Id`."""
    return "-".join(part.capitalize() for part in name.split("-"))


def readable(value: str) -> str:
    """Text that JSON can hold: octets that aren't UTF-8 (surrogates) are read as ISO 8859-1 (RFC 9110 §5.5)."""
    if value.isascii():
        return value
    return value.encode("utf-8", "surrogateescape").decode("utf-8" if _is_text(value) else "latin-1")


def _is_text(value: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in value)


def origin_of(request: Mirrored) -> str:
    """Who asked: the peer, or what a proxy says of it."""
    return _field(request.headers, "x-forwarded-for") or request.peer


def url_of(request: Mirrored) -> str:
    """The effective URI, with the scheme that a proxy in front was asked by."""
    scheme = _field(request.headers, "x-forwarded-proto") or _field(request.headers, "x-forwarded-protocol")
    if not scheme and _field(request.headers, "x-forwarded-ssl") == "on":
        scheme = "https"
    if scheme:
        return f"{readable(scheme)}:{readable(request.url).partition(':')[2]}"
    return readable(request.url)


def cookies_of(cookies: Mapping[str, str], query: str) -> dict[str, str]:
    """The client's cookies, without those of front ends unless `show_env` asks for them."""
    show_all = "show_env" in args_of(query)
    return {name: readable(value) for name, value in cookies.items() if show_all or name not in PROXY_COOKIES}


def json_safe(octets: bytes, media_type: str = "application/octet-stream") -> str:
    """UTF-8 text as it is, anything else as a data URL (RFC 2397)."""
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return f"data:{media_type};base64,{base64.b64encode(octets).decode('ascii')}"


def json_of(octets: bytes) -> object:
    """The value when the octets are JSON, else None."""
    if not octets:
        return None
    try:
        return json.loads(octets)
    except (ValueError, RecursionError):
        return None


def _field(headers: Iterable[tuple[str, str]], name: str) -> str:
    return next((readable(value) for found, value in headers if found.lower() == name), "")


_SHOWN: dict[str, Callable[[Mirrored, Body], object]] = {
    "args": lambda request, body: args_of(request.query),
    "data": lambda request, body: json_safe(body.raw),
    "files": lambda request, body: body.files,
    "form": lambda request, body: body.form,
    "headers": lambda request, body: headers_of(request),
    "json": lambda request, body: json_of(body.raw),
    "method": lambda request, body: request.method,
    "origin": lambda request, body: origin_of(request),
    "url": lambda request, body: url_of(request),
}
