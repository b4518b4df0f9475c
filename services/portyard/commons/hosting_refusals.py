"""How what isn't a request, or not a whole one, is refused: which status, and what one line is said of it."""

from __future__ import annotations

import re
from collections.abc import Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from portyard.commons.hosting_parser import UnspokenVersionError

BROKEN_BODY = (web.RequestPayloadError, HttpProcessingError)  # what reading a body raises when the peer got it wrong
_REQUEST_LINE = re.compile(rb"[^\s:]+ ")


def refusal_of(exc: BaseException | None, status: int) -> int:
    """The status for what a parser couldn't read; the one given where nothing better is known."""
    if isinstance(exc, UnspokenVersionError):
        return 505  # RFC 9110 §15.6.6
    if type(exc).__name__ == "LineTooLong" and exc is not None:
        # RFC 9110 §15.5.15, RFC 6585 §5; the parser tells the beginning of the line: a field's name ends with a colon, a method doesn't
        return 414 if _REQUEST_LINE.match(exc.args[0]) else 431
    if "Too many headers" in str(exc):
        return 431  # RFC 6585 §5
    return status


def reason_of(exc: BaseException | None, message: str | None) -> str:
    """One line of it: the parser draws a picture of the place below."""
    text = message or (str(exc) if exc is not None else "")
    lines = text.strip().removeprefix("400, message:").strip().splitlines() or ["malformed"]
    return lines[0].rstrip(":")


def no_tunnel(request: web.Request, refusal: Callable[[int, str], web.Response]) -> web.Response:
    """Nothing is fetched for a client; what follows the request would be the tunnel's."""
    request.content.feed_eof()
    response = refusal(501, "there is no way through here")
    response.force_close()
    return response
