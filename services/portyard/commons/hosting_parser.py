"""What one connection may ask of us, and the parser that holds it to that."""

from __future__ import annotations

import asyncio
import re
import string
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import HttpVersion, web
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.http_parser import HttpRequestParserPy, RawRequestMessage

from portyard.commons.settings import Settings

FIRST_OCTETS = frozenset(
    b"!#$%&'*+-.^_`|~\r\n" + string.ascii_letters.encode() + string.digits.encode()
)  # a token's, and an empty line's
# HTTP-version = HTTP-name "/" DIGIT "." DIGIT; HTTP-name = %x48.54.54.50 ; HTTP                         RFC 9112 §2.3
_VERSION = re.compile(rb"([^ ]+ [^ ]+) HTTP/([0-9])\.([0-9])")
_SPOKEN = (b" HTTP/1.1", b" HTTP/1.0")
_READ_OCTETS = 64 * 1024  # of a body that may wait for its handler


@dataclass(frozen=True, slots=True)
class HostingLimits:
    """What one connection may ask of us.

    Attributes:
        line: Octets of a request's first line, beyond it 414, or of one header field, beyond it 431.
        fields: Header fields of one request; beyond it 431.
        idle_s: Seconds without a request, or with half of one, until the connection is closed.
        linger_s: Seconds in which what still comes is read and dropped, so that the last answer is read by its client.
        grace_s: Seconds that running requests get when the room closes.
        shown: Octets of a body, or of a frame's content, that the journal shows.
    """

    line: int = 32 * 1024
    fields: int = 200
    idle_s: float = 300.0
    linger_s: float = 3.0
    grace_s: float = 2.0
    shown: int = 1024


DEFAULT_LIMITS = HostingLimits()


def limits_of(settings: Settings) -> HostingLimits:
    """What the testbed's settings say of them."""
    return replace(DEFAULT_LIMITS, shown=settings.limits.journal_body)


def careful_parser(protocol: web.RequestHandler, limits: HostingLimits) -> Any:  # noqa: ANN401 - aiohttp keeps its type to itself
    """A parser that takes one request at a time.

    aiohttp's own, in C, takes a batch of pipelined requests; an error in the last one loses the whole ones before it, what comes
    after `Connection: close` loses the request that said so, and a chunked body's last trailer field turns up among the next
    request's header fields, where a stranger's words could pass for a client's. The one in Python, request by request, does none of it.
    """
    return _Parser(
        protocol,
        asyncio.get_running_loop(),
        _READ_OCTETS,
        max_line_size=limits.line,
        max_field_size=limits.line,
        max_headers=limits.fields,
        payload_exception=web.RequestPayloadError,
        max_msg_queue_size=1,
    )


class UnspokenVersionError(BadHttpMessage):
    """A request of another major version; where it ends isn't known either."""


class _Parser(HttpRequestParserPy):
    """Reads a request of a later minor version as one of HTTP/1.1 (RFC 9110 §2.5), and none of another major version."""

    def parse_message(self, lines: list[bytes]) -> RawRequestMessage:
        found = None if lines[0].endswith(_SPOKEN) else _VERSION.fullmatch(lines[0])
        if found is None:
            return super().parse_message(lines)
        if found[2] != b"1":
            raise UnspokenVersionError(f"HTTP/{int(found[2])}.{int(found[3])} isn't spoken here")
        message = super().parse_message([found[1] + b" HTTP/1.1", *lines[1:]])
        return message._replace(version=HttpVersion(1, int(found[3])))
