"""What a request's handler asks of the connection that it came by: which it is, whether it is secure, what of its path named a sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from aiohttp import web

from portyard.commons.card import TlsMode
from portyard.commons.exchange_writer import RuledWriter
from portyard.commons.yard import Connection

if TYPE_CHECKING:
    from portyard.commons.hosted_protocol import HostedProtocol

SERVER: Final = "Portyard"


def hosted(request: web.BaseRequest) -> HostedProtocol:
    """The protocol object that a request came by."""
    return cast("HostedProtocol", request._protocol)


def connection_of(request: web.BaseRequest) -> Connection:
    """The connection that a request came by."""
    return hosted(request).connection


EXACT = web.RequestKey("exact", bool)
"""Set in a request whose Location is to stay as it is."""
SINCE = web.RequestKey("since", int)
"""Set in a request that a rule keeps waiting: its sandbox's generation when it came."""


def prefix_of(request: web.BaseRequest) -> str:
    """The prefix of the path that named a request's sandbox, or ""."""
    writer = request._payload_writer
    return writer.prefix if isinstance(writer, RuledWriter) else ""


def target_of(request: web.BaseRequest) -> str:
    """The request's target as it was sent."""
    return prefix_of(request) + request._message.path


def scheme_of(request: web.BaseRequest, plain: str, secure: str) -> str:
    """Which of two scheme names a request came by."""
    return secure if is_secure(request) else plain


def is_secure(request: web.BaseRequest) -> bool:
    """Whether TLS is below the request's connection."""
    return connection_of(request).port.tls is TlsMode.IMPLICIT or request.secure


async def before_response(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """What an application's `on_response_prepare` takes: who serves, and a Location in the sandbox that the request's path named."""
    response.headers["Server"] = SERVER
    prefix = prefix_of(request)
    if prefix and request.get(EXACT) is None:
        location = response.headers.get("Location", "")
        if location.startswith("/") and not location.startswith("//"):
            response.headers["Location"] = prefix + location  # where it leads is in the same sandbox
